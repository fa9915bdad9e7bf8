import json
from typing import Any

import numpy as np
import pytest
from fhir.resources.R4B.bundle import Bundle

from service.adapters.fhir_json import report_to_fhir
from service.adapters.report_json import report_from_json, report_to_json
from service.domain.errors import ResultNotAvailableError
from service.domain.finding import StudyResult
from service.domain.geometry import Geometry
from service.domain.report import DetectionReport
from service.domain.volume import Volume
from tests.results import findings_of, labels, report_of
from tests.strategies import mr_series, uid

GRID = Geometry(np.diag([1.0, 1.0, 3.0, 1.0]), (8, 20, 24), uid("frame of reference"))
MASK = labels(GRID, 3)
SERIES = mr_series(Volume(np.ones(GRID.shape, np.int16), GRID))
REPORT = report_of(MASK, SERIES)


def resources(report: DetectionReport) -> dict[str, list[dict[str, Any]]]:
    """Return the resources by their type, checked by the library once more."""
    document = report_to_fhir(report)
    Bundle.model_validate_json(document)
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in json.loads(document)["entry"]:
        entry["resource"]["address"] = entry["fullUrl"]
        found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return found


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if "reference" in value else []
        return own + [found for nested in value.values() for found in references(nested)]
    if isinstance(value, list):
        return [found for nested in value for found in references(nested)]
    return []


def test_every_finding_is_an_observation_with_its_measurements() -> None:
    study, *found = resources(REPORT)["Observation"]
    assert study["valueCodeableConcept"]["text"] == "Present"
    assert len(found) == 3
    for finding, observation in zip(findings_of(MASK), found, strict=True):
        values = {
            part["code"]["text"]: (part["valueQuantity"]["value"], part["valueQuantity"]["code"])
            for part in observation["component"]
            if "valueQuantity" in part
        }
        assert values == {
            "Volume": (finding.volume_mm3, "mm3"),
            "Length": (finding.length_mm, "mm"),
            "Short axis": (finding.width_mm, "mm"),
            "Probability": (finding.probability, "1"),
        }
        assert observation["bodySite"]["text"] == f"Brain, {finding.side}"
    sides = [
        [
            part["valueCodeableConcept"]["text"]
            for part in o["component"]
            if part["code"]["text"] == "Laterality"
        ]
        for o in found
    ]
    assert sides == [["Right"], [], ["Left"]]


def test_all_is_preliminary_names_the_study_and_no_patient() -> None:
    made = resources(REPORT)
    (report,) = made["DiagnosticReport"]
    for resource in (report, *made["Observation"]):
        assert resource["status"] == "preliminary"
        assert "subject" not in resource
    (study,) = report["imagingStudy"]
    assert study["identifier"]["value"] == f"urn:oid:{REPORT.study_instance_uid}"
    assert REPORT.research_use_notice in report["conclusion"]
    (device,) = made["Device"]
    assert device["deviceName"][0]["name"] == REPORT.model.name


def test_every_reference_leads_to_a_resource_of_the_bundle() -> None:
    made = resources(REPORT)
    everything = [resource for kind in made.values() for resource in kind]
    addresses = [resource["address"] for resource in everything]
    assert len(set(addresses)) == len(addresses)
    named = {reference for resource in everything for reference in references(resource)}
    assert named == set(addresses) - {made["DiagnosticReport"][0]["address"]}


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (StudyResult.NO_THROMBUS_FOUND, "Absent"),
        (StudyResult.INSUFFICIENT_INPUT, "Undetermined"),
    ],
)
def test_without_a_finding_it_says_so(result: StudyResult, said: str) -> None:
    reason = "No series fits." if result is StudyResult.INSUFFICIENT_INPUT else None
    made = resources(report_of(None, SERIES, result=result, insufficiency=reason))
    (study,) = made["Observation"]
    assert study["valueCodeableConcept"]["text"] == said
    assert said.lower() in made["DiagnosticReport"][0]["conclusion"]
    assert (reason or "") in made["DiagnosticReport"][0]["conclusion"]
    notes = [note["text"] for note in study["note"]]
    assert "Sequences that were missing: PHASE, TOF." in notes
    assert "COARSE_SLICES: slices are 7 mm apart" in notes


def test_the_same_report_gives_the_same_document() -> None:
    assert report_to_fhir(REPORT) == report_to_fhir(REPORT)
    other = report_of(MASK, SERIES, analysis_digest="00" * 32)
    assert report_to_fhir(REPORT) != report_to_fhir(other)


def test_a_report_survives_the_way_through_json() -> None:
    assert report_from_json(report_to_json(REPORT)) == REPORT
    with pytest.raises(ResultNotAvailableError, match="another version"):
        report_from_json(b'{"schema_version": "1.0"}')
