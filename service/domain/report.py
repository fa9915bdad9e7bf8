"""The detection report as values; its JSON form and schema are made from these classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.domain.finding import Finding, StudyResult
from service.domain.sequence import Role

SCHEMA_VERSION = "1.0"
RESEARCH_USE_NOTICE = (
    "Research use only. Not a medical device. Not for diagnosis or treatment decisions."
)


@dataclass(frozen=True)
class ReportWarning:
    """Something a reader of the result must know; ``code`` is stable, ``detail`` is for people."""

    code: str
    detail: str


@dataclass(frozen=True)
class ReportedEvidence:
    """One vote of the sequence detector."""

    rule_id: str
    attribute: str
    value: str
    label: str
    weight: float


@dataclass(frozen=True)
class ReportedVolume:
    """One volume of a series: what it was taken for, and its role or why it has none."""

    volume_id: str
    series_instance_uid: str
    series_number: int | None
    series_description: str
    split: Mapping[str, str]
    slices: int
    label: str
    confidence: float
    evidence: tuple[ReportedEvidence, ...]
    role: Role | None
    role_reason: str
    rejection_code: str | None
    rejection_detail: str | None


@dataclass(frozen=True)
class ReportedRegistration:
    """How a role came onto the reference grid.

    ``method`` is ``identity`` (same frame of reference) or ``rigid``; rotation in degrees about
    the LPS axes and translation in LPS mm map reference points to points of the moved series.
    """

    role: Role
    method: str
    rotation_deg: tuple[float, float, float]
    translation_mm: tuple[float, float, float]


@dataclass(frozen=True)
class ReportedModel:
    """The network that was run, and on what."""

    name: str
    version: str
    sha256: str
    execution_provider: str
    threshold: float
    min_volume_mm3: float
    intended_use: str
    training_data: str
    expected_performance: Mapping[str, Any]


@dataclass(frozen=True)
class DetectionReport:
    """Everything about one analysed study, without any identity of the patient.

    Attributes
    ----------
    timings_s : mapping
        Stage to seconds.
    input_digest : str
        SHA-256 of the input, as in ``StudyFacts``.
    analysis_digest : str
        SHA-256 of input, model and parameters; all UIDs of results derive from it.
    """

    study_instance_uid: str
    result: StudyResult
    input_digest: str
    analysis_digest: str
    software_version: str
    model: ReportedModel
    volumes: tuple[ReportedVolume, ...]
    missing_roles: tuple[Role, ...]
    reference_role: Role | None
    reference_series_uid: str | None
    registrations: tuple[ReportedRegistration, ...]
    findings: tuple[Finding, ...]
    warnings: tuple[ReportWarning, ...]
    timings_s: Mapping[str, float]
    insufficiency: str | None = None
    segmentation_sop_instance_uid: str | None = None
    schema_version: str = SCHEMA_VERSION
    research_use_notice: str = field(default=RESEARCH_USE_NOTICE)
