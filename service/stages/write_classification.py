"""What was detected in some studies -> the classification report."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from service.domain.classification_report import (
    ClassificationReport,
    ListedSeries,
    ListedStudy,
    ListedVolume,
)
from service.domain.study import ClassifiedVolume, DetectedSequences, StudyFacts
from service.stages.write_report import reported_evidence

Detected = tuple[StudyFacts, DetectedSequences]


def write_classification(
    studies: Sequence[Detected],
    *,
    pixels_read: bool,
    ignored_files: int = 0,
    damaged_files: tuple[str, ...] = (),
) -> ClassificationReport:
    """Return the report on any number of studies, none included."""
    return ClassificationReport(
        study_instance_uid=studies[0][0].study_instance_uid if len(studies) == 1 else None,
        studies=tuple(_study(*study) for study in studies),
        series=tuple(series for study in studies for series in _series(*study)),
        pixels_read=pixels_read,
        ignored_files=ignored_files,
        damaged_files=damaged_files,
    )


def _study(facts: StudyFacts, detected: DetectedSequences) -> ListedStudy:
    return ListedStudy(
        study_instance_uid=facts.study_instance_uid,
        missing_roles=detected.missing_roles,
        derived_roles={
            role: tuple(found.volume.volume_id for found in sources)
            for role, sources in detected.derived_roles.items()
        },
        duplicate_instances=facts.duplicate_instances,
    )


def _series(facts: StudyFacts, detected: DetectedSequences) -> Iterator[ListedSeries]:
    """Yield the series of a study; the volumes of one stand together."""
    for series, volumes in groupby(detected.volumes, key=lambda found: found.volume.series):
        yield ListedSeries(
            series_instance_uid=series.series_instance_uid,
            study_instance_uid=facts.study_instance_uid,
            series_number=series.series_number,
            series_description=series.description,
            modality=series.modality,
            instances=series.instance_count,
            volumes=tuple(_volume(found) for found in volumes),
        )


def _volume(found: ClassifiedVolume) -> ListedVolume:
    return ListedVolume(
        label=found.classification.label,
        confidence=found.classification.confidence,
        role=found.role,
        evidence=reported_evidence(found.classification),
        reason=found.rejection.detail if found.rejection else None,
        reason_code=found.rejection.code if found.rejection else None,
        role_reason=found.role_reason,
        override_id=found.override_id,
        volume_id=found.volume.volume_id,
        split=dict(found.volume.split),
        slices=len(found.volume.planes),
    )
