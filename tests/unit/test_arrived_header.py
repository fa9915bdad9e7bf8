"""Who an arriving instance is, whatever its file holds."""

import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from service.adapters.arrived_header import read_identity
from service.domain.arrival import ArrivedInstance
from service.domain.errors import InputError, NotDicomError, StorageError
from tests.arrival import PATIENT, series
from tests.results import GRID, IMAGE, labels, segmentation_of
from tests.strategies import enhanced_mr, mr_series


def file_of(folder: Path, content: bytes) -> Path:
    path = folder / "x.dcm"
    path.write_bytes(content)
    return path


def encoded(syntax: str | None = None) -> bytes:
    (instance, *_) = series("a")
    if syntax is not None:
        instance.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_an_image_is_known_in_every_encoding(tmp_path: Path, syntax: str | None) -> None:
    (instance, *_) = series("a")
    path = file_of(tmp_path, encoded(syntax))
    found = read_identity(path)
    assert found == ArrivedInstance(
        str(instance.StudyInstanceUID),
        str(instance.SeriesInstanceUID),
        str(instance.SOPInstanceUID),
        str(instance.SOPClassUID),
        path.stat().st_size,
        is_input=True,
    )
    assert PATIENT not in repr(found)


def test_enhanced_images_are_input_and_our_results_are_not(tmp_path: Path) -> None:
    for instance, expected in (
        (enhanced_mr(IMAGE), (True, False)),
        (segmentation_of(labels(GRID), mr_series(IMAGE)), (False, True)),
    ):
        buffer = BytesIO()
        instance.save_as(buffer, enforce_file_format=True)
        found = read_identity(file_of(tmp_path, buffer.getvalue()))
        assert (found.is_input, found.is_own_output) == expected


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", NotDicomError),
        (b"no DICOM", NotDicomError),
        (bytes(128) + b"DICM", InputError),
        (encoded()[:300], InputError),
        (encoded().replace(b"\x20\x00\x0d\x00UI", b"\x20\x00\x0d\x00LO"), None),
    ],
)
def test_what_cannot_be_known_is_refused(
    tmp_path: Path, content: bytes, error: type[Exception] | None
) -> None:
    path = file_of(tmp_path, content)
    if error is None:
        assert read_identity(path).is_input
        return
    with pytest.raises(error):
        read_identity(path)


def test_a_file_that_is_gone_is_a_fault_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        read_identity(tmp_path / "absent")


def test_a_deflated_bomb_is_not_blown_up(tmp_path: Path) -> None:
    whole = encoded(DeflatedExplicitVRLittleEndian)
    plain = encoded()
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # The same data set, and behind it a gigabyte of zeros.
    bomb = deflater.compress(plain[plain.index(b"\x08\x00\x08\x00CS") :])
    for _ in range(64):
        bomb += deflater.compress(bytes(1 << 24))
    bomb += deflater.flush()
    length = int.from_bytes(whole[140:144], "little")
    head = whole[: 144 + length]
    path = file_of(tmp_path, head + bomb)
    tracemalloc.start()
    try:
        assert read_identity(path).is_input
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


# The library warns of some damage, which the processes of the service do not show.
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example(cut=0, place=132, noise=b"\0")
@given(
    cut=st.integers(0, 1200),
    place=st.integers(132, 900),
    noise=st.binary(max_size=12),
)
def test_damage_is_only_ever_an_error_of_input(
    tmp_path: Path, cut: int, place: int, noise: bytes
) -> None:
    whole = bytearray(encoded())
    whole[place : place + len(noise)] = noise
    path = file_of(tmp_path, bytes(whole[: len(whole) - cut]))
    try:
        found = read_identity(path)
    except InputError as exc:
        assert "Hush" not in str(exc)  # noqa: PT017 - both ways are good
    else:
        assert found.study_instance_uid
