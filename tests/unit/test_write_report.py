import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest

from service.adapters.report_json import report_schema, report_to_json, schema_to_json
from service.domain.finding import StudyResult
from service.domain.model_spec import ModelSpec
from service.domain.report import DetectionReport, ReportedRegistration, ReportWarning
from service.domain.sequence import Classification, Evidence, Role, SequenceLabel
from service.domain.study import (
    ClassifiedVolume,
    DetectedSequences,
    PlaneFacts,
    Rejection,
    SeriesFacts,
    StudyFacts,
    VolumeFacts,
)
from service.stages.write_report import ReportInput, write_report
from tests.results import IDENTITY, MODEL, finding

SCHEMA_FILE = Path(__file__).resolve().parents[2] / "docs" / "report-schema.json"


def classified(
    number: int | None, label: SequenceLabel, *, role: Role | None = None, thickness: bool = True
) -> ClassifiedVolume:
    attributes = {"SliceThickness": 2.0} if thickness else {}
    plane = PlaneFacts("1.2.3", None, 4, 4, None, None, None, attributes)
    series = SeriesFacts(
        series_instance_uid=f"1.2.{number or 0}",
        series_number=number,
        description=f"series {number}",
        modality="MR",
        sop_class_uid="1.2",
        frame_of_reference_uid="1.5",
        planes=(plane,),
        attributes={},
    )
    vote = Evidence("R1", "EchoTime", "20", label, 2.5)
    return ClassifiedVolume(
        volume=VolumeFacts(f"1.2.{number}#b1000", series, (plane,), {"b_value": "1000"}),
        classification=Classification(label, 0.97, (vote,)),
        role=role,
        role_reason="the only candidate" if role else "",
        rejection=None if role else Rejection("TOO_FEW_SLICES", "1 slice, 5 are needed"),
    )


SUSCEPTIBILITY = classified(3, SequenceLabel.SWI, role=Role.SUSC)
DETECTED = DetectedSequences((SUSCEPTIBILITY, classified(4, SequenceLabel.DWI)))


def content(**values: object) -> ReportInput:
    known: dict[str, object] = {
        "study": StudyFacts("1.2.840.1", (SUSCEPTIBILITY.volume.series,), "ab" * 32),
        "detected": DETECTED,
        "model": MODEL,
        "execution_provider": "CPUExecutionProvider",
        "identity": IDENTITY,
        "reference_role": Role.SUSC,
        "timings_s": {"infer": 1.25},
    }
    return ReportInput(**{**known, **values})  # type: ignore[arg-type] # checked by use


FULL = write_report(
    content(
        findings=(finding(1), finding(2, probability=0.5)),
        registrations=(
            ReportedRegistration(Role.DWI, "rigid", (0.5, -0.25, 0.125), (1.0, 2.0, 3.0)),
        ),
        warnings=(ReportWarning("COARSE_SLICES", "slices are 7 mm apart"),),
        segmentation_sop_instance_uid="2.25.1",
    )
)


def test_findings_make_the_result_positive() -> None:
    assert FULL.result is StudyResult.THROMBUS_FOUND
    assert FULL.insufficiency is None
    assert FULL.reference_series_uid == "1.2.3"
    assert FULL.missing_roles == (Role.PHASE, Role.DWI, Role.ADC, Role.FLAIR, Role.TOF)


def test_no_findings_make_it_negative() -> None:
    report = write_report(content())
    assert report.result is StudyResult.NO_THROMBUS_FOUND
    assert report.segmentation_sop_instance_uid is None


def test_without_a_reference_the_report_says_what_is_missing_and_why() -> None:
    detected = DetectedSequences(
        (classified(4, SequenceLabel.DWI), classified(5, SequenceLabel.T1))
    )
    report = write_report(content(detected=detected, reference_role=None))
    assert report.result is StudyResult.INSUFFICIENT_INPUT
    assert report.reference_series_uid is None
    assert report.insufficiency is not None
    assert "Missing roles: SUSC, PHASE, DWI, ADC, FLAIR, TOF." in report.insufficiency
    assert "series 4 (DWI): 1 slice, 5 are needed" in report.insufficiency
    assert "series 5" not in report.insufficiency


def test_without_any_candidate_it_says_so() -> None:
    detected = DetectedSequences((classified(None, SequenceLabel.T1),))
    report = write_report(content(detected=detected, reference_role=None))
    assert report.insufficiency is not None
    assert "No series of the study looks like one of them." in report.insufficiency


def test_a_stated_insufficiency_counts_even_with_a_reference() -> None:
    report = write_report(content(insufficiency="The head is not in the picture."))
    assert report.result is StudyResult.INSUFFICIENT_INPUT
    assert report.insufficiency is not None
    assert report.insufficiency.startswith("The head is not in the picture. Missing roles:")


def test_a_candidate_without_number_is_named_without_one() -> None:
    detected = DetectedSequences((classified(None, SequenceLabel.DWI),))
    report = write_report(content(detected=detected, reference_role=None))
    assert report.insufficiency is not None
    assert "series without number (DWI)" in report.insufficiency


def test_every_volume_is_reported_with_role_or_reason() -> None:
    used, unused = FULL.volumes
    assert (used.role, used.role_reason, used.rejection_code) == (
        Role.SUSC,
        "the only candidate",
        None,
    )
    assert (unused.role, unused.rejection_code) == (None, "TOO_FEW_SLICES")
    assert unused.evidence[0].rule_id == "R1"
    assert unused.split == {"b_value": "1000"}


@pytest.mark.parametrize(
    ("counts", "codes"),
    [
        ({}, []),
        ({"ignored_files": 2}, ["IGNORED_FILES"]),
        ({"ignored_files": 1, "duplicate_instances": 3}, ["IGNORED_FILES", "DUPLICATE_INSTANCES"]),
    ],
)
def test_oddities_of_the_input_are_warnings(counts: dict[str, int], codes: list[str]) -> None:
    study = dataclasses.replace(content().study, **counts)  # type: ignore[arg-type] # plain counts
    assert [warning.code for warning in write_report(content(study=study)).warnings] == codes


def test_a_missing_thickness_is_a_warning_where_there_is_a_segmentation() -> None:
    detected = DetectedSequences(
        (classified(3, SequenceLabel.SWI, role=Role.SUSC, thickness=False),)
    )
    negative = write_report(content(detected=detected))
    positive = write_report(
        content(detected=detected, findings=(finding(1),), segmentation_sop_instance_uid="2.25.1")
    )
    assert [warning.code for warning in negative.warnings] == []
    assert [warning.code for warning in positive.warnings] == ["NO_SLICE_THICKNESS"]


MEASURED = dataclasses.replace(
    MODEL,
    expected_performance={
        "data": "simulated",
        "dice_all": 0.6,
        "subsets": {"ADC+DWI+SUSC": {"dice_all": 0.5}, "SUSC": {"dice_all": 0.25}},
    },
)


def test_what_to_expect_is_that_of_the_sequences_that_were_there() -> None:
    model = write_report(content(model=MEASURED, used_roles=(Role.SUSC, Role.DWI, Role.ADC))).model
    expected = model.expected_for_study
    assert (expected.measured, expected.performance) == (True, {"dice_all": 0.5})
    assert expected.roles == (Role.SUSC, Role.DWI, Role.ADC)
    assert expected.statement == (
        "Measured with exactly these sequences (ADC+DWI+SUSC) on simulated data."
    )
    # The other combinations would say nothing about this study.
    assert model.expected_performance == {"data": "simulated", "dice_all": 0.6}


@pytest.mark.parametrize("model", [MEASURED, MODEL], ids=["with combinations", "without any"])
def test_a_combination_that_was_not_measured_is_said_to_be_unknown(model: ModelSpec) -> None:
    report = write_report(content(model=model, used_roles=(Role.SUSC, Role.FLAIR)))
    expected = report.model.expected_for_study
    assert (expected.measured, expected.performance) == (False, None)
    assert "was not measured with exactly these sequences (FLAIR+SUSC)" in expected.statement


def test_without_a_run_nothing_is_expected() -> None:
    report = write_report(content(model=MEASURED, reference_role=None))
    expected = report.model.expected_for_study
    assert (expected.roles, expected.measured, expected.performance) == ((), False, None)
    assert expected.statement == "The network was not run on this study."


@pytest.mark.parametrize(
    "report",
    [
        FULL,
        write_report(content(model=MEASURED, used_roles=(Role.SUSC,))),
        write_report(content()),
        write_report(content(reference_role=None, detected=DetectedSequences(()))),
    ],
    ids=["positive", "measured", "negative", "insufficient"],
)
def test_reports_obey_the_schema(report: DetectionReport) -> None:
    document = json.loads(report_to_json(report))
    jsonschema.Draft202012Validator(report_schema()).validate(document)
    assert document["result"] == report.result.value
    assert document["schema_version"] == "1.4"
    assert "Research use only" in document["research_use_notice"]


def test_the_schema_refuses_what_is_no_report() -> None:
    validator = jsonschema.Draft202012Validator(report_schema())
    good = json.loads(report_to_json(FULL))
    damages: tuple[dict[str, object], ...] = (
        {"result": "maybe"},
        {"findings": [{}]},
        {"volumes": None},
        {"timings_s": [1]},
    )
    for damage in damages:
        assert not validator.is_valid({**good, **damage})
    without = {key: value for key, value in good.items() if key != "model"}
    assert not validator.is_valid(without)


def test_numbers_survive_the_way_to_json() -> None:
    document = json.loads(report_to_json(FULL))
    first = document["findings"][0]
    assert first["volume_mm3"] == finding(1).volume_mm3
    assert first["centroid_lps"] == list(finding(1).centroid_lps)
    assert document["registrations"][0]["rotation_deg"] == [0.5, -0.25, 0.125]
    assert document["model"]["expected_performance"] == {"dice": 0.5}


def test_the_schema_is_a_valid_one_and_describes_every_field() -> None:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(schema["properties"]["schema_version"]["default"])
    objects = [schema, *(part for part in schema["$defs"].values() if "properties" in part)]
    for part in objects:
        assert part["description"]
        for name, described in part["properties"].items():
            assert described["description"], name


def test_the_committed_schema_is_current() -> None:
    assert SCHEMA_FILE.read_text() == schema_to_json(), (
        "stale: run `python -m service.adapters.report_json > docs/report-schema.json`"
    )
