"""Uploads while they arrive: limits, archives good and bad, nothing left behind."""

import io
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.upload_files import IncomingUpload, UploadLimits
from service.domain.errors import (
    CorruptArchiveError,
    EncryptedArchiveError,
    InputError,
    LimitExceededError,
    NotDicomError,
    StorageError,
    ThrombolensError,
    UnsafeArchiveError,
)

LIMITS = UploadLimits(
    max_upload_bytes=1 << 20,
    max_files=50,
    max_unpacked_bytes=300 << 20,
    max_compression_ratio=100.0,
)


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return stream.getvalue()


def archive_of(info: zipfile.ZipInfo, content: bytes = b"x") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        opened.writestr("first", b"1")
        opened.writestr(info, content)
    return stream.getvalue()


@contextmanager
def received(uploads: Path, *files: bytes, limits: UploadLimits = LIMITS) -> Iterator[list[bytes]]:
    """Send files in small pieces; yield what lies in the folder then."""
    with IncomingUpload(uploads, limits) as incoming:
        for content in files:
            incoming.begin_file()
            for start in range(0, len(content), 1000):
                incoming.write(content[start : start + 1000])
        incoming.finish()
        yield [path.read_bytes() for path in sorted(incoming.folder.iterdir())]


def refuse(uploads: Path, *files: bytes, limits: UploadLimits = LIMITS) -> ThrombolensError:
    """Send files that are refused; nothing may be left."""
    with pytest.raises(ThrombolensError) as caught, received(uploads, *files, limits=limits):
        pass
    assert list(uploads.iterdir()) == []
    assert list(uploads.parent.iterdir()) == [uploads]
    return caught.value


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    return folder


def test_files_and_the_contents_of_archives_lie_side_by_side(uploads: Path) -> None:
    packed = archive({"study/a/1.dcm": b"one", "study/b/1.dcm": b"two", "empty/": b""})
    with received(uploads, b"zero", packed) as contents:
        assert sorted(contents) == [b"one", b"two", b"zero"]
    assert list(uploads.iterdir()) == []


def test_an_archive_in_an_archive_stays_as_it_is(uploads: Path) -> None:
    inner = archive({"x": b"deep"})
    with received(uploads, archive({"inner.zip": inner})) as contents:
        assert contents == [inner]


def test_a_folder_that_was_taken_over_is_not_deleted(uploads: Path, tmp_path: Path) -> None:
    with IncomingUpload(uploads, LIMITS) as incoming:
        incoming.begin_file()
        incoming.write(b"x")
        incoming.finish()
        incoming.folder.rename(tmp_path / "kept")
    assert (tmp_path / "kept" / "000001").read_bytes() == b"x"


def test_a_file_on_disk_can_be_added(uploads: Path, tmp_path: Path) -> None:
    (tmp_path / "study.zip").write_bytes(archive({"1": b"one"}))
    with IncomingUpload(uploads, LIMITS) as incoming:
        incoming.add(tmp_path / "study.zip")
        incoming.finish()
        assert [path.read_bytes() for path in incoming.folder.iterdir()] == [b"one"]


@pytest.mark.parametrize("files", [(), (b"",), (b"", b"")])
def test_nothing_is_refused(uploads: Path, files: tuple[bytes, ...]) -> None:
    assert isinstance(refuse(uploads, *files), NotDicomError)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/etc/passwd",
        "\\\\server\\share",
        "C:\\evil",
        "c:evil",
        "..\\evil",
        "a\\..\\..\\evil",
    ],
)
def test_names_that_lead_out_are_refused(uploads: Path, name: str) -> None:
    error = refuse(uploads, archive_of(zipfile.ZipInfo(name)))
    assert isinstance(error, UnsafeArchiveError)
    assert "evil" not in str(error)


def test_symbolic_links_are_refused(uploads: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert isinstance(refuse(uploads, archive_of(info, b"/etc/passwd")), UnsafeArchiveError)


def test_an_archive_with_a_password_is_refused(uploads: Path) -> None:
    packed = bytearray(archive({"a": b"secret"}, zipfile.ZIP_STORED))
    # The flag stands in the local header and in the directory (APPNOTE 4.3.7, 4.3.12).
    packed[6] |= 1
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    assert isinstance(refuse(uploads, bytes(packed)), EncryptedArchiveError)


def test_too_many_bytes_are_refused_while_they_arrive(uploads: Path) -> None:
    with IncomingUpload(uploads, replace(LIMITS, max_upload_bytes=1500)) as incoming:
        incoming.begin_file()
        incoming.write(b"x" * 1000)
        with pytest.raises(LimitExceededError, match="1500 bytes"):
            incoming.write(b"x" * 1000)


def test_too_many_files_are_refused(uploads: Path) -> None:
    limits = replace(LIMITS, max_files=3)
    assert isinstance(refuse(uploads, *[b"x"] * 4, limits=limits), LimitExceededError)
    packed = archive({str(number): b"x" for number in range(4)})
    assert isinstance(refuse(uploads, packed, limits=limits), LimitExceededError)


def claiming(packed: bytes, entries: int) -> bytes:
    """Change how many entries the end of the directory names (APPNOTE 4.3.16)."""
    return packed[:-14] + struct.pack("<HH", entries, entries) + packed[-10:]


def as_zip64(packed: bytes) -> bytes:
    """Move count and size of the directory into a zip64 record (APPNOTE 4.3.14, 4.3.15)."""
    _, _, _, _, entries, size, start, _ = struct.unpack("<4s4H2LH", packed[-22:])
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, start
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(packed) - 22, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return packed[:-22] + record + locator + end


FOLDERS = archive({f"{number}/": b"" for number in range(100)} | {"a": b"x"})


@pytest.mark.parametrize(
    "packed", [FOLDERS, as_zip64(FOLDERS), claiming(FOLDERS, 1)], ids=["zip", "zip64", "lie"]
)
def test_a_long_directory_is_refused_before_it_is_read(uploads: Path, packed: bytes) -> None:
    limits = replace(LIMITS, max_files=3)
    assert isinstance(refuse(uploads, packed, limits=limits), LimitExceededError)


def test_a_zip64_archive_is_read(uploads: Path) -> None:
    with received(uploads, as_zip64(archive({"a": b"one"}))) as contents:
        assert contents == [b"one"]


def test_members_are_counted_before_they_are_looked_at(uploads: Path) -> None:
    packed = claiming(archive(dict.fromkeys(("../evil", "a", "b", "c"), b"x")), 1)
    limits = replace(LIMITS, max_files=3)
    assert isinstance(refuse(uploads, packed, limits=limits), LimitExceededError)


def test_a_bomb_is_stopped_by_its_ratio(uploads: Path) -> None:
    error = refuse(uploads, archive({"zeros": bytes(70 << 20)}))
    assert isinstance(error, UnsafeArchiveError)


def test_a_bomb_is_stopped_by_its_size_whatever_its_headers_say(uploads: Path) -> None:
    packed = bytearray(archive({"zeros": bytes(2 << 20)}))
    directory = packed.index(b"PK\x01\x02")
    packed[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    limits = replace(LIMITS, max_unpacked_bytes=1 << 20)
    error = refuse(uploads, bytes(packed), limits=limits)
    assert isinstance(error, LimitExceededError | CorruptArchiveError)
    honest = archive({"zeros": bytes(2 << 20)})
    assert isinstance(refuse(uploads, honest, limits=limits), LimitExceededError)


@pytest.mark.parametrize(
    "broken",
    [
        archive({"a": b"text" * 100})[:-30],
        archive({"a": b"text" * 100})[:60],
        b"PK\x03\x04" + bytes(100),
        archive({"a": b"text" * 100}).replace(b"\x08\x00", b"\x63\x00"),
    ],
    # Named, as an archive holds the time it was made, and workers must collect the same names.
    ids=["cut in the directory", "cut in a member", "no member", "unknown method"],
)
def test_a_broken_archive_is_refused(uploads: Path, broken: bytes) -> None:
    assert isinstance(refuse(uploads, broken), CorruptArchiveError)


def test_a_wrong_checksum_is_refused(uploads: Path) -> None:
    packed = archive({"a": b"text-text"}, zipfile.ZIP_STORED).replace(b"text-text", b"text-tezt")
    assert isinstance(refuse(uploads, packed), CorruptArchiveError)


def test_a_disk_that_does_not_take_it_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(StorageError), IncomingUpload(blocked / "uploads", LIMITS):
        pass


@given(data=st.data())
def test_any_damage_to_an_archive_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    packed = bytearray(archive({"a/1": b"one" * 50, "b": b"two"}))
    for position in data.draw(st.lists(st.integers(0, len(packed) - 1), max_size=6)):
        packed[position] = data.draw(st.integers(0, 255))
    uploads = tmp_path_factory.mktemp("damage") / "uploads"
    sent = bytes(packed[: data.draw(st.integers(1, len(packed)))])
    with suppress(InputError), received(uploads, sent):
        pass
    assert list(uploads.iterdir()) == []
