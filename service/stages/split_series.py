"""One series to volumes: one component, b-value, direction, echo, orientation, time point each."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from service.domain.study import PlaneFacts, SeriesFacts, VolumeFacts
from service.stages.plane_traits import (
    B0_LIMIT,
    Direction,
    b_value,
    component,
    direction,
    direction_vector,
    image_type,
    number,
)

# Planes whose direction cosines differ by more (about 0.6 degrees) are different orientations.
ORIENTATION_TOLERANCE = 0.01
# More orientations than this, hardly a plane each: a rotating projection, kept in one piece.
MAX_ORIENTATIONS = 3
# Two planes nearer than this are at the same place.
SAME_PLACE_MM = 0.05

_Key = tuple[tuple[str, object], ...]


def split_series(series: SeriesFacts) -> tuple[VolumeFacts, ...]:
    """Split a series into its volumes.

    Parameters
    ----------
    series : SeriesFacts
        Any series; one without image planes gives one volume without planes.

    Returns
    -------
    tuple of VolumeFacts
        Planes of a volume agree in all that the volume is named after, and no two of them are
        at the same place. Names tell only what differs inside the series.
    """
    if not series.planes:
        return (VolumeFacts(series.series_instance_uid, series, ()),)
    groups: dict[_Key, list[PlaneFacts]] = defaultdict(list)
    orientations = _orientations(series.planes)
    for plane in series.planes:
        groups[_key(plane, orientations)].append(plane)
    parts = [
        ((*key, ("repeat", turn)), tuple(planes))
        for key, members in groups.items()
        for turn, planes in enumerate(_repeats(members), start=1)
    ]
    parts.sort(key=lambda part: tuple(_sortable(value) for _, value in part[0]))
    splits = _splits([dict(key) for key, _ in parts])
    return tuple(
        VolumeFacts(_volume_id(series, split), series, planes, split)
        for split, (_, planes) in zip(splits, parts, strict=True)
    )


def _key(plane: PlaneFacts, orientations: Sequence[tuple[float, ...]]) -> _Key:
    weighting = b_value(plane)
    vector = None
    if direction(plane) is Direction.DIRECTIONAL and (weighting or 0.0) > B0_LIMIT:
        vector = direction_vector(plane)
    return (
        ("component", component(plane).value.lower()),
        ("b_value", None if weighting is None else round(weighting)),
        ("averaging", "trace" if direction(plane) is Direction.ISOTROPIC else "one"),
        ("direction", vector),
        ("echo", _rounded(plane, 2, "EchoTime", "EffectiveEchoTime")),
        ("type", image_type(plane)),
        ("orientation", _nearest(plane.orientation, orientations)),
        ("size", (plane.rows, plane.columns)),
        ("spacing", plane.pixel_spacing and tuple(round(mm, 3) for mm in plane.pixel_spacing)),
        ("frame", plane.attributes.get("FrameOfReferenceUID")),
        ("time", number(plane, "TemporalPositionIdentifier", "TemporalPositionIndex")),
        ("position", "missing" if plane.position is None else "given"),
    )


def _rounded(plane: PlaneFacts, digits: int, *keywords: str) -> float | None:
    value = number(plane, *keywords)
    return None if value is None else round(value, digits)


def _orientations(planes: Sequence[PlaneFacts]) -> list[tuple[float, ...]]:
    """Return one representative of each orientation; none if the planes rotate."""
    found: list[tuple[float, ...]] = []
    for plane in planes:
        if plane.orientation is not None and _nearest(plane.orientation, found) is None:
            found.append(plane.orientation)
    rotating = len(found) > MAX_ORIENTATIONS and 2 * len(found) > len(planes)
    return [] if rotating else found


def _nearest(
    orientation: tuple[float, ...] | None, known: Sequence[tuple[float, ...]]
) -> str | None:
    if orientation is None:
        return None
    for index, other in enumerate(known, start=1):
        if np.abs(np.subtract(orientation, other)).max() <= ORIENTATION_TOLERANCE:
            return f"n{index}"
    return None


def _repeats(planes: Sequence[PlaneFacts]) -> list[list[PlaneFacts]]:
    """Part planes at the same place into repeats: the first of each place, the second, ..."""
    repeats: list[list[PlaneFacts]] = []
    for same_place in _places(planes):
        for turn, plane in enumerate(sorted(same_place, key=_order)):
            if turn == len(repeats):
                repeats.append([])
            repeats[turn].append(plane)
    return repeats


def _places(planes: Sequence[PlaneFacts]) -> list[list[PlaneFacts]]:
    """Group parallel planes by their height along the normal; others are each their own place."""
    first = planes[0].orientation
    placed = [(plane.position, plane) for plane in planes if plane.position is not None]
    if first is None or len(placed) < len(planes) or _orientations(planes) != [first]:
        return [[plane] for plane in planes]
    normal = np.cross(first[:3], first[3:])
    heights = [(float(np.dot(position, normal)), plane) for position, plane in placed]
    heights.sort(key=lambda pair: pair[0])
    places = [[heights[0][1]]]
    for (below, _), (height, plane) in pairwise(heights):
        if height - below > SAME_PLACE_MM:
            places.append([])
        places[-1].append(plane)
    return places


def _order(plane: PlaneFacts) -> tuple[float, float, float]:
    return (
        number(plane, "AcquisitionNumber") or 0.0,
        number(plane, "InstanceNumber") or 0.0,
        float(plane.frame_number or plane.tile or 0),
    )


def _splits(keys: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    """Return for every volume what sets it apart, in as few words as tell all volumes apart."""
    needed: list[str] = []
    for name in keys[0]:
        with_name = {tuple(key[other] for other in (*needed, name)) for key in keys}
        if len(with_name) > len({tuple(key[other] for other in needed) for key in keys}):
            needed.append(name)
    ranks = {name: sorted({key[name] for key in keys} - {None}, key=_sortable) for name in needed}
    return [{name: _name(key[name], ranks[name]) for name in needed} for key in keys]


def _name(value: object, ranked: Sequence[object]) -> str:
    """Return the value where it is short, else its rank among the values of the series."""
    if value is None:
        return "none"
    if isinstance(value, str | int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return f"n{ranked.index(value) + 1}"


def _sortable(value: object) -> tuple[bool, bool, float, str]:
    """Order of values of any kind: None, then numbers by size, then others by their text."""
    if isinstance(value, int | float):
        return True, False, float(value), ""
    return value is not None, True, 0.0, str(value)


def _volume_id(series: SeriesFacts, split: Mapping[str, str]) -> str:
    """Return the series UID and the split, such as ``1.2.3#b_value=1000,direction=n2``."""
    if not split:
        return series.series_instance_uid
    parts = ",".join(f"{name}={value}" for name, value in split.items())
    return f"{series.series_instance_uid}#{parts}"
