"""A detection report as FHIR R4 resources, by fhir.resources.

One ``collection`` Bundle: the algorithm (Device), the outcome of the study and one Observation a
finding, and a preliminary DiagnosticReport that names them. The report knows no patient, so no
resource has a subject: the receiver, who knows whose study it is, adds it. The study is named by
its DICOM identifier. Identifiers derive from the analysis: the same analysis, the same document.
"""

import uuid

from fhir.resources.R4B.bundle import Bundle

from service.domain.codes import (
    BRAIN,
    BRAIN_MR,
    LATERALITY,
    NO_UNIT,
    PRESENCE,
    SIDE,
    THROMBUS,
    ClinicalCode,
    Measured,
    measurements_of,
)
from service.domain.finding import Finding
from service.domain.identity import derive_uid
from service.domain.report import DetectionReport

Json = dict[str, object]

# Addresses of coding schemes, by DICOM's name of them (HL7 terminology, R4 4.3.1).
SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "UCUM": "http://unitsofmeasure.org",
}
IMAGING = "http://terminology.hl7.org/CodeSystem/observation-category"


def report_to_fhir(report: DetectionReport) -> bytes:
    """Return the Bundle as JSON; ``fhir.resources`` has checked it against FHIR R4B."""
    device = _address(report, "device")
    entries = [(device, _device(report)), *_observations(report, device)]
    observations = [address for address, _ in entries[1:]]
    entries.insert(0, (_address(report, "report"), _diagnostic_report(report, observations)))
    bundle = Bundle.model_validate(
        {
            "resourceType": "Bundle",
            "type": "collection",
            "identifier": {"system": "urn:ietf:rfc:3986", "value": _address(report, "bundle")},
            "entry": [{"fullUrl": address, "resource": made} for address, made in entries],
        }
    )
    return (bundle.model_dump_json(indent=2) + "\n").encode()


def _address(report: DetectionReport, *purpose: str) -> str:
    """Return the URN that stands for one resource of this analysis."""
    number = int(derive_uid(report.analysis_digest, "fhir", *purpose).rsplit(".", 1)[1])
    return f"urn:uuid:{uuid.UUID(int=number)}"


def _concept(code: ClinicalCode, text: str | None = None) -> Json:
    system = SYSTEMS[code.scheme_designator]
    # Displays belong to the terminologies; the text is ours.
    return {"coding": [{"system": system, "code": code.value}], "text": text or code.meaning}


def _study(report: DetectionReport) -> Json:
    """Refer to the study by its DICOM UID (R4, ImagingStudy.identifier)."""
    value = f"urn:oid:{report.study_instance_uid}"
    return {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": value}}


def _device(report: DetectionReport) -> Json:
    model = report.model
    return {
        "resourceType": "Device",
        "manufacturer": "Thrombolens",
        "deviceName": [{"name": model.name, "type": "model-name"}],
        "version": [{"value": model.version}, {"value": f"software {report.software_version}"}],
        "note": [{"text": report.research_use_notice}, {"text": model.intended_use}],
    }


def _diagnostic_report(report: DetectionReport, observations: list[str]) -> Json:
    presence = PRESENCE[report.result]
    return {
        "resourceType": "DiagnosticReport",
        # Nobody has looked at it.
        "status": "preliminary",
        "code": _concept(BRAIN_MR),
        "imagingStudy": [_study(report)],
        "result": [{"reference": address} for address in observations],
        "conclusion": f"{report.research_use_notice} Thrombus: {presence.meaning.lower()}."
        + (f" {report.insufficiency}" if report.insufficiency else ""),
    }


def _observations(report: DetectionReport, device: str) -> list[tuple[str, Json]]:
    study = _observation(report, device) | {
        "valueCodeableConcept": _concept(PRESENCE[report.result]),
        "note": [{"text": text} for text in _notes(report)],
    }
    found = [
        (_address(report, "finding", str(finding.number)), _finding(finding, report, device))
        for finding in report.findings
    ]
    if found:
        study["hasMember"] = [{"reference": address} for address, _ in found]
    return [(_address(report, "finding", "study"), study), *found]


def _notes(report: DetectionReport) -> list[str]:
    notes = [report.research_use_notice, report.model.expected_for_study.statement]
    if report.missing_roles:
        notes.append(f"Sequences that were missing: {', '.join(report.missing_roles)}.")
    return notes + [f"{told.code}: {told.detail}" for told in report.warnings]


def _observation(report: DetectionReport, device: str) -> Json:
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [{"coding": [{"system": IMAGING, "code": "imaging"}]}],
        "code": _concept(THROMBUS),
        "device": {"reference": device},
        "derivedFrom": [_study(report)],
    }


def _finding(finding: Finding, report: DetectionReport, device: str) -> Json:
    return _observation(report, device) | {
        "valueCodeableConcept": _concept(PRESENCE[report.result]),
        "bodySite": _concept(BRAIN, f"Brain, {finding.side.value}"),
        "component": [
            *(
                {"code": _concept(measured.name), "valueQuantity": _quantity(measured)}
                for measured in measurements_of(finding)
            ),
            *_side(finding),
        ],
        "note": [{"text": f"Thrombus {finding.number}, as in the DICOM segmentation."}],
    }


def _side(finding: Finding) -> list[Json]:
    side = LATERALITY.get(finding.side)
    if side is None:
        return []
    return [{"code": _concept(SIDE), "valueCodeableConcept": _concept(side)}]


def _quantity(measured: Measured) -> Json:
    code = measured.unit.value
    shown = {} if measured.unit is NO_UNIT else {"unit": code}
    return {"value": measured.value, "system": SYSTEMS["UCUM"], "code": code} | shown
