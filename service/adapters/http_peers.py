"""HTTP with receivers: one client each, foreign errors translated, answers of a bounded size."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from service.adapters.destination_entries import HttpAccess
from service.adapters.destination_files import read_secret
from service.adapters.http_deadlines import Deadline
from service.domain.errors import (
    DestinationRefusedError,
    DestinationUnreachableError,
    InvalidDestinationsError,
)

# Far more than an answer about a handful of objects needs.
LONGEST_ANSWER = 4 * 1024 * 1024
# Results may be large and lines slow: sending them may take as many times the timeout.
SENDING_TIMEOUTS = 10


class HttpPeer:
    """A receiver that speaks HTTP; redirects are not followed, environment proxies not used.

    Parameters
    ----------
    timeout_s : float
        For connecting, for each piece sent or received, and for the whole answer after the
        request was sent; sending all of the request may take ten times as long.
    """

    def __init__(self, access: HttpAccess, timeout_s: float) -> None:
        headers, auth = {}, None
        if access.bearer_file is not None:
            headers["Authorization"] = f"Bearer {read_secret(access.bearer_file)}"
        if access.user is not None and access.password_file is not None:
            auth = httpx.BasicAuth(access.user, read_secret(access.password_file))
        self._timeout_s = timeout_s
        self._client = httpx.Client(
            headers=headers,
            auth=auth,
            timeout=timeout_s,
            # Minutes pass between requests: a connection kept for so long is a broken one.
            limits=httpx.Limits(max_keepalive_connections=0),
            verify=_trusted(access.ca_file),
            trust_env=False,
        )

    def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        longest: int = LONGEST_ANSWER,
    ) -> tuple[int, bytes]:
        """Make a request; return status and body.

        Parameters
        ----------
        longest : int
            Most bytes of an answer that are read.

        Raises
        ------
        DestinationUnreachableError
            If there was no whole answer in time.
        DestinationRefusedError
            If the answer is absurdly long.
        """
        with (
            self._deadline(self._timeout_s) as deadline,
            _translated(),
            self._client.stream(
                method,
                url,
                headers=headers,
                content=content,
                params=params,
                extensions={"trace": deadline.trace},
            ) as answer,
        ):
            body = bytearray()
            for piece in _until(deadline, answer):
                body += piece
                if len(body) > longest:
                    raise DestinationRefusedError(f"the answer is longer than {longest} bytes")
            return answer.status_code, bytes(body)

    @contextmanager
    def streamed(
        self, url: str, *, headers: Mapping[str, str], longest_s: float
    ) -> Iterator[tuple[int, str, Iterator[bytes]]]:
        """Make a request; yield status, content type and the body, piece by piece.

        Parameters
        ----------
        longest_s : float
            The whole answer must end in this time.

        Raises
        ------
        DestinationUnreachableError
            From the block too, if the answer breaks off or does not end in time.
        """
        with (
            self._deadline(longest_s) as deadline,
            _translated(),
            self._client.stream(
                "GET", url, headers=headers, extensions={"trace": deadline.trace}
            ) as answer,
        ):
            kind = answer.headers.get("Content-Type", "")
            yield answer.status_code, kind, _until(deadline, answer)

    def _deadline(self, answer_s: float) -> Deadline:
        return Deadline(SENDING_TIMEOUTS * self._timeout_s, answer_s)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as exc:
        # The message may quote the address with what somebody wrote into it.
        raise DestinationUnreachableError(f"no answer: {type(exc).__name__}") from exc


def _until(deadline: Deadline, answer: httpx.Response) -> Iterator[bytes]:
    """Yield the body; one that the deadline cut off may look complete."""
    yield from answer.iter_bytes()
    if deadline.expired:
        raise DestinationUnreachableError("the answer did not end in time")


def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as exc:
        raise InvalidDestinationsError(
            f"the ca_file {ca_file} cannot be used: {type(exc).__name__}"
        ) from exc
