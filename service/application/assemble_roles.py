"""Assemble the volume of every role; one that cannot be assembled is rejected with its reason."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from pydicom.dataset import Dataset

from service.domain.errors import InputError
from service.domain.report import ReportWarning
from service.domain.sequence import Role, SequenceLabel
from service.domain.study import ClassifiedVolume, DetectedSequences, Rejection
from service.stages.assemble_volume import Assembled, assemble_volume, geometric_mean

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

    def losing(
        self, role: Role, sources: Sequence[ClassifiedVolume], rejection: Rejection
    ) -> "AssembledRoles":
        """Return the same without a role whose volumes were rejected."""
        warning = ReportWarning(rejection.code, f"{role} is not used: {rejection.detail}")
        return replace(
            self,
            detected=self.detected.without(sources, rejection),
            warnings=(*self.warnings, warning),
        )

    def series_uid_of(self, role: Role) -> str:
        """Return the series that the slices of a role came from."""
        return sources_of(self.detected, role)[0].volume.series.series_instance_uid


def sources_of(detected: DetectedSequences, role: Role) -> tuple[ClassifiedVolume, ...]:
    """Return the volumes that fill a role: one, or those it is computed from."""
    if role in detected.derived_roles:
        return detected.derived_roles[role]
    return (detected.of_role[role],)


def assemble_roles(
    roles: AssembledRoles, read_series: ReadSeries, wanted: Sequence[Role]
) -> AssembledRoles:
    """Assemble all roles that the network takes.

    Detection has looked at the positions already. What still gives no volume, such as directions
    of a diffusion series on different grids or pixels that cannot be decoded, loses its role,
    with the reason in the report.
    """
    # Directions of a diffusion series share their series: read it once, not once for each.
    read_once = lru_cache(maxsize=1)(read_series)
    for role in wanted:
        if role in roles.detected.missing_roles:
            continue
        sources = sources_of(roles.detected, role)
        try:
            part = _combined([_assembled(source, read_once) for source in sources])
        except InputError as exc:
            roles = roles.losing(role, sources, Rejection(exc.code, str(exc)))
        else:
            roles = replace(roles, volumes={**roles.volumes, role: part})
    derived = tuple(_derivation_warnings(roles))
    return replace(roles, warnings=(*roles.warnings, *derived))


def _assembled(source: ClassifiedVolume, read_series: ReadSeries) -> Assembled:
    datasets = read_series(source.volume.series.series_instance_uid)
    return assemble_volume(source.volume, datasets)


def _combined(parts: Sequence[Assembled]) -> Assembled:
    if len(parts) == 1:
        return parts[0]
    return Assembled(geometric_mean([part.volume for part in parts]), parts[0].source_planes)


def _derivation_warnings(roles: AssembledRoles) -> Iterator[ReportWarning]:
    for role, sources in roles.detected.derived_roles.items():
        yield ReportWarning(
            "DERIVED_VOLUME",
            f"{role}: computed as the geometric mean of {len(sources)} directional volumes",
        )
    for role in roles.volumes:
        sources = sources_of(roles.detected, role)
        labels = {source.classification.label for source in sources}
        if len(sources) == 1 and labels == {SequenceLabel.DWI_DIRECTIONAL}:
            yield ReportWarning(
                "SINGLE_DIRECTION",
                f"{role}: one diffusion direction and no trace image, so that white matter along "
                "or across it looks brighter or darker than its diffusion is on average",
            )
