"""Uploads as they come over HTTP: streamed to disk piece by piece, measured on the way."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header
from starlette.requests import ClientDisconnect

from service.adapters.upload_files import IncomingUpload
from service.domain.errors import LimitExceededError, MalformedUploadError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MULTIPART = "multipart/form-data"
SINGLE_FILE = ("application/zip", "application/dicom", "application/octet-stream")
MAX_FIELD_BYTES = 256

Feed = Callable[[bytes], None]


async def receive_upload(request: Request, incoming: IncomingUpload) -> str | None:
    """Write the body of a request into an upload, and complete it.

    Parameters
    ----------
    request : Request
        ``multipart/form-data`` with any number of files and maybe a field ``model``; or one file
        as the whole body.

    Returns
    -------
    str or None
        The field ``model``, or the query parameter of that name.

    Raises
    ------
    MalformedUploadError
        If the body is neither, or not complete.
    InputError, StorageError
        As ``IncomingUpload`` raises them.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    media_type = kind.decode("latin-1").lower()
    form = MultipartForm(incoming)
    if media_type == MULTIPART:
        feed, finish = form.begin(options.get(b"boundary", b""))
    elif media_type in SINGLE_FILE:
        incoming.begin_file()
        feed, finish = incoming.write, _nothing
    else:
        raise MalformedUploadError(f"send {MULTIPART}, or one file as {' or '.join(SINGLE_FILE)}")
    await _stream(request, feed, incoming.max_bytes)
    finish()
    await run_in_threadpool(incoming.finish)
    return form.fields.get("model") or request.query_params.get("model")


async def _stream(request: Request, feed: Feed, limit: int) -> None:
    """Pass the body on; refuse a body that is too large before reading it, if it says so."""
    _check_announced(request, limit)
    try:
        async for chunk in request.stream():
            feed(chunk)
    except ClientDisconnect as exc:
        raise MalformedUploadError("the connection was closed before the upload ended") from exc


def _check_announced(request: Request, limit: int) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise LimitExceededError(f"the request announces more than {limit} bytes")


def _nothing() -> None:
    """Do nothing: a body of one file ends where it ends."""


@dataclass
class MultipartForm:
    """Parses ``multipart/form-data`` (RFC 7578): files go to the upload, fields are kept."""

    incoming: IncomingUpload
    fields: dict[str, str] = field(default_factory=dict)
    _header: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    _disposition: bytes = b""
    _name: str | None = None
    _value: bytearray = field(default_factory=bytearray)

    def begin(self, boundary: bytes) -> tuple[Feed, Callable[[], None]]:
        """Return what takes pieces of the body, and what must be called at its end.

        Raises
        ------
        MalformedUploadError
            If there is no boundary; from the returned functions, if the body is not well formed.
        """
        if not boundary:
            raise MalformedUploadError("the content type names no boundary")
        parser = MultipartParser(boundary, self._callbacks())

        def feed(chunk: bytes) -> None:
            try:
                parser.write(chunk)
            except FormParserError as exc:
                raise MalformedUploadError("the body is not well formed multipart") from exc

        def finish() -> None:
            if parser.state not in (MultipartState.END, MultipartState.END_BOUNDARY):
                raise MalformedUploadError("the body ends before its last boundary")

        return feed, finish

    def _callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": self._content,
            "on_part_end": self._end_part,
        }

    def _begin_part(self) -> None:
        self._disposition = b""
        self._name = None
        self._value.clear()

    def _end_header(self) -> None:
        name, value = (bytes(part) for part in self._header)
        if name.lower() == b"content-disposition":
            self._disposition = value
        for part in self._header:
            part.clear()

    def _begin_content(self) -> None:
        """Tell files, which have a file name, from fields."""
        _, options = parse_options_header(self._disposition)
        if b"filename" in options:
            self.incoming.begin_file()
        else:
            self._name = options.get(b"name", b"").decode("latin-1")

    def _content(self, data: bytes, start: int, end: int) -> None:
        if self._name is None:
            self.incoming.write(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > MAX_FIELD_BYTES:
            raise MalformedUploadError(f"a form field is longer than {MAX_FIELD_BYTES} bytes")

    def _end_part(self) -> None:
        if self._name is not None:
            self.fields[self._name] = self._value.decode("utf-8", errors="replace")
