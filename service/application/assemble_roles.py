"""Assemble every role; what cannot be assembled is rejected, and the next candidate tried."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydicom.dataset import Dataset

from service.domain.errors import GeometryError
from service.domain.report import ReportWarning
from service.domain.sequence import Role
from service.domain.study import ClassifiedVolume, DetectedSequences, Rejection, StudyFacts
from service.stages.assemble_volume import Assembled, assemble_volume, geometric_mean
from service.stages.detect_sequences import detect_sequences

ReadSeries = Callable[[str], list[Dataset]]


@dataclass(frozen=True)
class AssembledRoles:
    """What was detected, and the volumes that could be assembled.

    Attributes
    ----------
    volumes : mapping of Role to Assembled
        On their own grids. A derived volume has the planes of its first source.
    warnings : tuple of ReportWarning
    """

    detected: DetectedSequences
    volumes: Mapping[Role, Assembled] = field(default_factory=dict)
    warnings: tuple[ReportWarning, ...] = ()

    @classmethod
    def detected_in(cls, facts: StudyFacts) -> "AssembledRoles":
        """Detect the sequences; nothing is assembled yet."""
        return cls(detect_sequences(facts))

    def series_uid_of(self, role: Role) -> str:
        """Return the series that the slices of a role came from."""
        return sources_of(self.detected, role)[0].volume.series.series_instance_uid


def sources_of(detected: DetectedSequences, role: Role) -> tuple[ClassifiedVolume, ...]:
    """Return the volumes that fill a role: one, or those it is computed from."""
    if role in detected.derived_roles:
        return detected.derived_roles[role]
    return (detected.of_role[role],)


def assemble_roles(
    facts: StudyFacts, roles: AssembledRoles, read_series: ReadSeries, wanted: Sequence[Role]
) -> AssembledRoles:
    """Assemble all roles that the network takes.

    A volume whose planes form no regular grid is rejected with the reason, and detection assigns
    the roles anew without it: a repeated scan takes the place of a broken one.
    """
    rejected: dict[str, Rejection] = {}
    detected = roles.detected
    volumes: dict[Role, Assembled] = {}
    while True:
        broken = _assemble_missing(detected, volumes, read_series, wanted)
        if not broken:
            break
        rejected |= broken
        detected = detect_sequences(facts, rejected=rejected)
        volumes = {}
    warnings = (*_rejection_warnings(rejected), *_derivation_warnings(detected))
    return replace(roles, detected=detected, volumes=volumes, warnings=warnings)


def _assemble_missing(
    detected: DetectedSequences,
    volumes: dict[Role, Assembled],
    read_series: ReadSeries,
    wanted: Sequence[Role],
) -> dict[str, Rejection]:
    """Fill ``volumes``; return the volumes that cannot be assembled and why."""
    broken: dict[str, Rejection] = {}
    for role in wanted:
        if role in detected.missing_roles:
            continue
        parts = []
        for source in sources_of(detected, role):
            datasets = read_series(source.volume.series.series_instance_uid)
            try:
                parts.append(assemble_volume(source.volume, datasets))
            except GeometryError as exc:
                broken[source.volume.volume_id] = Rejection(exc.code, str(exc))
        if parts and not broken:
            volumes[role] = _combined(parts)
    return broken


def _combined(parts: Sequence[Assembled]) -> Assembled:
    if len(parts) == 1:
        return parts[0]
    return Assembled(geometric_mean([part.volume for part in parts]), parts[0].source_planes)


def _rejection_warnings(rejected: Mapping[str, Rejection]) -> Iterator[ReportWarning]:
    for volume_id, rejection in rejected.items():
        yield ReportWarning(rejection.code, f"volume {volume_id}: {rejection.detail}")


def _derivation_warnings(detected: DetectedSequences) -> Iterator[ReportWarning]:
    for role, sources in detected.derived_roles.items():
        yield ReportWarning(
            "DERIVED_VOLUME",
            f"{role}: computed as the geometric mean of {len(sources)} directional volumes",
        )
