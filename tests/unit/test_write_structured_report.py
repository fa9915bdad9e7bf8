import copy
import dataclasses
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from highdicom.sr import srread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from service.domain.errors import GeometryError, SelfCheckError
from service.domain.report import ReportTitle
from service.stages.check_structured_report import check_structured_report
from service.stages.result_object import encode
from service.stages.write_structured_report import Evidence, write_structured_report
from tests.results import (
    GRID,
    IDENTITY,
    IMAGE,
    INSUFFICIENT,
    evidence_of,
    findings_of,
    labels,
    report_of,
    segmentation_of,
    structured_report_of,
)
from tests.strategies import enhanced_mr, mr_series

MASK = labels(GRID, 2)
SERIES = mr_series(IMAGE)
SEGMENTATION = segmentation_of(MASK, SERIES)
REPORT = report_of(MASK, SERIES)


def items(item: Dataset) -> Iterator[Dataset]:
    for nested in item.get("ContentSequence", []):
        yield nested
        yield from items(nested)


def named(written: Dataset, meaning: str) -> list[Dataset]:
    return [i for i in items(written) if i.ConceptNameCodeSequence[0].CodeMeaning == meaning]


def groups(written: Dataset) -> list[Dataset]:
    return named(written, "Measurement Group")


def texts(written: Dataset) -> list[str]:
    return [str(item.TextValue) for item in items(written) if item.ValueType == "TEXT"]


def presence(written: Dataset) -> list[str]:
    return [i.ConceptCodeSequence[0].CodeMeaning for i in named(written, "Thrombus")]


def test_every_finding_has_a_group_that_names_its_segment_and_measures_it() -> None:
    written = write_structured_report(REPORT, SEGMENTATION, SERIES, evidence_of(SERIES), IDENTITY)
    study, *found = groups(written)
    assert presence(study) == ["Present"]
    assert len(found) == 2
    for finding, group in zip(findings_of(MASK), found, strict=True):
        (segment,) = [i for i in items(group) if i.ValueType == "IMAGE"]
        reference = segment.ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == SEGMENTATION.SOPInstanceUID
        assert reference.ReferencedSegmentNumber == finding.number
        (tracking,) = named(group, "Tracking Unique Identifier")
        described = SEGMENTATION.SegmentSequence[finding.number - 1]
        assert described.TrackingUID == tracking.UID
        values = {
            i.ConceptNameCodeSequence[0].CodeMeaning: (
                float(i.MeasuredValueSequence[0].NumericValue),
                i.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
            )
            for i in items(group)
            if i.ValueType == "NUM"
        }
        assert values == {
            "Volume": (152.4, "mm3"),
            "Length": (13.2, "mm"),
            "Short axis": (4.1, "mm"),
            "Probability": (0.93, "1"),
        }


def test_the_side_is_told_and_the_midline_is_none() -> None:
    mask = labels(GRID, 3)
    written = structured_report_of(mask, SERIES)
    told = [
        [i.ConceptCodeSequence[0].CodeMeaning for i in named(group, "Laterality")]
        for group in groups(written)[1:]
    ]
    assert told == [["Right"], [], ["Left"]]


def test_a_negative_result_says_absent() -> None:
    written = structured_report_of(None, SERIES)
    (study,) = groups(written)
    assert presence(study) == ["Absent"]
    assert "The network outlined no thrombus. Sequences that were missing: PHASE, TOF." in texts(
        written
    )
    assert not [i for i in items(written) if i.ValueType in ("NUM", "IMAGE")]


def test_an_insufficient_input_is_undetermined_and_says_what_was_missing() -> None:
    written = structured_report_of(None, SERIES, **INSUFFICIENT)
    (study,) = groups(written)
    assert presence(study) == ["Undetermined"]
    assert any("Missing roles: SUSC, DWI." in text for text in texts(written))


def test_findings_without_a_segmentation_are_told_without_a_region() -> None:
    written = write_structured_report(REPORT, None, SERIES, evidence_of(SERIES), IDENTITY)
    assert len(groups(written)) == 3
    assert not [i for i in items(written) if i.ValueType == "IMAGE"]
    check_structured_report(written, REPORT, None)


def test_notice_expectation_and_warnings_are_told() -> None:
    told = texts(structured_report_of(MASK, SERIES))
    assert REPORT.research_use_notice in told
    assert "Nothing is known." in told
    assert "COARSE_SLICES: slices are 7 mm apart" in told


@pytest.mark.parametrize(
    ("title", "code"),
    [
        (ReportTitle.DIAGNOSTIC_IMAGING_REPORT, "18748-4"),
        (ReportTitle.IMAGING_MEASUREMENT_REPORT, "126000"),
    ],
)
def test_the_title_is_the_one_asked_for(title: ReportTitle, code: str) -> None:
    evidence = evidence_of(SERIES)
    written = write_structured_report(REPORT, SEGMENTATION, SERIES, evidence, IDENTITY, title)
    assert written.ConceptNameCodeSequence[0].CodeValue == code
    assert written.ContentTemplateSequence[0].TemplateIdentifier == "1500"


def test_containers_are_separate_and_there_is_no_image_library() -> None:
    written = structured_report_of(MASK, SERIES)
    containers = [written, *(i for i in items(written) if i.ValueType == "CONTAINER")]
    assert {container.ContinuityOfContent for container in containers} == {"SEPARATE"}
    assert named(written, "Image Library") == []


def test_it_is_unverified_preliminary_and_for_research() -> None:
    written = structured_report_of(MASK, SERIES)
    assert written.CompletionFlag == "COMPLETE"
    assert written.VerificationFlag == "UNVERIFIED"
    assert written.PreliminaryFlag == "PRELIMINARY"
    assert "RESEARCH USE ONLY" in written.SeriesDescription


def test_patient_and_study_are_those_of_the_source() -> None:
    series = mr_series(IMAGE, PatientName="Doe^Jane", AccessionNumber="A7", StudyID="S1")
    written = structured_report_of(MASK, series)
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber", "StudyID"):
        assert written[keyword].value == series[0][keyword].value
    assert written.SeriesInstanceUID != series[0].SeriesInstanceUID


def test_a_report_names_the_one_it_takes_the_place_of() -> None:
    mask, series = labels(GRID, 1), mr_series(IMAGE)
    older = Evidence("1.2.3", Comprehensive3DSRStorage, "1.2.3.4")
    inputs = (report_of(mask, series), segmentation_of(mask, series), series, evidence_of(series))
    written = write_structured_report(*inputs, IDENTITY, predecessor=older)
    (study,) = written.PredecessorDocumentsSequence
    assert study.StudyInstanceUID == series[0].StudyInstanceUID
    (named,) = study.ReferencedSeriesSequence
    assert named.SeriesInstanceUID == "1.2.3"
    assert named.ReferencedSOPSequence[0].ReferencedSOPClassUID == Comprehensive3DSRStorage
    assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
    assert "PredecessorDocumentsSequence" not in write_structured_report(*inputs, IDENTITY)


def test_all_images_are_evidence_and_the_segmentation_too() -> None:
    written = structured_report_of(MASK, SERIES)
    (study,) = written.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == SERIES[0].StudyInstanceUID
    named_uids = {
        (str(image.ReferencedSOPClassUID), str(image.ReferencedSOPInstanceUID))
        for series in study.ReferencedSeriesSequence
        for image in series.ReferencedSOPSequence
    }
    images = {(str(i.SOPClassUID), str(i.SOPInstanceUID)) for i in SERIES}
    assert named_uids == images | {(SegmentationStorage, str(SEGMENTATION.SOPInstanceUID))}


def test_same_input_gives_the_same_bytes_and_no_time_but_the_sources() -> None:
    assert encode(structured_report_of(MASK, SERIES)) == encode(structured_report_of(MASK, SERIES))
    written = structured_report_of(MASK, mr_series(IMAGE, AcquisitionDateTime="20240305101112"))
    assert (str(written.ContentDate), str(written.ContentTime)[:6]) == ("20240305", "101112")
    assert "InstanceCreationDate" not in written


@pytest.mark.parametrize(
    "broken",
    [
        {"PatientBirthDate": "00000000"},
        {"PatientSex": "W"},
        {"StudyDate": None, "StudyTime": None},
        {"StudyID": None, "AccessionNumber": None},
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR DA:UserWarning")
def test_headers_that_break_writers_do_not_break_this_one(broken: dict[str, Any]) -> None:
    series = [copy.deepcopy(instance) for instance in SERIES]
    with disable_value_validation():
        for instance in series:
            for keyword, value in broken.items():
                setattr(instance, keyword, value)
    written = structured_report_of(None, series)
    check_structured_report(written, report_of(None, series), None)


def test_an_enhanced_source_is_named_once() -> None:
    instance = enhanced_mr(IMAGE)
    written = structured_report_of(MASK, [instance])
    (study,) = written.CurrentRequestedProcedureEvidenceSequence
    assert sum(len(s.ReferencedSOPSequence) for s in study.ReferencedSeriesSequence) == 2


def test_a_source_without_study_is_refused() -> None:
    series = [copy.deepcopy(instance) for instance in SERIES]
    for instance in series:
        del instance.StudyInstanceUID
    with pytest.raises(GeometryError, match="StudyInstanceUID"):
        write_structured_report(
            report_of(None, SERIES), None, series, evidence_of(SERIES), IDENTITY
        )


def test_the_source_is_not_changed() -> None:
    series = mr_series(IMAGE)
    before = [encode(instance) for instance in series]
    structured_report_of(MASK, series)
    assert [encode(instance) for instance in series] == before


def test_a_reading_library_finds_the_groups() -> None:
    read = srread(BytesIO(encode(structured_report_of(MASK, SERIES))))
    volumes = read.content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in volumes] == ["Thrombus 1", "Thrombus 2"]
    assert [group.finding_type.meaning for group in volumes] == ["Thrombus", "Thrombus"]


def spoil_presence(written: Dataset) -> None:
    named(written, "Thrombus")[0].ConceptCodeSequence[0].CodeValue = "272519000"


def spoil_volume(written: Dataset) -> None:
    named(written, "Volume")[1].MeasuredValueSequence[0].NumericValue = "152.5"


def spoil_segment(written: Dataset) -> None:
    (_, second) = [i for i in items(written) if i.ValueType == "IMAGE"]
    second.ReferencedSOPSequence[0].ReferencedSegmentNumber = 1


def spoil_instance(written: Dataset) -> None:
    (first, _) = [i for i in items(written) if i.ValueType == "IMAGE"]
    first.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "2.25.1"


def spoil_tracking(written: Dataset) -> None:
    named(written, "Tracking Unique Identifier")[2].UID = "2.25.1"


def spoil_flag(written: Dataset) -> None:
    written.VerificationFlag = "VERIFIED"


def spoil_notice(written: Dataset) -> None:
    written.SeriesDescription = "AI thrombus report"


def spoil_content(written: Dataset) -> None:
    del written.ContentSequence


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_presence, "of a thrombus"),
        (spoil_volume, "volumes are"),
        (spoil_segment, "names segments"),
        (spoil_instance, "names segments"),
        (spoil_tracking, "1 segments have no group"),
        (spoil_flag, "VERIFIED"),
        (spoil_notice, "lacks the notice"),
        (spoil_content, "cannot be read back"),
    ],
)
def test_self_check_names_what_differs(spoil: Any, message: str) -> None:
    written = structured_report_of(MASK, SERIES)
    check_structured_report(written, REPORT, SEGMENTATION)
    spoil(written)
    with pytest.raises(SelfCheckError, match=message):
        check_structured_report(written, REPORT, SEGMENTATION)


def test_self_check_misses_no_finding() -> None:
    written = structured_report_of(MASK, SERIES)
    fewer = dataclasses.replace(REPORT, findings=REPORT.findings[:1])
    with pytest.raises(SelfCheckError, match="volumes are"):
        check_structured_report(written, fewer, SEGMENTATION)
