"""Which volume plays which role for the network, and why the others do not."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from service.domain.geometry import Geometry
from service.domain.sequence import LABELS_OF_ROLE, Role, SequenceLabel
from service.domain.study import ClassifiedVolume, DetectedSequences, PlaneFacts, Rejection
from service.stages.plane_grid import regular_grid
from service.stages.plane_traits import b_value, image_type, number

MIN_CONFIDENCE = 0.5
# Trace images of a lower b-value show too little of an infarct (s/mm2).
MIN_B_VALUE = 500.0
WANTED_B_VALUE = 1000.0
# b-values of one shell differ by less, as a share (scanners vary them by direction).
SHELL_TOLERANCE = 0.06
# Susceptibility contrast grows with echo time times field: 20 ms at 3 T, 40 ms at 1.5 T.
WANTED_ECHO_MS_TESLA = 60.0
# A volume that covers less than this share of the largest one of its role is partial.
FULL_COVERAGE = 0.75
# Phase belongs to the magnitude of the same echo (ms).
SAME_ECHO_MS = 0.5

_LABELS = {label for labels in LABELS_OF_ROLE.values() for label in labels}


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
    """Reject what is no input, not surely one, or the wrong kind of diffusion weighting."""
    if found.rejection is not None or found.wanted_role is not None:
        return found
    label, confidence = found.classification.label, found.classification.confidence
    rejection = None
    if label not in _LABELS:
        rejection = Rejection("NOT_AN_INPUT", f"{label} is no input of the network")
    elif confidence < MIN_CONFIDENCE:
        detail = f"{label} with confidence {confidence:.2f}, {MIN_CONFIDENCE} is needed"
        rejection = Rejection("LOW_CONFIDENCE", detail)
    elif label in LABELS_OF_ROLE[Role.DWI]:
        rejection = _wrong_weighting(found, among)
    return replace(found, rejection=rejection)


def _wrong_weighting(
    found: ClassifiedVolume, among: Sequence[ClassifiedVolume]
) -> Rejection | None:
    weighting = b_value(found.volume.planes[0])
    if weighting is None:
        series = found.volume.series.series_instance_uid
        siblings = sum(each.volume.series.series_instance_uid == series for each in among)
        if siblings > 1:
            # One of them may be b0, on which an infarct does not show.
            detail = f"{siblings} volumes of unknown b-value in one series"
            return Rejection("UNKNOWN_B_VALUE", detail)
    elif weighting < MIN_B_VALUE:
        detail = f"b-value {weighting:g}, at least {MIN_B_VALUE:g} s/mm2 is needed"
        return Rejection("LOW_B_VALUE", detail)
    return None


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
    weighting = b_value(_plane(candidate))
    return round(abs(math.log(weighting / WANTED_B_VALUE)), 2) if weighting else math.inf


def _is_calculated(candidate: _Candidate) -> float:
    return float("CALC_BVALUE" in image_type(_plane(candidate)))


def _echo_time(candidate: _Candidate) -> float | None:
    """Echo time in ms, None where it is unknown; some write zero for that."""
    return number(_plane(candidate), "EchoTime", "EffectiveEchoTime") or None


def _echo_distance(candidate: _Candidate) -> float:
    echo, field = _echo_time(candidate), number(_plane(candidate), "MagneticFieldStrength")
    if echo is None:
        return 0.0
    return round(abs(math.log2(echo * (field or 3.0) / WANTED_ECHO_MS_TESLA)), 1)


def _acquisition_time(candidate: _Candidate) -> float:
    """Time of day as HHMMSS.ffffff, zero where it is unknown."""
    attributes = _plane(candidate).attributes
    for keyword in (
        "AcquisitionDateTime",
        "FrameAcquisitionDateTime",
        "AcquisitionTime",
        "SeriesTime",
    ):
        text = str(attributes.get(keyword, ""))
        digits = text[8:] if keyword.endswith("DateTime") else text
        if digits[:6].isdigit():
            return float(digits[:6])
    return 0.0


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
