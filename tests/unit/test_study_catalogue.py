"""A look at a folder: any number of studies, headers alone if wanted, and what is damaged."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import CTImageStorage, RLELossless

from service.adapters.study_files import ReadLimits, StudyCatalogue, StudyFolder
from service.application.classify_studies import classify_studies, voxel_reader
from service.domain.errors import LimitExceededError, TruncatedFileError
from service.domain.study import SeriesFacts, VolumeFacts
from tests.strategies import enhanced_mr, mr_series, uid, write_instances
from tests.unit.test_study_files import deflated, volume
from tests.unit.test_vendor_elements import mosaic

PIXELS = b"\xe0\x7f\x10\x00"


def look(folder: Path, *, headers_only: bool = False, **limits: int) -> StudyCatalogue:
    return StudyCatalogue.read(
        folder, ReadLimits(**{"max_slices": 1000} | limits), headers_only=headers_only
    )


def series_of(catalogue: StudyCatalogue) -> list[SeriesFacts]:
    return [series for study in catalogue.studies for series in study.facts.series]


def cut(path: Path, behind_tag: int) -> None:
    """End a file so many bytes behind the start of its pixel data element."""
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(PIXELS) + behind_tag])


@pytest.mark.parametrize("headers_only", [False, True])
def test_studies_are_parted_and_in_the_order_of_their_uids(
    tmp_path: Path, headers_only: bool
) -> None:
    for name, patient in (("1.2.30", "A"), ("1.2.4", "B")):
        write_instances(
            mr_series(
                volume(),
                StudyInstanceUID=name,
                PatientID=patient,
                SeriesInstanceUID=f"{name}.1",
            ),
            tmp_path / patient,
        )
    catalogue = look(tmp_path, headers_only=headers_only)
    assert [study.facts.study_instance_uid for study in catalogue.studies] == ["1.2.30", "1.2.4"]
    for study in catalogue.studies:
        (series,) = study.facts.series
        assert series.series_instance_uid == f"{study.facts.study_instance_uid}.1"
        assert len(series.planes) == 5
        assert len(study.datasets(series.series_instance_uid)) == 5
    assert catalogue.damaged_files == ()


def test_no_dicom_is_no_study_and_no_error(tmp_path: Path) -> None:
    assert look(tmp_path) == StudyCatalogue((), 0, ())
    (tmp_path / "letter.txt").write_text("hello")
    (tmp_path / "empty.dcm").touch()
    assert look(tmp_path) == StudyCatalogue((), 2, ())


def test_dicom_without_images_is_a_study(tmp_path: Path) -> None:
    write_instances(mr_series(volume(), SOPClassUID=CTImageStorage, Modality="CT"), tmp_path)
    (study,) = look(tmp_path).studies
    (series,) = study.facts.series
    assert (series.modality, series.planes, series.instance_count) == ("CT", (), 5)


@pytest.mark.parametrize("behind_tag", [0, 2, 60])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_truncated_file_is_named_and_counts_all_the_same(
    tmp_path: Path, compressed: bool, behind_tag: int
) -> None:
    members = mr_series(volume((5, 30, 30)))
    if compressed:
        for instance in members:
            instance.compress(RLELossless, generate_instance_uid=False)
    cut(write_instances(members, tmp_path)[2], behind_tag)
    catalogue = look(tmp_path)
    (damage,) = catalogue.damaged_files
    assert members[2].SOPInstanceUID in damage
    (series,) = series_of(catalogue)
    assert len(series.planes) == series.instance_count == 5
    assert catalogue.ignored_files == 0
    with pytest.raises(TruncatedFileError, match="1 truncated file"):
        StudyFolder.read(tmp_path, max_slices=10)


@pytest.mark.parametrize("compressed", [False, True])
def test_the_pixels_of_a_truncated_file_are_missing_evidence_no_failure(
    tmp_path: Path, compressed: bool
) -> None:
    members = mr_series(volume((8, 30, 30)))
    if compressed:
        for instance in members:
            instance.compress(RLELossless, generate_instance_uid=False)
    paths = write_instances(members, tmp_path)
    (whole,) = look(tmp_path).studies
    (series,) = whole.facts.series
    wanted = VolumeFacts("all", series, series.planes)
    seen = voxel_reader(whole.datasets)(wanted)
    assert seen is not None
    np.testing.assert_array_equal(seen.voxels, volume((8, 30, 30)).voxels)

    cut(paths[2], 60)
    (study,) = look(tmp_path).studies
    assert voxel_reader(study.datasets)(wanted) is None
    report = classify_studies([study], (), with_pixels=True)
    assert [len(each.volumes) for each in report.series] == [1]


def test_a_file_that_ends_inside_its_header_is_damaged_and_does_not_count(tmp_path: Path) -> None:
    (first, *_) = write_instances(mr_series(volume()), tmp_path)
    first.write_bytes(first.read_bytes()[:400])
    for headers_only in (False, True):
        catalogue = look(tmp_path, headers_only=headers_only)
        (damage,) = catalogue.damaged_files
        assert damage == "a DICOM file ends inside its header"
        assert [len(series.planes) for series in series_of(catalogue)] == [4]


def write_all_kinds(folder: Path) -> None:
    """Write classic, compressed, multi-frame and mosaic images, and one that is no MR."""
    write_instances(mr_series(volume(), EchoTime=20.0, SeriesInstanceUID="1.2.1"), folder)
    packed = mr_series(volume((5, 30, 30)), SeriesInstanceUID="1.2.2", SeriesNumber=2)
    for instance in packed:
        instance.compress(RLELossless, generate_instance_uid=False)
    write_instances(packed, folder)
    write_instances([enhanced_mr(volume(), SeriesInstanceUID="1.2.3", SeriesNumber=3)], folder)
    tiled = mosaic((0, 0, 1))
    tiled.SeriesInstanceUID, tiled.SOPInstanceUID, tiled.SeriesNumber = "1.2.4", "1.2.4.1", 4
    tiled.file_meta.MediaStorageSOPInstanceUID = tiled.SOPInstanceUID
    write_instances([tiled], folder)
    write_instances(
        mr_series(
            volume(), SeriesInstanceUID="1.2.5", SOPClassUID=CTImageStorage, SeriesNumber=None
        ),
        folder,
    )


def test_headers_alone_give_the_same_facts(tmp_path: Path) -> None:
    write_all_kinds(tmp_path)
    full, headers = look(tmp_path), look(tmp_path, headers_only=True)
    assert len(series_of(full)) == 5
    assert series_of(headers) == series_of(full)
    for one, other in zip(series_of(headers), series_of(full), strict=True):
        assert [plane.attributes for plane in one.planes] == [
            plane.attributes for plane in other.planes
        ]
    assert len(series_of(full)[3].planes) == 5
    assert series_of(full)[0].attributes["EchoTime"] == 20.0


def test_headers_alone_need_no_pixels(tmp_path: Path) -> None:
    write_all_kinds(tmp_path)
    before = look(tmp_path, headers_only=True)
    for path in tmp_path.iterdir():
        cut(path, 0)
    after = look(tmp_path, headers_only=True)
    assert after.damaged_files == ()
    assert series_of(after) == series_of(before)
    assert [study.facts.input_digest for study in after.studies] == [
        study.facts.input_digest for study in before.studies
    ]


@pytest.mark.parametrize("headers_only", [False, True])
def test_copies_of_an_instance_count_once(tmp_path: Path, headers_only: bool) -> None:
    members = mr_series(volume(), EchoTime=20.0)
    write_instances(members, tmp_path / "a")
    write_instances(members[:2], tmp_path / "b")
    members[4].EchoTime = 30.0
    write_instances(members[4:], tmp_path / "c")
    (study,) = look(tmp_path, headers_only=headers_only).studies
    assert study.facts.duplicate_instances == 3
    assert study.conflicting_duplicates == 1
    assert len(study.facts.series[0].planes) == 5


def test_copies_in_other_studies_are_no_copies(tmp_path: Path) -> None:
    write_instances(mr_series(volume()), tmp_path / "a")
    write_instances(mr_series(volume(), StudyInstanceUID=uid("b")), tmp_path / "b")
    catalogue = look(tmp_path)
    assert [study.facts.duplicate_instances for study in catalogue.studies] == [0, 0]
    assert [len(series.planes) for series in series_of(catalogue)] == [5, 5]


@pytest.mark.parametrize("headers_only", [False, True])
@pytest.mark.parametrize(
    ("limit", "value", "unit"),
    [("max_slices", 9, "image planes"), ("max_pixels", 159, "pixels")],
)
def test_limits_hold_for_all_studies_together(
    tmp_path: Path, headers_only: bool, limit: str, value: int, unit: str
) -> None:
    write_instances(mr_series(volume()), tmp_path / "a")
    write_instances(mr_series(volume(), StudyInstanceUID=uid("b")), tmp_path / "b")
    with pytest.raises(LimitExceededError, match=f"more than {value} {unit}"):
        look(tmp_path, headers_only=headers_only, **{limit: value})
    enough = look(tmp_path, headers_only=headers_only, **{limit: value + 1})
    assert len(enough.studies) == 2


def largest(paths: Iterable[Path]) -> int:
    return max(path.stat().st_size for path in paths)


def test_a_large_file_is_refused_even_where_only_its_header_would_be_read(tmp_path: Path) -> None:
    size = largest(write_instances(mr_series(volume()), tmp_path))
    with pytest.raises(LimitExceededError, match="a DICOM file holds more than"):
        look(tmp_path, headers_only=True, max_file_bytes=size - 1)
    assert look(tmp_path, headers_only=True, max_file_bytes=size).studies


def test_a_deflated_file_counts_as_inflated_even_where_only_headers_are_read(
    tmp_path: Path,
) -> None:
    assert deflated(tmp_path, rows=1024).stat().st_size < 20_000
    limit = 2 * 1024 * 1024
    with pytest.raises(LimitExceededError, match=f"more than {limit} bytes"):
        look(tmp_path, headers_only=True, max_file_bytes=limit)
    enough = look(tmp_path, headers_only=True, max_file_bytes=limit + 100_000)
    assert [len(series.planes) for series in series_of(enough)] == [1]


@pytest.mark.parametrize("whole_first", [True, False])
def test_of_two_copies_the_whole_one_counts(tmp_path: Path, whole_first: bool) -> None:
    series = mr_series(volume())
    whole, damaged = (tmp_path / name for name in ("ab" if whole_first else "ba"))
    write_instances(series, whole)
    for path in write_instances(series, damaged):
        # Another digest, smaller for some of the five and larger for others.
        cut(path, 20)
    catalogue = look(tmp_path)
    assert len(catalogue.damaged_files) == 5
    (study,) = catalogue.studies
    datasets = study.datasets(study.facts.series[0].series_instance_uid)
    assert all(len(dataset.PixelData) > 8 for dataset in datasets)
