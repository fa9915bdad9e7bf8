"""Instances that are not what they are said to be, or whose first copy was no good."""

from copy import deepcopy
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian
from pynetdicom import _config
from pynetdicom.dsutils import create_file_meta, encode

from tests.arrival import ArrivalWorld, associated, series
from tests.dicom_peers import LEFT_SOCKETS
from tests.strategies import uid

OK = 0x0000
MISMATCH = 0xA900
pytestmark = LEFT_SOCKETS


def said_to_be(folder: Path, instance: Dataset, keyword: str, value: str) -> Path:
    """Write an instance whose file, and so the command that sends it, names another one."""
    path = folder / "x.dcm"
    encoded = encode(instance, is_implicit_vr=False, is_little_endian=True)
    assert encoded is not None
    meta = create_file_meta(
        sop_class_uid=instance.SOPClassUID,
        sop_instance_uid=instance.SOPInstanceUID,
        transfer_syntax=ExplicitVRLittleEndian,
    )
    setattr(meta, keyword, value)
    with path.open("wb") as stream:
        stream.write(bytes(128) + b"DICM")
        write_file_meta_info(stream, meta)  # type: ignore[arg-type] # any stream will do
        stream.write(encoded)
    return path


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("MediaStorageSOPClassUID", str(EnhancedMRImageStorage)),
        ("MediaStorageSOPInstanceUID", uid("another", "instance")),
    ],
)
def test_a_data_set_that_is_not_what_its_command_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keyword: str, value: str
) -> None:
    (first, second, *_) = series("a")
    path = said_to_be(tmp_path, first, keyword, value)
    other = Dataset()
    other.SOPClassUID = EnhancedMRImageStorage
    other.file_meta = first.file_meta
    with ArrivalWorld(tmp_path) as world:
        with associated(world.port, [first, other]) as association:
            with monkeypatch.context() as patch:
                patch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
                answer = association.send_c_store(path)
            assert answer.Status == MISMATCH
            assert "INSTANCE_MISMATCH" in answer.ErrorComment
            assert association.send_c_store(second).Status == OK
        assert world.refusals() == {("scanner", "INSTANCE_MISMATCH"): 1}
        assert world.on_disk() == 1


def half(instance: Dataset) -> Dataset:
    """Return an instance of which the pixels end early."""
    cut = deepcopy(instance)
    cut.PixelData = bytes(instance.PixelData)[: len(instance.PixelData) // 2]
    return cut


def kept(world: ArrivalWorld, instance: Dataset) -> Dataset:
    folders = world.service.gateway.arrivals.folders
    return dcmread(folders.path(instance.StudyInstanceUID, instance.SOPInstanceUID))


def test_a_good_copy_takes_the_place_of_a_truncated_one_and_never_the_other_way(
    tmp_path: Path,
) -> None:
    (first, *_) = series("a")
    with ArrivalWorld(tmp_path) as world:
        assert world.send([half(first)]) == [OK]
        assert kept(world, first).PixelData != first.PixelData
        assert world.send([first]) == [OK]
        assert kept(world, first).PixelData == first.PixelData
        assert world.send([half(first)]) == [OK]
        assert kept(world, first).PixelData == first.PixelData
        assert world.on_disk() == 1
        (job,) = world.after(30)
        assert job.arrival is not None
        assert (job.arrival.instances, job.arrival.duplicates) == (1, 2)


def test_a_good_copy_takes_the_place_of_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (first, *_) = series("a")
    with ArrivalWorld(tmp_path) as world:
        world.send([first])
        place = world.service.gateway.arrivals.folders.path(
            str(first.StudyInstanceUID), str(first.SOPInstanceUID)
        )
        place.write_bytes(bytes(place.stat().st_size))
        assert world.send([first]) == [OK]
        assert kept(world, first).PixelData == first.PixelData
