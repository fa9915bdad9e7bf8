import copy
import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from service.domain.errors import GeometryError, SelfCheckError
from service.domain.finding import Side
from service.domain.geometry import Geometry
from service.domain.identity import ResultIdentity, derive_uid
from service.domain.volume import Volume
from service.stages.check_segmentation import (
    MANY_FRAMES,
    check_segmentation,
    segmentation_warnings,
)
from service.stages.result_object import encode
from service.stages.source_headers import latest_acquisition
from service.stages.write_segmentation import frame_sources, write_segmentation
from tests.results import (
    GRID,
    IDENTITY,
    IMAGE,
    MODEL,
    finding,
    findings_of,
    labels,
    planes_of,
    segmentation_of,
)
from tests.strategies import enhanced_mr, mr_series

MASK = labels(GRID, 2)


def test_uids_depend_on_every_part_and_on_where_parts_end() -> None:
    uids = {derive_uid("ab", "c"), derive_uid("a", "bc"), derive_uid("abc"), derive_uid("ab", "d")}
    assert len(uids) == 4
    assert derive_uid("ab", "c") in uids


def test_uids_are_legal_and_carry_version_8_of_a_uuid() -> None:
    for number in range(200):
        text = derive_uid("legal", str(number))
        root, value = text.rsplit(".", 1)
        assert root == "2.25"
        assert len(text) <= 64
        assert f"{int(value):032x}"[12] == "8"
        assert f"{int(value):032x}"[16] in "89ab"


def test_a_uid_needs_a_part() -> None:
    with pytest.raises(ValueError, match="at least one"):
        derive_uid()


def test_same_input_gives_the_same_bytes() -> None:
    first = encode(segmentation_of(MASK, mr_series(IMAGE)))
    assert first == encode(segmentation_of(MASK, mr_series(IMAGE)))


def test_odd_pixel_data_ends_with_a_null_byte() -> None:
    # Three frames of 24 bits are nine bytes.
    grid = Geometry(GRID.affine, (3, 4, 6), GRID.frame_of_reference_uid)
    mask = Volume(np.ones(grid.shape, np.uint16), grid)
    written = segmentation_of(mask, mr_series(mask))
    assert written.PixelData == b"\xff" * 9 + b"\0"
    check_segmentation(written, mask)


def test_another_analysis_has_other_uids() -> None:
    series = mr_series(IMAGE)
    other = ResultIdentity(analysis_digest="ef" * 32, software_version="0.1.0")
    written = [
        write_segmentation(MASK, findings_of(MASK), series, planes_of(series), MODEL, identity)
        for identity in (IDENTITY, other)
    ]
    assert written[0].SOPInstanceUID != written[1].SOPInstanceUID
    assert written[0].SeriesInstanceUID != written[1].SeriesInstanceUID
    assert written[0].StudyInstanceUID == written[1].StudyInstanceUID


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS:UserWarning")
def test_sources_are_not_changed() -> None:
    series = mr_series(IMAGE, PatientSex="unknown", PatientBirthDate="")
    before = copy.deepcopy(series)
    segmentation_of(MASK, series)
    assert series == before


def test_segments_say_what_they_are() -> None:
    segments = segmentation_of(MASK, mr_series(IMAGE)).SegmentSequence
    assert [segment.SegmentNumber for segment in segments] == [1, 2]
    for segment in segments:
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "396339007"
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert MODEL.sha256 in algorithm.AlgorithmParameters
        assert "threshold=0.4" in algorithm.AlgorithmParameters
        assert "peak=0.5" in algorithm.AlgorithmParameters
    assert segments[0].TrackingUID == IDENTITY.tracking_uid(1) != segments[1].TrackingUID


@pytest.mark.parametrize(
    ("side", "code"), [(Side.LEFT, "7771000"), (Side.RIGHT, "24028007"), (Side.MIDLINE, None)]
)
def test_laterality_is_coded_where_there_is_one(side: Side, code: str | None) -> None:
    mask, series = labels(GRID, 1), mr_series(IMAGE)
    written = write_segmentation(
        mask, [finding(1, side=side)], series, planes_of(series), MODEL, IDENTITY
    )
    region = written.SegmentSequence[0].AnatomicRegionSequence[0]
    assert region.CodeValue == "12738006"
    modifiers = region.get("AnatomicRegionModifierSequence", [])
    assert [modifier.CodeValue for modifier in modifiers] == ([] if code is None else [code])


def test_slice_spacing_comes_from_positions_and_thickness_from_the_header() -> None:
    series = mr_series(IMAGE, SpacingBetweenSlices="0.9", SliceThickness="3.5")
    shared = segmentation_of(MASK, series).SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == pytest.approx(4.4)
    assert float(measures.SliceThickness) == 3.5
    assert [float(mm) for mm in measures.PixelSpacing] == pytest.approx([0.6, 0.9])


def test_frames_name_the_true_frames_of_an_enhanced_source() -> None:
    # Frames 1..8 show something else at the same places; the volume is frames 9..16.
    source = enhanced_mr(IMAGE)
    frames = source.PerFrameFunctionalGroupsSequence
    source.PerFrameFunctionalGroupsSequence = list(frames) + copy.deepcopy(list(frames))
    source.NumberOfFrames = 16
    planes = planes_of([source])[8:]
    written = write_segmentation(MASK, findings_of(MASK), [source], planes, MODEL, IDENTITY)
    check_segmentation(written, MASK)
    for frame, image in zip(
        written.PerFrameFunctionalGroupsSequence, frame_sources(written), strict=True
    ):
        position = frame.PlanePositionSequence[0].ImagePositionPatient
        index = int(np.rint(GRID.to_index([float(mm) for mm in position])[0]))
        assert image.ReferencedFrameNumber == 9 + index
        assert image.ReferencedSOPClassUID == source.SOPClassUID
        assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert len(written.SourceImageSequence) == 1
    assert len(written.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 1


@pytest.mark.parametrize("enhanced", [False, True])
def test_findings_on_one_slice_name_the_same_source(enhanced: bool) -> None:
    voxels = np.zeros(GRID.shape, np.uint16)
    voxels[3, 4, 5:8], voxels[3, 10, 5:8] = 1, 2
    mask = Volume(voxels, GRID)
    source = [enhanced_mr(IMAGE)] if enhanced else mr_series(IMAGE)
    written = segmentation_of(mask, source)
    check_segmentation(written, mask)
    plane = planes_of(source)[3]
    for image in frame_sources(written):
        assert image.ReferencedSOPInstanceUID == plane.sop_instance_uid
        assert image.get("ReferencedFrameNumber") == plane.frame_number


def test_tiles_of_a_mosaic_do_not_claim_its_pixels() -> None:
    series = mr_series(IMAGE)
    planes = [dataclasses.replace(plane, tile=0) for plane in planes_of(series)]
    written = write_segmentation(MASK, findings_of(MASK), series, planes, MODEL, IDENTITY)
    check_segmentation(written, MASK)
    assert {image.SpatialLocationsPreserved for image in frame_sources(written)} == {"NO"}
    assert [w.code for w in segmentation_warnings(written)] == ["SEGMENTATION_OF_MOSAIC"]


def test_shuffled_sources_are_found_by_their_uid() -> None:
    series = mr_series(IMAGE)
    planes = planes_of(series)
    written = write_segmentation(MASK, findings_of(MASK), series[::-1], planes, MODEL, IDENTITY)
    check_segmentation(written, MASK)
    first = planes_of(series)[0].sop_instance_uid
    assert written.SourceImageSequence[0].ReferencedSOPInstanceUID == first


BROKEN_HEADERS: dict[str, dict[str, Any]] = {
    "no type 2 attributes": dict.fromkeys(
        ("PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "SliceThickness")
    ),
    "zero birth date": {"PatientBirthDate": "00000000"},
    "year zero": {"PatientBirthDate": "00000101", "StudyDate": "00000101"},
    "no such sex": {"PatientSex": "W"},
    "bad times": {"StudyTime": "25:61:00", "AcquisitionTime": "noon"},
    "too long accession number": {"AccessionNumber": "A" * 30},
    "single-component name": {"PatientName": "JustOneName"},
    "Latin-1": {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jörg"},
    "UTF-8": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "山田^太郎"},
    "no manufacturer": {"Manufacturer": ""},
    "zero thickness": {"SliceThickness": "0"},
    "gap for spacing": {"SpacingBetweenSlices": "1.1"},
}


@pytest.mark.filterwarnings("ignore:.*alue for VR:UserWarning")
@pytest.mark.filterwarnings("ignore:The value length:UserWarning")
@pytest.mark.parametrize("attributes", BROKEN_HEADERS.values(), ids=BROKEN_HEADERS)
def test_broken_headers_do_not_stop_the_segmentation(attributes: dict[str, Any]) -> None:
    series = mr_series(IMAGE, **attributes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = segmentation_of(MASK, series)
        check_segmentation(written, MASK)
    source = series[0]
    assert str(written.PatientName) == str(source.PatientName)
    assert written.PatientID == source.PatientID
    assert (written.AccessionNumber or "") == source.get("AccessionNumber", "")


def test_orientations_that_differ_in_the_last_digit_are_one_orientation() -> None:
    series = mr_series(IMAGE)
    cosines = list(series[3].ImageOrientationPatient)
    cosines[0] = float(cosines[0]) + 1e-8
    series[3].ImageOrientationPatient = cosines
    check_segmentation(segmentation_of(MASK, series), MASK)


@pytest.mark.parametrize(
    "keyword", ["FrameOfReferenceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
def test_missing_identifiers_are_named_not_invented(keyword: str) -> None:
    series = mr_series(IMAGE)
    for instance in series:
        delattr(instance, keyword)
    with pytest.raises(GeometryError, match=keyword):
        segmentation_of(MASK, series)


def test_times_are_the_source_s_latest_acquisition() -> None:
    series = mr_series(IMAGE, AcquisitionDate="20240102", AcquisitionTime="101112")
    series[5].AcquisitionTime = "101315.5"
    written = segmentation_of(MASK, series)
    for keyword in ("Content", "Series"):
        assert str(written[f"{keyword}Date"].value) == "20240102"
        assert str(written[f"{keyword}Time"].value) == "101315.500000"
    assert "InstanceCreationDate" not in written


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"AcquisitionDateTime": "20240102030405.25+0200"}, "2024-01-02T03:04:05.250000"),
        ({"AcquisitionDate": "20240102", "AcquisitionTime": ""}, "2024-01-02T00:00:00"),
        ({"AcquisitionDate": "nonsense", "StudyDate": "20240103"}, "2024-01-03T00:00:00"),
        ({"StudyTime": "101010"}, None),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")
def test_the_time_of_acquisition(attributes: dict[str, str], expected: str | None) -> None:
    header = Dataset()
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    stated = latest_acquisition([header])
    assert (stated and stated.isoformat()) == expected


def test_a_source_without_any_date_gets_the_date_that_means_none() -> None:
    written = segmentation_of(MASK, mr_series(IMAGE, StudyDate="", StudyTime=""))
    assert str(written.ContentDate) == "19000101"
    check_segmentation(written, MASK)


@pytest.mark.parametrize("numbers", [(), (2,), (1, 3), (1, 2, 3), (1,)])
def test_findings_and_mask_must_belong_together(numbers: tuple[int, ...]) -> None:
    series = mr_series(IMAGE)
    findings = [finding(number) for number in numbers]
    with pytest.raises(SelfCheckError):
        write_segmentation(MASK, findings, series, planes_of(series), MODEL, IDENTITY)


def test_planes_must_be_the_slices_of_the_mask() -> None:
    series = mr_series(IMAGE)
    planes = planes_of(series)
    for wrong in (planes[:-1], planes[::-1], planes_of(mr_series(labels(_smaller(GRID))))):
        with pytest.raises(SelfCheckError, match="source plane"):
            write_segmentation(MASK, findings_of(MASK), series, wrong, MODEL, IDENTITY)
    with pytest.raises(SelfCheckError, match="no data set"):
        write_segmentation(MASK, findings_of(MASK), series[1:], planes, MODEL, IDENTITY)


def _smaller(grid: Geometry) -> Geometry:
    return Geometry(grid.affine, (grid.shape[0], 12, 12), grid.frame_of_reference_uid)


def _moved_frame(segmentation: Dataset) -> None:
    frame = segmentation.PerFrameFunctionalGroupsSequence[0]
    x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
    frame.PlanePositionSequence[0].ImagePositionPatient = [x, y, float(z) + 0.5]


def _changed_pixel(segmentation: Dataset) -> None:
    first, *rest = segmentation.PixelData
    segmentation.PixelData = bytes([first ^ 1, *rest])


def _turned(segmentation: Dataset) -> None:
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


def _no_source(segmentation: Dataset) -> None:
    segmentation.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence = []


def _foreign_source(segmentation: Dataset) -> None:
    next(frame_sources(segmentation)).ReferencedSOPInstanceUID = "1.2.3"


def _other_frame_of_reference(segmentation: Dataset) -> None:
    segmentation.FrameOfReferenceUID = "1.2.3"


def _no_notice(segmentation: Dataset) -> None:
    segmentation.SeriesDescription = "thrombus"


def _wrong_segment(segmentation: Dataset) -> None:
    frame = segmentation.PerFrameFunctionalGroupsSequence[0]
    frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 2


def _no_segment(segmentation: Dataset) -> None:
    del segmentation.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence


def _wrong_spacing(segmentation: Dataset) -> None:
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence[0].PixelSpacing = [0.9, 0.6]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_moved_frame, "beside the mask"),
        (_changed_pixel, "voxels differ"),
        (_turned, "orientation differs"),
        (_no_source, "names 0 source images"),
        (_foreign_source, "no referenced series"),
        (_other_frame_of_reference, "frame of reference"),
        (_no_notice, "notice"),
        (_wrong_segment, "voxels differ"),
        (_no_segment, "cannot be read back"),
        (_wrong_spacing, "beside the mask|voxels differ"),
    ],
)
def test_the_self_check_names_damage(damage: object, message: str) -> None:
    written = copy.deepcopy(segmentation_of(MASK, mr_series(IMAGE)))
    assert callable(damage)
    damage(written)
    with pytest.raises(SelfCheckError, match=message):
        check_segmentation(written, MASK)


def test_a_mask_with_other_findings_is_noticed() -> None:
    written = segmentation_of(MASK, mr_series(IMAGE))
    with pytest.raises(SelfCheckError, match="segments"):
        check_segmentation(written, labels(GRID, 1))


def test_without_a_thickness_the_spacing_stands_for_it() -> None:
    written = segmentation_of(MASK, mr_series(IMAGE, SliceThickness=None))
    measures = written.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SliceThickness) == pytest.approx(4.4)


def test_many_frames_are_warned_about() -> None:
    assert segmentation_warnings(segmentation_of(MASK, mr_series(IMAGE))) == ()
    grid = Geometry(GRID.affine, (MANY_FRAMES + 1, 4, 4), GRID.frame_of_reference_uid)
    mask = Volume(np.ones(grid.shape, np.uint16), grid)
    written = segmentation_of(mask, mr_series(Volume(np.ones(grid.shape, np.int16), grid)))
    assert [w.code for w in segmentation_warnings(written)] == ["SEGMENTATION_MANY_FRAMES"]
