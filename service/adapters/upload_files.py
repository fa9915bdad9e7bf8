"""Uploads on disk while they arrive, and what is inside zip archives.

Names from the upload never become paths: every file gets a number.
"""

import errno
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

from service.domain.errors import (
    CorruptArchiveError,
    EncryptedArchiveError,
    LimitExceededError,
    NotDicomError,
    StorageError,
    UnsafeArchiveError,
)

CHUNK_BYTES = 1 << 20
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
END_RECORD = b"PK\x05\x06"
END_BYTES = 22
END64_RECORD = b"PK\x06\x06"
# The zip64 record and its locator lie directly before the end record, where zipfile looks.
END64_BYTES = 56 + 20
ZIP_TAIL_BYTES = END64_BYTES + END_BYTES + (1 << 16)
# Most bytes that an entry of the directory may need on average, its long name included.
ENTRY_BYTES = 1024
ENCRYPTED_FLAG = 0x1
# Small archives may be packed as well as they like: an empty image is no bomb.
RATIO_FREE_BYTES = 64 << 20
CORRUPT_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    EOFError,
    struct.error,
    # An unknown way of packing, a name in an unknown encoding, a broken entry.
    NotImplementedError,
    ValueError,
    IndexError,
)


@dataclass(frozen=True)
class UploadLimits:
    """How much an upload may hold.

    Attributes
    ----------
    max_upload_bytes : int
        Of all files as sent.
    max_files : int
        Files as sent plus files in archives.
    max_unpacked_bytes : int
        Of all files in archives.
    max_compression_ratio : float
        Unpacked bytes for one byte of an archive.
    """

    max_upload_bytes: int
    max_files: int
    max_unpacked_bytes: int
    max_compression_ratio: float


class IncomingUpload:
    """An upload that arrives in pieces, in a hidden folder that goes when this context ends.

    Use it so: ``begin_file``, ``write`` any number of times, the next file, and ``finish``. Then
    ``folder`` holds all files, those of archives included, and may be moved away.

    Raises
    ------
    LimitExceededError
        From every method, as soon as a limit is passed.
    StorageError
        From every method, if the disk does not take it.
    """

    def __init__(self, uploads: Path, limits: UploadLimits) -> None:
        self._uploads = uploads
        self._limits = limits
        self._file: IO[bytes] | None = None
        self._files = 0
        self._bytes = 0
        self._unpacked = 0

    def __enter__(self) -> Self:
        with _storage():
            self._uploads.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=".incoming-", dir=self._uploads))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def max_bytes(self) -> int:
        """Most bytes that may be sent."""
        return self._limits.max_upload_bytes

    def begin_file(self) -> None:
        """Begin a file; the one before it is complete."""
        self._close()
        with _storage():
            self._file = self._next_path().open("wb")

    def write(self, chunk: bytes) -> None:
        """Append to the file that was begun last."""
        if self._file is None:
            raise ValueError("write() before begin_file()")
        self._bytes += len(chunk)
        if self._bytes > self._limits.max_upload_bytes:
            raise LimitExceededError(f"more than {self._limits.max_upload_bytes} bytes were sent")
        with _storage():
            self._file.write(chunk)

    def finish(self) -> None:
        """Complete the last file and unpack archives.

        An archive inside an archive stays as it is; it counts as a file that is not DICOM.

        Raises
        ------
        NotDicomError
            If nothing was sent.
        UnsafeArchiveError, CorruptArchiveError, EncryptedArchiveError
            If an archive is no good. Names are checked before anything is unpacked.
        """
        self._close()
        if self._bytes == 0:
            raise NotDicomError("nothing was sent: no file, or only empty ones")
        with _storage():
            for path in [found for found in sorted(self.folder.iterdir()) if _is_zip(found)]:
                self._unpack(path)
                path.unlink()

    def files(self) -> tuple[Path, ...]:
        """Complete the last file and return all as they were sent, archives too, in order."""
        self._close()
        with _storage():
            return tuple(sorted(self.folder.iterdir()))

    def add(self, path: Path) -> None:
        """Copy a file that is here already, counted as if it were sent."""
        self.begin_file()
        with _storage(), path.open("rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                self.write(chunk)

    def _close(self) -> None:
        if self._file is not None:
            with _storage():
                self._file.close()
            self._file = None

    def _next_path(self) -> Path:
        self._files += 1
        if self._files > self._limits.max_files:
            raise LimitExceededError(f"there are more than {self._limits.max_files} files")
        return self.folder / f"{self._files:06d}"

    def _unpack(self, archive: Path) -> None:
        size = archive.stat().st_size
        allowed = max(size * self._limits.max_compression_ratio, RATIO_FREE_BYTES)
        _check_directory(archive, self._limits.max_files)
        with _readable(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            if self._files + len(members) > self._limits.max_files:
                raise LimitExceededError(f"there are more than {self._limits.max_files} files")
            for member in members:
                _check_member(member)
            for chunk in self._unpacked_chunks(opened, members):
                allowed -= chunk
                if allowed < 0:
                    raise UnsafeArchiveError("an archive unpacks to far more than it holds")

    def _unpacked_chunks(
        self, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]
    ) -> Iterator[int]:
        """Write the members of an archive; yield how many bytes after every piece."""
        for member in members:
            with archive.open(member) as source, self._next_path().open("wb") as target:
                while chunk := source.read(CHUNK_BYTES):
                    target.write(chunk)
                    self._count_unpacked(len(chunk))
                    yield len(chunk)

    def _count_unpacked(self, count: int) -> None:
        self._unpacked += count
        if self._unpacked > self._limits.max_unpacked_bytes:
            limit = self._limits.max_unpacked_bytes
            raise LimitExceededError(f"archives unpack to more than {limit} bytes")


def _is_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) in ZIP_STARTS


def _check_directory(path: Path, max_files: int) -> None:
    """Refuse a directory of too many entries before all of it is read into memory.

    Entries of folders count. The number may be a lie, so the size is measured too. Source: APPNOTE
    4.3.14 to 4.3.16. An archive without such a record is left to the reader, which refuses it.
    """
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - ZIP_TAIL_BYTES, 0))
        tail = stream.read()
    bare = len(tail) - END_BYTES
    at_end = tail[bare:].startswith(END_RECORD) and tail.endswith(b"\0\0")
    end = bare if at_end else tail.rfind(END_RECORD)
    if not 0 <= end <= bare:
        return
    entries, size = struct.unpack_from("<HL", tail, end + 10)
    record = end - END64_BYTES
    if record >= 0 and tail[record:].startswith(END64_RECORD):
        entries, size = struct.unpack_from("<QQ", tail, record + 32)
    if entries > max_files or size > max_files * ENTRY_BYTES:
        raise LimitExceededError(f"an archive lists more than {max_files} files")


def _check_member(member: zipfile.ZipInfo) -> None:
    """Refuse names that could leave a folder, links, and what needs a password.

    Messages do not quote names: they may hold a patient's.
    """
    name = member.orig_filename.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in PurePosixPath(name).parts:
        raise UnsafeArchiveError("an archive holds a name that leads out of its folder")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UnsafeArchiveError("an archive holds a symbolic link")
    if member.flag_bits & ENCRYPTED_FLAG:
        raise EncryptedArchiveError("an archive needs a password")


@contextmanager
def _readable(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; whatever shows that it is broken becomes one error."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except CORRUPT_ERRORS as exc:
        raise CorruptArchiveError(f"an archive cannot be read: {type(exc).__name__}") from exc
    except OSError as exc:
        # A broken directory of an archive makes the reader seek to before its beginning.
        if exc.errno != errno.EINVAL:
            raise
        raise CorruptArchiveError("an archive cannot be read: its directory is broken") from exc


@contextmanager
def _storage() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageError(f"the disk did not take the upload: {exc.strerror}") from exc
