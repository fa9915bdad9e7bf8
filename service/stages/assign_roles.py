"""Which volume plays which role for the network, and why the others do not."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from service.domain.geometry import Geometry
from service.domain.sequence import LABELS_OF_ROLE, Role, SequenceLabel
from service.domain.study import ClassifiedVolume, DetectedSequences, PlaneFacts, Rejection
from service.stages.exclude_inputs import unfit
from service.stages.plane_grid import regular_grid
from service.stages.plane_traits import b_value, image_type, number

WANTED_B_VALUE = 1000.0
# b-values of one shell differ by less, as a share (scanners vary them by direction).
SHELL_TOLERANCE = 0.06
# Susceptibility contrast grows with echo time times field: 20 ms at 3 T, 40 ms at 1.5 T.
WANTED_ECHO_MS_TESLA = 60.0
# A volume that covers less than this share of the largest one of its role is partial.
FULL_COVERAGE = 0.75
# Phase belongs to the magnitude of the same echo (ms).
SAME_ECHO_MS = 0.5
# Images of one acquisition are stamped within this time (s); a repeat takes minutes longer.
SAME_ACQUISITION_S = 60.0
# b-values up to this factor from the wanted one are as good: 780 to 1280 s/mm2.
AS_GOOD_B_VALUE = 0.25


@dataclass(frozen=True)
class _Candidate:
    """One volume, or several directions that make one, with the grid of the first."""

    members: tuple[int, ...]
    found: ClassifiedVolume
    grid: Geometry

    @property
    def extent(self) -> float:
        """Thickness of the stack in mm."""
        return self.grid.shape[0] * self.grid.spacing[0]


_ACQUISITION_TIMES = ("AcquisitionDateTime", "FrameAcquisitionDateTime", "AcquisitionTime")
_Criterion = tuple[str, Callable[[_Candidate], float]]


def assign_roles(volumes: Sequence[ClassifiedVolume]) -> DetectedSequences:
    """Give every role to the best volume.

    Parameters
    ----------
    volumes : sequence of ClassifiedVolume
        Labelled, rejected where they cannot be used at all, without roles.

    Returns
    -------
    DetectedSequences
        The same volumes, each with a role or a rejection. Where there are diffusion directions
        but no trace image, all directions of the b-value nearest to 1000 s/mm2 have the role DWI
        and stand in ``derived_roles``.
    """
    judged = [_judged(found, volumes) for found in volumes]
    pool = _pool(judged)
    derived: dict[Role, tuple[ClassifiedVolume, ...]] = {}
    chosen: dict[Role, _Candidate] = {}
    for role in Role:
        candidates = _fitting(role, pool, chosen)
        if not candidates:
            continue
        ranked, reason = _ranked(role, candidates)
        chosen[role] = ranked[0]
        _settle(judged, role, ranked, reason)
        if len(ranked[0].members) > 1:
            derived[role] = tuple(judged[index] for index in ranked[0].members)
    return DetectedSequences(tuple(map(_left_over, judged)), derived)


def _judged(found: ClassifiedVolume, among: Sequence[ClassifiedVolume]) -> ClassifiedVolume:
    """Reject what may play no role, unless the site gives it one."""
    if found.rejection is not None or found.wanted_role is not None:
        return found
    return replace(found, rejection=unfit(found, among))


def _pool(judged: Sequence[ClassifiedVolume]) -> list[_Candidate]:
    """Return what can play a role: single volumes, and the directions of one shell together."""
    pool = []
    shells: dict[tuple[str, float], list[int]] = defaultdict(list)
    for index, found in enumerate(judged):
        if found.rejection is not None:
            continue
        is_direction = found.classification.label is SequenceLabel.DWI_DIRECTIONAL
        if is_direction and found.wanted_role is None:
            shells[_shell(found, shells)].append(index)
        else:
            pool.append(_candidate([index], judged))
    return [*pool, *(_candidate(indices, judged) for indices in shells.values())]


def _shell(found: ClassifiedVolume, known: Iterable[tuple[str, float]]) -> tuple[str, float]:
    """Return the series and the b-value of an earlier direction of the same shell, else its own."""
    series, own = found.volume.series.series_instance_uid, b_value(found.volume.planes[0]) or 0.0
    for other_series, other in known:
        if other_series == series and abs(other - own) <= SHELL_TOLERANCE * own:
            return series, other
    return series, own


def _candidate(indices: Sequence[int], judged: Sequence[ClassifiedVolume]) -> _Candidate:
    """Return the candidate; of directions, those on the grid of the first."""
    grids = [regular_grid(judged[index].volume.planes)[1] for index in indices]
    together = [i for i, grid in zip(indices, grids, strict=True) if grid.same_grid(grids[0])]
    return _Candidate(tuple(together), judged[indices[0]], grids[0])


def _fitting(
    role: Role, pool: Sequence[_Candidate], chosen: Mapping[Role, _Candidate]
) -> list[_Candidate]:
    """Return what the site wants in the role, and what fits it by its label."""
    wanted = [each for each in pool if each.found.wanted_role is role]
    labels = LABELS_OF_ROLE[role]
    free = [each for each in pool if each.found.wanted_role is None]
    fitting = [each for each in free if each.found.classification.label in labels]
    if role is Role.PHASE:
        fitting = [each for each in fitting if _belongs(each, chosen.get(Role.SUSC))]
    return [*wanted, *fitting]


def _belongs(phase: _Candidate, magnitude: _Candidate | None) -> bool:
    """Whether the phase is of the same echo and on the same grid as the magnitude."""
    if magnitude is None or not phase.grid.same_grid(magnitude.grid):
        return False
    if not _of_one_acquisition(phase, magnitude):
        return False
    echoes = [_echo_time(each) for each in (phase, magnitude)]
    return None in echoes or abs((echoes[0] or 0.0) - (echoes[1] or 0.0)) <= SAME_ECHO_MS


def _ranked(role: Role, candidates: Sequence[_Candidate]) -> tuple[list[_Candidate], str]:
    """Return the candidates, best first, and why the first one is.

    Those that the site wants come before all others, and only vie with each other.
    """
    wanted = [each for each in candidates if each.found.wanted_role is role]
    if 0 < len(wanted) < len(candidates):
        ranked, reason = _ranked(role, wanted)
        others = [each for each in candidates if each.found.wanted_role is not role]
        return [*ranked, *_ranked(role, others)[0]], reason
    criteria = _criteria(role, candidates)
    ranked = sorted(
        candidates,
        key=lambda each: (*(score(each) for _, score in criteria), each.found.volume.volume_id),
    )
    if len(ranked) == 1:
        return ranked, "the only one"
    for name, score in criteria:
        if score(ranked[0]) < score(ranked[1]):
            return ranked, f"best of {len(ranked)} by {name}"
    return ranked, f"first of {len(ranked)} equal ones"


def _criteria(role: Role, candidates: Sequence[_Candidate]) -> list[_Criterion]:
    """Return what decides, most important first; the lower score is better."""
    labels = LABELS_OF_ROLE[role]
    largest = max(each.extent for each in candidates)
    by_role: dict[Role, list[_Criterion]] = {
        Role.DWI: [("b-value", _b_value_distance), ("measured b-value", _is_calculated)],
        Role.SUSC: [("echo time", _echo_distance)],
        Role.FLAIR: [("being without contrast agent", _has_contrast_agent)],
    }
    return [
        ("coverage", lambda each: float(each.extent < FULL_COVERAGE * largest)),
        ("kind", lambda each: _rank(each.found.classification.label, labels)),
        *by_role.get(role, []),
        ("being original", lambda each: float("ORIGINAL" not in image_type(_plane(each)))),
        ("resolution", lambda each: round(math.log2(each.grid.voxel_volume), 1)),
        ("later acquisition", lambda each: -_acquisition_time(each)),
    ]


def _rank(label: SequenceLabel, labels: Sequence[SequenceLabel]) -> float:
    """Return the place of a label among those of the role; last where the site chose another."""
    return float(labels.index(label)) if label in labels else float(len(labels))


def _plane(candidate: _Candidate) -> PlaneFacts:
    return candidate.found.volume.planes[0]


def _b_value_distance(candidate: _Candidate) -> float:
    """Ratio to the wanted b-value, as a rounded logarithm; unknown is worst."""
    weighting = b_value(_plane(candidate)) or 0.0
    if weighting <= 0:
        return math.inf
    distance = abs(math.log(weighting / WANTED_B_VALUE))
    return round(distance, 2) if distance > AS_GOOD_B_VALUE else 0.0


def _is_calculated(candidate: _Candidate) -> float:
    return float("CALC_BVALUE" in image_type(_plane(candidate)))


def _echo_time(candidate: _Candidate) -> float | None:
    """Echo time in ms, None where it is unknown; some write zero for that."""
    return number(_plane(candidate), "EchoTime", "EffectiveEchoTime") or None


def _echo_distance(candidate: _Candidate) -> float:
    echo, field = _echo_time(candidate), number(_plane(candidate), "MagneticFieldStrength")
    if echo is None or echo <= 0 or (field is not None and field <= 0):
        return 0.0
    return round(abs(math.log2(echo * (field or 3.0) / WANTED_ECHO_MS_TESLA)), 1)


def _has_contrast_agent(candidate: _Candidate) -> float:
    return float(bool(_plane(candidate).attributes.get("ContrastBolusAgent")))


def _acquisition_time(candidate: _Candidate) -> float:
    """Time of day as HHMMSS, zero where it is unknown."""
    return _time_of_day(candidate, (*_ACQUISITION_TIMES, "SeriesTime")) or 0.0


def _time_of_day(candidate: _Candidate, keywords: Sequence[str]) -> float | None:
    """Return the first of these times as HHMMSS, None without one."""
    attributes = _plane(candidate).attributes
    for keyword in keywords:
        text = str(attributes.get(keyword, ""))
        digits = text[8:] if keyword.endswith("DateTime") else text
        if digits[:6].isdigit():
            return float(digits[:6])
    return None


def _of_one_acquisition(one: _Candidate, other: _Candidate) -> bool:
    """Whether two volumes were acquired at one time, or nothing says that they were not."""
    times = [_seconds_of_day(each) for each in (one, other)]
    return None in times or abs((times[0] or 0.0) - (times[1] or 0.0)) <= SAME_ACQUISITION_S


def _seconds_of_day(candidate: _Candidate) -> float | None:
    """Return the time of acquisition in s, None where it is unknown; not that of the series."""
    time = _time_of_day(candidate, _ACQUISITION_TIMES)
    if time is None:
        return None
    hours, rest = divmod(time, 10_000)
    minutes, seconds = divmod(rest, 100)
    return 3600 * hours + 60 * minutes + seconds


def _settle(
    judged: list[ClassifiedVolume], role: Role, ranked: Sequence[_Candidate], reason: str
) -> None:
    """Write the winner's role and the losers' rejection into the list."""
    winner = ranked[0]
    if winner.found.wanted_role is role:
        reason = f"override {winner.found.override_id} of the site; {reason}"
    elif winner.found.classification.label is SequenceLabel.DWI_DIRECTIONAL:
        reason = f"no trace image; its directions, {len(winner.members)} in all; {reason}"
    for index in winner.members:
        judged[index] = replace(judged[index], role=role, role_reason=reason)
    detail = f"{role} is {winner.found.volume.volume_id}: {reason}"
    for loser in ranked[1:]:
        for index in loser.members:
            judged[index] = replace(judged[index], rejection=Rejection("ROLE_TAKEN", detail))


def _left_over(found: ClassifiedVolume) -> ClassifiedVolume:
    """Reject what fits a role but not the volumes that it would have to go with."""
    if found.role is not None or found.rejection is not None:
        return found
    if found.classification.label is SequenceLabel.PHASE:
        detail = "no chosen magnitude of the same echo on the same grid"
        return replace(found, rejection=Rejection("PHASE_WITHOUT_MAGNITUDE", detail))
    detail = "its grid is not that of the other directions"
    return replace(found, rejection=Rejection("OTHER_GRID", detail))
