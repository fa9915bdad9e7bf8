"""Reading a folder: what is refused, what is counted, what the facts hold."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SegmentationStorage,
)

from service.adapters.study_files import StudyFolder
from service.domain.errors import (
    LimitExceededError,
    MixedStudiesError,
    NoMagneticResonanceError,
    NotDicomError,
    TruncatedFileError,
)
from service.domain.geometry import Geometry
from service.domain.study import OWN_OUTPUT, PlaneFacts
from service.domain.volume import Volume
from tests.strategies import enhanced_mr, mr_series, uid, write_instances


def volume(shape: tuple[int, int, int] = (5, 4, 4)) -> Volume:
    grid = Geometry.from_components(
        origin=(0, 0, 0), axes=[[0, 0, 1], [0, 1, 0], [1, 0, 0]], spacing=(3, 1, 1), shape=shape
    )
    return Volume(np.arange(np.prod(shape)).reshape(shape), grid)


def read(folder: Path, max_slices: int = 1000) -> StudyFolder:
    return StudyFolder.read(folder, max_slices=max_slices)


def only_planes(folder: Path) -> tuple[PlaneFacts, ...]:
    (series,) = read(folder).facts.series
    return series.planes


def test_other_files_and_directories_are_counted_not_read(tmp_path: Path) -> None:
    write_instances(mr_series(volume()), tmp_path / "deep" / "inside")
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "starts_alike.bin").write_bytes(b"\x08\x00" + b"\xff" * 300)
    directory = get_testdata_file("DICOMDIR")
    assert isinstance(directory, str)
    (tmp_path / "DICOMDIR").write_bytes(Path(directory).read_bytes())
    facts = read(tmp_path).facts
    assert facts.ignored_files == 4
    assert [len(series.planes) for series in facts.series] == [5]


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    write_instances(mr_series(volume()), tmp_path / "elsewhere")
    upload = tmp_path / "upload"
    upload.mkdir()
    (upload / "link.dcm").symlink_to(next((tmp_path / "elsewhere").iterdir()))
    with pytest.raises(NotDicomError, match="none of 0 files"):
        read(upload)


def test_nothing_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG" + bytes(400))
    with pytest.raises(NotDicomError, match="none of 1 files"):
        read(tmp_path)


def test_without_mr_there_is_nothing_to_do(tmp_path: Path) -> None:
    write_instances(mr_series(volume(), SOPClassUID=CTImageStorage, Modality="CT"), tmp_path)
    with pytest.raises(NoMagneticResonanceError, match="5 DICOM files, no MR image"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("keyword", "other"),
    [("PatientID", "SECRET-2"), ("StudyInstanceUID", uid("another study"))],
)
def test_mixed_uploads_are_refused_without_saying_whose(
    tmp_path: Path, keyword: str, other: str
) -> None:
    write_instances(mr_series(volume()), tmp_path)
    strangers = mr_series(volume(), SeriesInstanceUID=uid("b"))
    for instance in strangers:
        setattr(instance, keyword, other)
    write_instances(strangers, tmp_path)
    with pytest.raises(MixedStudiesError) as caught:
        read(tmp_path)
    assert "SECRET" not in str(caught.value)
    assert "TEST-0001" not in str(caught.value)
    assert "." not in str(caught.value)


def test_missing_patient_id_is_not_another_patient(tmp_path: Path) -> None:
    write_instances(mr_series(volume()), tmp_path)
    write_instances(mr_series(volume(), SeriesInstanceUID=uid("b"), PatientID=""), tmp_path)
    assert len(read(tmp_path).facts.series) == 2


@pytest.mark.parametrize("share", [0.99, 0.8, 0.5, 0.3])
@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_files_are_found(tmp_path: Path, share: float, compressed: bool) -> None:
    series = mr_series(volume((5, 30, 30)))
    if compressed:
        for instance in series:
            instance.compress(RLELossless, generate_instance_uid=False)
    path = write_instances(series, tmp_path)[2]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(TruncatedFileError, match="1 truncated file"):
        read(tmp_path)


def test_missing_frames_of_a_multi_frame_are_found(tmp_path: Path) -> None:
    instance = enhanced_mr(volume())
    instance.PixelData = instance.PixelData[: 4 * 4 * 4 * 2]
    write_instances([instance], tmp_path)
    with pytest.raises(TruncatedFileError, match=r"128 of 160 bytes"):
        read(tmp_path)


def test_too_many_planes_are_refused(tmp_path: Path) -> None:
    write_instances([enhanced_mr(volume((20, 4, 4)))], tmp_path)
    with pytest.raises(LimitExceededError, match="more than 19 image planes"):
        read(tmp_path, max_slices=19)
    assert len(only_planes(tmp_path)) == 20


def deflated(folder: Path, rows: int) -> Path:
    """Write one plane of zeros, rows x rows, that takes hardly any bytes."""
    (instance,) = mr_series(volume((1, 4, 4)))
    instance.Rows = instance.Columns = rows
    instance.PixelData = bytes(2 * rows * rows)
    instance.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    (path,) = write_instances([instance], folder)
    return path


def test_a_deflated_file_counts_as_it_is_inflated(tmp_path: Path) -> None:
    path = deflated(tmp_path, rows=1024)
    assert path.stat().st_size < 20_000
    limit = 2 * 1024 * 1024
    with pytest.raises(LimitExceededError, match=f"more than {limit} bytes"):
        StudyFolder.read(tmp_path, max_slices=10, max_file_bytes=limit)
    study = StudyFolder.read(tmp_path, max_slices=10, max_file_bytes=limit + 100_000)
    assert [len(series.planes) for series in study.facts.series] == [1]


def rewritten(path: Path, group_length: int | None, *, preamble: bool = True) -> None:
    """Give a file another group length, or none, and take its preamble away."""
    content = path.read_bytes()
    assert content[132:138] == b"\x02\x00\x00\x00UL"
    head = b"" if group_length is None else content[132:140] + struct.pack("<I", group_length)
    path.write_bytes((content[:132] if preamble else b"") + head + content[144:])


@pytest.mark.parametrize("group_length", [0, 207, 9000, None])
@pytest.mark.parametrize("preamble", [True, False])
def test_a_deflated_file_cannot_hide_behind_its_header(
    tmp_path: Path, group_length: int | None, preamble: bool
) -> None:
    rewritten(deflated(tmp_path, rows=1024), group_length, preamble=preamble)
    with pytest.raises(LimitExceededError, match="a DICOM file holds more than"):
        StudyFolder.read(tmp_path, max_slices=10, max_file_bytes=2 * 1024 * 1024)


def test_a_damaged_transfer_syntax_is_a_truncated_file(tmp_path: Path) -> None:
    (path, *_) = write_instances(mr_series(volume()), tmp_path)
    syntax = b"\x02\x00\x10\x00U"
    path.write_bytes(path.read_bytes().replace(syntax + b"I", syntax + b"\0", 1))
    with pytest.raises(TruncatedFileError, match="ends inside its header"):
        read(tmp_path)


def test_pixels_are_counted_as_the_header_promises_them(tmp_path: Path) -> None:
    write_instances(mr_series(volume()), tmp_path)
    with pytest.raises(LimitExceededError, match="more than 79 pixels"):
        StudyFolder.read(tmp_path, max_slices=10, max_pixels=79)
    StudyFolder.read(tmp_path, max_slices=10, max_pixels=80)


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (path, *_) = write_instances(mr_series(volume()), tmp_path)
    size = path.stat().st_size
    with pytest.raises(LimitExceededError, match="a DICOM file holds more than"):
        StudyFolder.read(tmp_path, max_slices=10, max_file_bytes=size - 1)
    StudyFolder.read(tmp_path, max_slices=10, max_file_bytes=size)


def test_same_instance_twice_counts_once(tmp_path: Path) -> None:
    series = mr_series(volume())
    write_instances(series, tmp_path / "a")
    write_instances(series[:2], tmp_path / "b")
    study = read(tmp_path)
    assert study.facts.duplicate_instances == 2
    assert study.conflicting_duplicates == 0
    assert len(study.facts.series[0].planes) == 5


def test_conflicting_copies_are_told_and_chosen_by_content(tmp_path: Path) -> None:
    series = mr_series(volume())
    changed = mr_series(volume())[:1]
    changed[0].PixelData = bytes(len(changed[0].PixelData))
    digests, chosen = set(), set()
    for name, first, second in (("x", series, changed), ("y", changed, series)):
        write_instances(first, tmp_path / name / "1")
        write_instances(second, tmp_path / name / "2")
        study = read(tmp_path / name)
        assert study.conflicting_duplicates == 1
        digests.add(study.facts.input_digest)
        chosen.add(study.datasets(series[0].SeriesInstanceUID)[0].PixelData)
    assert len(digests) == len(chosen) == 1


def test_digest_knows_contents_not_names(tmp_path: Path) -> None:
    series = mr_series(volume())
    write_instances(series, tmp_path / "a")
    for index, path in enumerate(reversed(write_instances(series, tmp_path / "b" / "c"))):
        path.rename(path.with_name(f"{index:03}"))
    assert read(tmp_path / "a").facts.input_digest == read(tmp_path / "b").facts.input_digest
    series[0].PixelData = bytes(len(series[0].PixelData))
    write_instances(series, tmp_path / "d")
    assert read(tmp_path / "a").facts.input_digest != read(tmp_path / "d").facts.input_digest


def test_own_results_are_marked_and_do_not_change_the_input(tmp_path: Path) -> None:
    write_instances(mr_series(volume()), tmp_path)
    before = read(tmp_path).facts
    own = mr_series(
        volume((1, 4, 4)),
        SOPClassUID=SegmentationStorage,
        Modality="SEG",
        ManufacturerModelName="Thrombolens",
        SeriesInstanceUID=uid("own"),
        SeriesNumber=9000,
    )
    write_instances(own, tmp_path)
    after = read(tmp_path).facts
    assert after.input_digest == before.input_digest
    assert after.series[1].attributes[OWN_OUTPUT] == "YES"
    assert after.series[1].planes == ()


def test_an_mr_series_of_that_name_is_an_input(tmp_path: Path) -> None:
    write_instances(mr_series(volume(), Manufacturer="Thrombolens simulator"), tmp_path)
    (series,) = read(tmp_path).facts.series
    assert OWN_OUTPUT not in series.attributes


def test_file_without_preamble_is_read(tmp_path: Path) -> None:
    series = mr_series(volume())
    for instance in series:
        del instance.file_meta
        path = tmp_path / f"{instance.InstanceNumber}"
        instance.save_as(path, implicit_vr=True, little_endian=True)
    study = read(tmp_path)
    assert len(study.facts.series[0].planes) == 5
    dataset = study.datasets(series[0].SeriesInstanceUID)[1]
    assert dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    np.testing.assert_array_equal(dataset.pixel_array, volume().voxels[1])


def test_series_and_planes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_instances(mr_series(volume(), SeriesNumber=12, SeriesInstanceUID="1.2.3"), tmp_path)
    write_instances(mr_series(volume(), SeriesNumber=3, SeriesInstanceUID="1.2.4"), tmp_path)
    study = read(tmp_path)
    assert [series.series_number for series in study.facts.series] == [3, 12]
    assert [plane.position for plane in study.facts.series[0].planes] == [
        (0.0, 0.0, 3.0 * index) for index in range(5)
    ]
    datasets = study.datasets("1.2.4")
    assert [dataset.InstanceNumber for dataset in datasets] == [1, 2, 3, 4, 5]
    with pytest.raises(KeyError):
        study.datasets("1.2.5")


def test_shared_facts_are_those_that_all_planes_have(tmp_path: Path) -> None:
    series = mr_series(volume(), EchoTime=20.0)
    series[0].EchoTime = 5.0
    write_instances(series, tmp_path)
    (facts,) = read(tmp_path).facts.series
    assert "EchoTime" not in facts.attributes
    assert facts.attributes["Modality"] == "MR"
    assert facts.instance_count == 5


def test_nobody_is_named_in_the_facts(tmp_path: Path) -> None:
    write_instances(mr_series(volume(), ReferringPhysicianName="Secret^Doctor"), tmp_path)
    study = read(tmp_path)
    everything = repr([plane.attributes for plane in study.facts.series[0].planes])
    for secret in ("Secret", "Test^Subject", "TEST-0001"):
        assert secret not in everything
        assert secret not in repr(study)


def test_unreadable_values_are_absent(tmp_path: Path) -> None:
    series = mr_series(volume(), EchoTime=20.0, FlipAngle=15.0)
    paths = write_instances(series, tmp_path)
    content = paths[0].read_bytes()
    broken = content.replace(b"\x18\x00\x81\x00DS\x04\x0020.0", b"\x18\x00\x81\x00DS\x04\x00lang")
    assert broken != content
    paths[0].write_bytes(broken)
    first = only_planes(tmp_path)[0]
    assert "EchoTime" not in first.attributes
    assert first.attributes["FlipAngle"] == 15.0


def diffusion_item(b_value: float, direction: Sequence[float] | None) -> Dataset:
    item = Dataset()
    item.DiffusionBValue = b_value
    item.DiffusionDirectionality = "DIRECTIONAL" if direction else "NONE"
    if direction:
        vector = Dataset()
        vector.DiffusionGradientOrientation = list(direction)
        item.DiffusionGradientDirectionSequence = [vector]
    return item


def test_functional_groups_are_merged_into_every_plane(tmp_path: Path) -> None:
    instance = enhanced_mr(volume())
    timing = Dataset()
    timing.RepetitionTime, timing.FlipAngle = 4000.0, 90.0
    shared = instance.SharedFunctionalGroupsSequence[0]
    shared.MRTimingAndRelatedParametersSequence = [timing]
    for index, frame in enumerate(instance.PerFrameFunctionalGroupsSequence):
        weighted = index % 2 == 1
        frame.MRDiffusionSequence = [
            diffusion_item(1000.0 * weighted, (1.0, 0.0, 0.0) if weighted else None)
        ]
    write_instances([instance], tmp_path)
    planes = only_planes(tmp_path)
    assert [plane.frame_number for plane in planes] == [1, 2, 3, 4, 5]
    assert [plane.attributes["DiffusionBValue"] for plane in planes] == [0, 1000, 0, 1000, 0]
    assert planes[1].attributes["DiffusionGradientOrientation"] == (1.0, 0.0, 0.0)
    assert "DiffusionGradientOrientation" not in planes[0].attributes
    assert {plane.attributes["RepetitionTime"] for plane in planes} == {4000.0}
    assert {plane.pixel_spacing for plane in planes} == {(1.0, 1.0)}
    assert planes[3].position == (0.0, 0.0, 9.0)
