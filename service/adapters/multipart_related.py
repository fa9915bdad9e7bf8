"""``multipart/related`` of DICOM instances (RFC 2387, PS3.18 8.6.1.2), taken apart as it comes."""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from service.application.arrival_ports import Incoming
from service.domain.errors import MalformedUploadError

MULTIPART_RELATED = "multipart/related"
DICOM = "application/dicom"


class RelatedParts:
    """Writes every part into an upload, as a file of its own.

    Parameters
    ----------
    content_type : str
        That of the whole: ``multipart/related; type="application/dicom"; boundary=...``.

    Raises
    ------
    MalformedUploadError
        If the content type is another one, or the body is not well formed.
    """

    def __init__(self, content_type: str, incoming: Incoming) -> None:
        kind, options = parse_options_header(content_type)
        if kind.decode("latin-1").lower() != MULTIPART_RELATED:
            raise MalformedUploadError(f"this is no {MULTIPART_RELATED}")
        wanted = options.get(b"type", DICOM.encode()).decode("latin-1").lower()
        if wanted != DICOM:
            raise MalformedUploadError(f"the parts are not of type {DICOM}")
        self._incoming = incoming
        self.parts = 0
        try:
            self._parser = MultipartParser(
                options.get(b"boundary", b""),
                {"on_part_begin": self._begin, "on_part_data": self._content},
            )
        except FormParserError as exc:
            raise MalformedUploadError("the boundary in the content type is not allowed") from exc

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as exc:
            raise MalformedUploadError("the body is not well formed multipart") from exc

    def finish(self) -> None:
        """Check that the body is complete."""
        if self._parser.state not in (MultipartState.END, MultipartState.END_BOUNDARY):
            raise MalformedUploadError("the body ends before its last boundary")

    def _begin(self) -> None:
        self.parts += 1
        self._incoming.begin_file()

    def _content(self, data: bytes, start: int, end: int) -> None:
        self._incoming.write(data[start:end])
