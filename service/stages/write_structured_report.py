"""A detection report and its DICOM-SEG -> one structured report (TID 1500), also for "nothing".

One group a finding names its segment (TID 1411); a group about the study (TID 1501) says whether a
thrombus is present, absent or, where the input did not suffice, undetermined. The same input gives
the same bytes. See docs/adr/0015-structured-reports.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    ContainerContentItem,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from service.domain.codes import (
    BRAIN,
    BRAIN_MR,
    LATERALITY,
    PRESENCE,
    PROBABILITY,
    THROMBUS,
    Measured,
    measured_probability,
    measurements_of,
)
from service.domain.finding import Finding
from service.domain.identity import ResultIdentity, derive_uid
from service.domain.report import DetectionReport, ReportedModel, ReportTitle
from service.stages.result_object import ResultSeries, coded, copy_names, forget_clock, plain
from service.stages.source_headers import study_header

SERIES = ResultSeries("structured report", 9002, "report", "Thrombus report")
# Row 11 of TID 1500: evaluations of the study as a whole, here in words.
EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
_TITLES = {
    ReportTitle.DIAGNOSTIC_IMAGING_REPORT: Code("18748-4", "LN", "Diagnostic Imaging Report"),
    ReportTitle.IMAGING_MEASUREMENT_REPORT: Code("126000", "DCM", "Imaging Measurement Report"),
}


@dataclass(frozen=True)
class Evidence:
    """One image that was looked at, or another object of the study that is referred to."""

    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


def write_structured_report(  # noqa: PLR0913 - one parameter an input
    report: DetectionReport,
    segmentation: Dataset | None,
    source_datasets: Sequence[Dataset],
    evidence: Sequence[Evidence],
    identity: ResultIdentity,
    title: ReportTitle = ReportTitle.DIAGNOSTIC_IMAGING_REPORT,
    *,
    predecessor: Evidence | None = None,
) -> Dataset:
    """Write what the report says as a structured report, unverified and preliminary.

    Parameters
    ----------
    report : DetectionReport
        Of any result.
    segmentation : Dataset or None
        The DICOM-SEG of the findings; without it they are told without a region.
    source_datasets : sequence of Dataset
        Instances of one series of the study: patient, study and time are theirs. Not changed.
    evidence : sequence of Evidence
        The images that were looked at, at least one.
    identity : ResultIdentity
        What the UIDs derive from, and the observing device.
    title : ReportTitle
        See there.
    predecessor : Evidence or None
        The structured report of the same study that this one takes the place of.

    Returns
    -------
    Dataset
        Comprehensive 3D SR Storage, Explicit VR Little Endian, ready to be saved.

    Raises
    ------
    GeometryError
        If the source has no study UID.
    """
    with disable_value_validation():
        header = study_header(source_datasets[0])
        known = [_known(header, image) for image in evidence]
        if segmentation is not None:
            known.append(_known(header, _evidence_of(segmentation)))
        written = Comprehensive3DSR(
            evidence=known,
            content=_content(report, segmentation, identity, title),
            is_complete=True,
            previous_versions=None if predecessor is None else [_known(header, predecessor)],
            **SERIES.attributes(identity, source_datasets),
        )
        copy_names(written, source_datasets[0])
        forget_clock(written)
    return plain(written)


def _evidence_of(instance: Dataset) -> Evidence:
    return Evidence(
        str(instance.SeriesInstanceUID), str(instance.SOPClassUID), str(instance.SOPInstanceUID)
    )


def _known(header: Dataset, image: Evidence) -> Dataset:
    """Return the study's header with the identifiers of one image."""
    named = Dataset()
    named.SeriesInstanceUID = image.series_instance_uid
    named.SOPClassUID = image.sop_class_uid
    named.SOPInstanceUID = image.sop_instance_uid
    for tag in header.keys() - named.keys():
        named.add(header[tag])
    return named


def _content(
    report: DetectionReport,
    segmentation: Dataset | None,
    identity: ResultIdentity,
    title: ReportTitle,
) -> MeasurementReport:
    groups = [
        _finding_group(finding, report, segmentation, identity) for finding in report.findings
    ]
    content = MeasurementReport(
        observation_context=_observer(identity),
        procedure_reported=coded(BRAIN_MR),
        imaging_measurements=[_study_group(report, identity), *groups],
        title=_TITLES[title],
    )
    content[0].ContentSequence.append(_words(report))
    _separate(content[0])
    return content


def _observer(identity: ResultIdentity) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=derive_uid("device", identity.product, identity.installation_id),
        name=identity.product,
        manufacturer_name=identity.manufacturer,
        model_name=f"{identity.product} {identity.software_version}",
        serial_number=identity.installation_id,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _study_group(
    report: DetectionReport, identity: ResultIdentity
) -> MeasurementsAndQualitativeEvaluations:
    """Say whether there is a thrombus, and how probable the most probable one is."""
    highest = max((finding.probability for finding in report.findings), default=None)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=identity.uid("finding", "study"), identifier="Study"
        ),
        finding_sites=[FindingSite(coded(BRAIN))],
        algorithm_id=_algorithm(report.model, identity),
        measurements=None if highest is None else [_measurement(measured_probability(highest))],
        qualitative_evaluations=[
            QualitativeEvaluation(coded(THROMBUS), coded(PRESENCE[report.result]))
        ],
    )


def _finding_group(
    finding: Finding,
    report: DetectionReport,
    segmentation: Dataset | None,
    identity: ResultIdentity,
) -> VolumetricROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations:
    tracking = TrackingIdentifier(
        uid=identity.tracking_uid(finding.number), identifier=f"Thrombus {finding.number}"
    )
    side = LATERALITY.get(finding.side)
    site = FindingSite(coded(BRAIN), laterality=coded(side) if side else None)
    measurements = [_measurement(measured) for measured in measurements_of(finding)]
    algorithm = _algorithm(report.model, identity)
    if segmentation is None:
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            finding_type=coded(THROMBUS),
            finding_sites=[site],
            algorithm_id=algorithm,
            measurements=measurements,
        )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        referenced_segment=ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=finding.number,
            source_series=SourceSeriesForSegmentation(report.reference_series_uid),
        ),
        finding_type=coded(THROMBUS),
        finding_sites=[site],
        algorithm_id=algorithm,
        measurements=measurements,
    )


def _measurement(measured: Measured) -> Measurement:
    """Return a measurement; a probability says that it is the highest one of its voxels."""
    highest = codes.SCT.Maximum if measured.name is PROBABILITY else None
    name, unit = coded(measured.name), coded(measured.unit)
    return Measurement(name, measured.value, unit, derivation=highest)


def _algorithm(model: ReportedModel, identity: ResultIdentity) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name=model.name,
        version=model.version,
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=identity.manufacturer,
        parameters=[
            f"weights_sha256={model.sha256}",
            f"threshold={model.threshold:g}",
            f"min_volume_mm3={model.min_volume_mm3:g}",
            f"peak={model.peak:g}",
            f"analysis_digest={identity.analysis_digest}",
        ],
    )


def _words(report: DetectionReport) -> ContainerContentItem:
    """Say in sentences what codes cannot: the notice, the outcome, what to expect, warnings."""
    container = ContainerContentItem(EVALUATIONS, relationship_type=RelationshipTypeValues.CONTAINS)
    items = [
        (codes.DCM.Comment, report.research_use_notice),
        (codes.DCM.Summary, _summary(report)),
        (codes.DCM.Comment, report.model.expected_for_study.statement),
        *((codes.DCM.Comment, f"{told.code}: {told.detail}") for told in report.warnings),
    ]
    container.ContentSequence = [
        TextContentItem(
            name=CodedConcept.from_code(name),
            value=text,
            relationship_type=RelationshipTypeValues.CONTAINS,
        )
        for name, text in items
    ]
    return container


def _summary(report: DetectionReport) -> str:
    missing = ", ".join(report.missing_roles)
    lacking = f" Sequences that were missing: {missing}." if missing else ""
    if report.insufficiency is not None:
        return f"The input did not suffice. {report.insufficiency}"
    count = len(report.findings)
    if count:
        noun = "thrombus" if count == 1 else "thrombi"
        return f"The network outlined {count} probable {noun}.{lacking}"
    return f"The network outlined no thrombus.{lacking}"


def _separate(item: Dataset) -> None:
    """Let viewers show every item by itself: OHIF prints continuous ones without their names."""
    if item.ValueType == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
    for nested in item.get("ContentSequence", []):
        _separate(nested)
