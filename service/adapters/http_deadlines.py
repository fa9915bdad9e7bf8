"""Deadlines for one request over HTTP; the client knows limits for single pieces alone."""

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from service.adapters.shut_connections import shut

CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete")
SENDING = "http11.send_request_headers.started"
SENT = "http11.send_request_body.complete"


class Deadline:
    """Shuts the connection of a request that takes too long: a peer may drip bytes for ever.

    Parameters
    ----------
    sending_s : float
        For sending the request.
    answer_s : float
        For the whole answer, after the request was sent.
    """

    def __init__(self, sending_s: float, answer_s: float) -> None:
        self._sending_s = sending_s
        self._answer_s = answer_s
        self._connection: Any = None
        self._timer: threading.Timer | None = None
        self._expired = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def expired(self) -> bool:
        """Whether the connection was shut; what came until then may look complete."""
        return self._expired.is_set()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow the request; see the extension ``trace`` of httpx."""
        if event in CONNECTED:
            self._connection = info["return_value"].get_extra_info("socket")
        elif event == SENDING:
            self._start(self._sending_s)
        elif event == SENT:
            self._start(self._answer_s)

    def _start(self, seconds: float) -> None:
        self._stop()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        self._expired.set()
        shut(self._connection)
