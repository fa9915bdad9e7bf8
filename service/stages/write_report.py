"""What was detected, found and measured -> the detection report."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.finding import Finding, StudyResult
from service.domain.identity import ResultIdentity
from service.domain.model_spec import ModelSpec, combination
from service.domain.report import (
    DetectionReport,
    ReportedEvidence,
    ReportedExpectation,
    ReportedModel,
    ReportedRegistration,
    ReportedVolume,
    ReportWarning,
)
from service.domain.sequence import LABELS_OF_ROLE, Classification, Role
from service.domain.study import ClassifiedVolume, DetectedSequences, StudyFacts, VolumeFacts


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """Everything that a report tells.

    Attributes
    ----------
    reference_role : Role or None
        None if no series can be the reference: then the input is insufficient.
    used_roles : tuple of Role
        What the network saw of the study; empty if it was not run.
    insufficiency : str or None
        Why the study could not be analysed although there is a reference role, as a sentence;
        it too makes the input insufficient.
    segmentation_sop_instance_uid : str or None
        None if no DICOM-SEG was written.
    """

    study: StudyFacts
    detected: DetectedSequences
    model: ModelSpec
    execution_provider: str
    identity: ResultIdentity
    reference_role: Role | None = None
    used_roles: tuple[Role, ...] = ()
    registrations: tuple[ReportedRegistration, ...] = ()
    findings: tuple[Finding, ...] = ()
    warnings: tuple[ReportWarning, ...] = ()
    timings_s: Mapping[str, float] = field(default_factory=dict)
    insufficiency: str | None = None
    segmentation_sop_instance_uid: str | None = None


def write_report(content: ReportInput) -> DetectionReport:
    """Return the report; its result follows from the reference role and the findings.

    Parameters
    ----------
    content : ReportInput
        What the stages before this one found.

    Returns
    -------
    DetectionReport
        ``insufficient_input`` always says what is missing and why no candidate was used.
    """
    result = _result(content)
    insufficient = result is StudyResult.INSUFFICIENT_INPUT
    reference = _reference(content)
    return DetectionReport(
        study_instance_uid=content.study.study_instance_uid,
        result=result,
        insufficiency=_insufficiency(content) if insufficient else None,
        findings=content.findings,
        segmentation_sop_instance_uid=content.segmentation_sop_instance_uid,
        structured_report_sop_instance_uid=content.identity.structured_report_uid,
        reference_role=content.reference_role,
        reference_series_uid=reference.series.series_instance_uid if reference else None,
        missing_roles=content.detected.missing_roles,
        volumes=_reported_volumes(content.detected),
        registrations=content.registrations,
        model=_model(content),
        warnings=(
            *_input_warnings(content.study),
            *content.warnings,
            *_thickness_warnings(content),
        ),
        timings_s=dict(content.timings_s),
        input_digest=content.study.input_digest,
        analysis_digest=content.identity.analysis_digest,
        software_version=content.identity.software_version,
    )


def _result(content: ReportInput) -> StudyResult:
    if content.reference_role is None or content.insufficiency is not None:
        return StudyResult.INSUFFICIENT_INPUT
    return StudyResult.THROMBUS_FOUND if content.findings else StudyResult.NO_THROMBUS_FOUND


def _insufficiency(content: ReportInput) -> str:
    missing = ", ".join(content.detected.missing_roles) or "none"
    reason = content.insufficiency or "There is no series that can be the reference."
    return f"{reason} Missing roles: {missing}. {_rejections(content.detected)}"


def _rejections(detected: DetectedSequences) -> str:
    """Say why each volume that could fill a missing role does not."""
    wanted = {label for role in detected.missing_roles for label in LABELS_OF_ROLE[role]}
    rejected = [
        f"series {_series_name(found)} ({found.classification.label}): {found.rejection.detail}"
        for found in detected.volumes
        if found.rejection is not None and found.classification.label in wanted
    ]
    if not rejected:
        return "No series of the study looks like one of them."
    return f"Candidates that are not used: {'; '.join(rejected)}."


def _series_name(found: ClassifiedVolume) -> str:
    number = found.volume.series.series_number
    return "without number" if number is None else str(number)


def _reference(content: ReportInput) -> VolumeFacts | None:
    """Return the volume of the reference role, or the first of several that it is made of."""
    if content.reference_role is None:
        return None
    chosen = [v.volume for v in content.detected.volumes if v.role is content.reference_role]
    return chosen[0] if chosen else None


def _reported_volumes(detected: DetectedSequences) -> tuple[ReportedVolume, ...]:
    """Return every volume as the report tells it: label, evidence, role or reason."""
    return tuple(_volume(found) for found in detected.volumes)


def _volume(found: ClassifiedVolume) -> ReportedVolume:
    series = found.volume.series
    classification = found.classification
    return ReportedVolume(
        volume_id=found.volume.volume_id,
        series_instance_uid=series.series_instance_uid,
        series_number=series.series_number,
        series_description=series.description,
        split=dict(found.volume.split),
        slices=len(found.volume.planes),
        label=classification.label,
        confidence=classification.confidence,
        evidence=reported_evidence(classification),
        role=found.role,
        role_reason=found.role_reason,
        rejection_code=found.rejection.code if found.rejection else None,
        rejection_detail=found.rejection.detail if found.rejection else None,
        override_id=found.override_id,
    )


def reported_evidence(classification: Classification) -> tuple[ReportedEvidence, ...]:
    """Return the votes as reports tell them, strongest first."""
    return tuple(
        ReportedEvidence(
            rule_id=vote.rule_id,
            attribute=vote.attribute,
            value=vote.value,
            label=vote.label,
            direction="for" if vote.weight > 0 else "against",
            weight=vote.weight,
        )
        for vote in classification.evidence
    )


def _model(content: ReportInput) -> ReportedModel:
    model = content.model
    return ReportedModel(
        name=model.name,
        version=model.version,
        sha256=model.sha256,
        execution_provider=content.execution_provider,
        threshold=model.threshold,
        min_volume_mm3=model.min_volume_mm3,
        peak=model.peak,
        intended_use=model.intended_use,
        training_data=model.training_data,
        expected_performance=model.overall_performance,
        expected_for_study=_expectation(model, content.used_roles),
    )


def _expectation(model: ModelSpec, roles: tuple[Role, ...]) -> ReportedExpectation:
    """Say what was measured with the sequences of this study, or that nothing was."""
    performance = model.performance_with(roles)
    data = model.expected_performance.get("data", "unstated")
    names = combination(roles)
    if not roles:
        statement = "The network was not run on this study."
    elif performance is None:
        statement = (
            f"The network was not measured with exactly these sequences ({names}): how well it "
            "works with them is not known."
        )
    else:
        statement = f"Measured with exactly these sequences ({names}) on {data} data."
    return ReportedExpectation(
        roles=roles,
        measured=performance is not None,
        statement=statement,
        performance=None if performance is None else dict(performance),
    )


def _input_warnings(study: StudyFacts) -> tuple[ReportWarning, ...]:
    warnings = []
    if study.ignored_files:
        detail = f"{study.ignored_files} files are not DICOM and were ignored"
        warnings.append(ReportWarning("IGNORED_FILES", detail))
    if study.duplicate_instances:
        detail = (
            f"{study.duplicate_instances} instances came more than once; one copy of each counts"
        )
        warnings.append(ReportWarning("DUPLICATE_INSTANCES", detail))
    return tuple(warnings)


def _thickness_warnings(content: ReportInput) -> tuple[ReportWarning, ...]:
    """Warn that the DICOM-SEG states the slice spacing as thickness where the source has none."""
    reference = _reference(content)
    if reference is None or content.segmentation_sop_instance_uid is None:
        return ()
    if any(plane.attributes.get("SliceThickness") for plane in reference.planes):
        return ()
    detail = (
        "the reference series states no slice thickness; the segmentation states the slice spacing"
    )
    return (ReportWarning("NO_SLICE_THICKNESS", detail),)
