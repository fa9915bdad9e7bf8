"""The detection report as values; its JSON form and schema are made from these classes.

The ``Attributes`` sections are the descriptions of the fields in the committed JSON Schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from service.domain.finding import Finding, StudyResult
from service.domain.sequence import Role

SCHEMA_VERSION = "1.4"
RESEARCH_USE_NOTICE = (
    "Research use only. Not a medical device. Not for diagnosis or treatment decisions."
)


class ReportTitle(StrEnum):
    """Title of the structured report, which decides what viewers do with it.

    ``diagnostic_imaging_report`` is shown as text by OHIF. ``imaging_measurement_report`` is the
    title of TID 1500 (CID 7021); OHIF 3.12 and 3.13 fail on it where a group has no coordinates.
    """

    DIAGNOSTIC_IMAGING_REPORT = "diagnostic_imaging_report"
    IMAGING_MEASUREMENT_REPORT = "imaging_measurement_report"


@dataclass(frozen=True)
class ReportWarning:
    """Something a reader of the result must know.

    Attributes
    ----------
    code : str
        Stable upper-case name.
    detail : str
        A sentence for people.
    """

    code: str
    detail: str


@dataclass(frozen=True)
class ReportedEvidence:
    """One vote of the sequence detector.

    Attributes
    ----------
    rule_id : str
        Identifier in the table of rules.
    attribute : str
        DICOM keyword or private tag that was read.
    value : str
        What stood there.
    label : str
        The sequence label that the rule votes about.
    direction : str
        ``for`` the label, or ``against`` it.
    weight : float
        Log-odds added to that label; negative is a vote against it.
    """

    rule_id: str
    attribute: str
    value: str
    label: str
    direction: str
    weight: float


@dataclass(frozen=True)
class ReportedVolume:
    """One volume of a series: what it was taken for, and its role or why it has none.

    Attributes
    ----------
    volume_id : str
        Name inside this study: the series' UID and what was split on.
    series_instance_uid : str
        Series that holds the volume.
    series_number : int or None
        SeriesNumber; null if the series has none.
    series_description : str
        SeriesDescription as the scanner wrote it; may be empty.
    split : mapping
        What sets this volume apart inside its series, such as its b-value; empty if nothing.
    slices : int
        Number of image planes.
    label : str
        What the volume is.
    confidence : float
        Share of the label's evidence among all labels, 0..1.
    evidence : tuple
        The votes.
    role : Role or None
        Input of the network that the volume fills; null if it is not used.
    role_reason : str
        Why it won its role; empty if it has none.
    rejection_code : str or None
        Stable name of why it is not used; null if it is used.
    rejection_detail : str or None
        The same as a sentence.
    override_id : str or None
        The site override that acted on it; null if none did.
    """

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
    override_id: str | None


@dataclass(frozen=True)
class ReportedRegistration:
    """How a role came onto the reference grid.

    Rotation and translation map reference points to points of the moved series.

    Attributes
    ----------
    role : Role
        The role that was brought onto the grid.
    method : str
        identity (same frame of reference) or rigid.
    rotation_deg : (float, float, float)
        Degrees about the LPS axes x, y and z.
    translation_mm : (float, float, float)
        LPS millimetres.
    """

    role: Role
    method: str
    rotation_deg: tuple[float, float, float]
    translation_mm: tuple[float, float, float]


@dataclass(frozen=True)
class ReportedExpectation:
    """What to expect of the network with the sequences that this study has.

    Attributes
    ----------
    roles : tuple
        Inputs of the network that the study filled; empty if it was not run.
    measured : bool
        Whether the network was measured with exactly these.
    statement : str
        The same as a sentence.
    performance : mapping or None
        What was measured with exactly these; null if that was not.
    """

    roles: tuple[Role, ...]
    measured: bool
    statement: str
    performance: Mapping[str, Any] | None


@dataclass(frozen=True)
class ReportedModel:
    """The network that was chosen, and on what it ran.

    Attributes
    ----------
    name : str
        Name of the model's folder.
    version : str
        Version of the model.
    sha256 : str
        Digest of the weights in hexadecimal.
    execution_provider : str
        ONNX Runtime execution provider.
    threshold : float
        Probability from which a voxel belongs to a thrombus.
    min_volume_mm3 : float
        Smaller components are not reported.
    peak : float
        Components whose most probable voxel is less probable are not reported.
    intended_use : str
        What the model is for, as in its card.
    training_data : str
        What it was trained on, as in its card.
    expected_performance : mapping
        What was measured over all test cases, and on what, as in its card.
    expected_for_study : ReportedExpectation
        What to expect with the sequences that this study has.
    """

    name: str
    version: str
    sha256: str
    execution_provider: str
    threshold: float
    min_volume_mm3: float
    peak: float
    intended_use: str
    training_data: str
    expected_performance: Mapping[str, Any]
    expected_for_study: ReportedExpectation


@dataclass(frozen=True, kw_only=True)
class DetectionReport:
    """Everything about one analysed study, without any identity of the patient.

    Attributes
    ----------
    schema_version : str
        Version of this document's form.
    research_use_notice : str
        What the result must not be used for.
    study_instance_uid : str
        The analysed study.
    result : StudyResult
        The outcome.
    insufficiency : str or None
        What was missing, if the result is insufficient_input; else null.
    findings : tuple
        By falling probability; the number of each is also its segment and its label in masks.
    segmentation_sop_instance_uid : str or None
        The DICOM-SEG of the findings; null if there is none.
    structured_report_sop_instance_uid : str
        The DICOM structured report that tells the same.
    reference_role : Role or None
        The role whose grid all others were brought to; null if there is none.
    reference_series_uid : str or None
        Series of the reference role.
    missing_roles : tuple
        Inputs of the network that nothing in the study fills.
    volumes : tuple
        Every volume of every series.
    registrations : tuple
        How each other role came onto the reference grid.
    model : ReportedModel
        The network that was chosen, and on what it ran.
    warnings : tuple
        What a reader of the result must know.
    timings_s : mapping
        Seconds for each stage.
    input_digest : str
        SHA-256 over the files of the study.
    analysis_digest : str
        SHA-256 over input, model and parameters; all UIDs of results derive from it.
    software_version : str
        Version of the service.
    """

    schema_version: str = SCHEMA_VERSION
    research_use_notice: str = RESEARCH_USE_NOTICE
    study_instance_uid: str
    result: StudyResult
    insufficiency: str | None = None
    findings: tuple[Finding, ...]
    segmentation_sop_instance_uid: str | None = None
    structured_report_sop_instance_uid: str
    reference_role: Role | None
    reference_series_uid: str | None
    missing_roles: tuple[Role, ...]
    volumes: tuple[ReportedVolume, ...]
    registrations: tuple[ReportedRegistration, ...]
    model: ReportedModel
    warnings: tuple[ReportWarning, ...]
    timings_s: Mapping[str, float]
    input_digest: str
    analysis_digest: str
    software_version: str
