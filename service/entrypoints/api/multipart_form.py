"""``multipart/form-data`` as it comes in: files go to the upload, one field is kept."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from service.adapters.upload_files import IncomingUpload
from service.domain.errors import MalformedUploadError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MODEL_FIELD = "model"
MAX_FIELD_BYTES = 256

Feed = Callable[[bytes], None]


@dataclass
class MultipartForm:
    """Parses ``multipart/form-data`` (RFC 7578): files go to the upload, one field is kept."""

    incoming: IncomingUpload
    model: str | None = None
    _header: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    _disposition: bytes = b""
    _name: str | None = None  # None in a file
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
        try:
            parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as exc:
            raise MalformedUploadError("the boundary in the content type is not allowed") from exc

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
        if self._name != MODEL_FIELD:
            return
        self._value += data[start:end]
        if len(self._value) > MAX_FIELD_BYTES:
            raise MalformedUploadError(f"a form field is longer than {MAX_FIELD_BYTES} bytes")

    def _end_part(self) -> None:
        if self._name == MODEL_FIELD:
            self.model = self._value.decode("utf-8", errors="replace")
