"""Veins: dural sinuses and deep veins from a table, cortical and medullary veins at random.

Control points are MNI mm (right, anterior, superior) of the right side; those of the sinuses were
read from veins of label maps that had been registered to the atlas. Veins that lie on the brain or
in the dura are then moved onto those of the patient.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from training.simulate.arteries import SIDES, Point, on_side
from training.simulate.grids import Float32, Float64, ras_to_lps
from training.simulate.head import Head
from training.simulate.tube import STEP_MM, Tube, make_tube


@dataclass(frozen=True)
class Vein:
    """Row of the table of veins with a name.

    Attributes
    ----------
    name : str
    points : tuple of (x, y, z)
        Control points, MNI mm, right side, in the direction of the blood.
    diameters_mm : tuple of float
        At equal distances from the first to the last point.
    seat : str
        "dura" or "brain": what its points are moved onto; empty if they stay.
    midline : bool
        True if there is no left twin.
    present : float
        Share of sides on which it is large enough to be seen.
    """

    name: str
    points: tuple[Point, ...]
    diameters_mm: tuple[float, ...]
    seat: str = ""
    midline: bool = False
    present: float = 1.0


TORCULA: Point = (0, -95, -18)
GALEN: Point = (0, -38, 6)
STRAIGHT: Point = (0, -47, 11)
FORAMEN: Point = (3, 3, 8)
SIGMOID: Point = (59, -57, -30)
SYLVIAN: Point = (58, -24, 14)
ANTEROSUPERIOR: Point = (0, -20, 82)
TEMPORAL_INLET: Point = (53, -69, -27)

VEINS: tuple[Vein, ...] = (
    Vein(
        "SSS",
        (
            (0, 66, 18),
            (0, 60, 40),
            (0, 40, 61),
            (0, 20, 72),
            (0, 0, 79),
            ANTEROSUPERIOR,
            (0, -40, 82),
            (0, -60, 74),
            (0, -80, 56),
            (0, -98, 20),
            (0, -100, 0),
            TORCULA,
        ),
        (3.0, 5.0, 6.5, 8.0),
        "dura",
        midline=True,
    ),
    Vein(
        "transverse",
        (TORCULA, (12, -93, -22), (32, -87, -29), (44, -80, -27), TEMPORAL_INLET, SIGMOID),
        (7.5, 6.5, 6.5),
        "dura",
    ),
    Vein(
        "sigmoid",
        (
            SIGMOID,
            (57, -47, -38),
            (50, -43, -47),
            (41, -37, -53),
            (34, -33, -60),
            (33, -32, -72),
            (31, -28, -92),
        ),
        (6.5, 7.0, 8.5),
    ),
    Vein(
        "straight",
        (STRAIGHT, (0, -57, 11), (0, -65, 4), (0, -73, -5), (0, -84, -12), TORCULA),
        (3.5, 4.5),
        midline=True,
    ),
    Vein("Galen", (GALEN, (0, -43, 7), STRAIGHT), (3.5, 4.0), midline=True),
    Vein("ICV", (FORAMEN, (2, -5, 11), (2, -14, 13), (2, -23, 13), (1, -31, 8), GALEN), (1.5, 2.2)),
    Vein(
        "thalamostriate",
        ((20, -25, 22), (14, -17, 22), (12, -8, 20), (6, 0, 14), FORAMEN),
        (1.0, 1.6),
        present=0.85,
    ),
    Vein("septal", ((5, 25, 8), (4, 12, 8), FORAMEN), (0.8, 1.2), present=0.8),
    Vein(
        "Rosenthal",
        (
            (19, 2, -18),
            (14, -4, -18),
            (20, -12, -16),
            (22, -20, -12),
            (18, -28, -9),
            (11, -36, -1),
            GALEN,
        ),
        (1.2, 2.2),
        present=0.75,
    ),
    Vein(
        "sylvian",
        (SYLVIAN, (58, -10, 6), (54, 6, -2), (46, 16, -12), (34, 12, -24)),
        (1.4, 2.6),
        "brain",
        present=0.75,
    ),
    Vein(
        "Trolard",
        (SYLVIAN, (62, -26, 30), (54, -26, 50), (36, -24, 68), (14, -22, 80), ANTEROSUPERIOR),
        (1.4, 3.0),
        "brain",
        present=0.5,
    ),
    Vein(
        "Labbe",
        (SYLVIAN, (64, -36, 4), (64, -48, -10), (58, -60, -22), TEMPORAL_INLET),
        (1.4, 2.6),
        "brain",
        present=0.5,
    ),
)

SIZE_DEVIATION = 0.15
SMALLEST_FACTOR = 0.5
# Of transverse sinuses; one of the two is often much smaller.
SMALL_SINUS_SHARE, SMALL_SINUS = 0.3, 0.5
TURN_MM = 0.8
OVER_BRAIN_MM = 0.8
# How far over the brain the dura is looked for, and how much bone tells it.
DURA_RANGE_MM = np.arange(0.0, 25.0, 0.5)
BONE_SHARE = 0.4
DURA_INSIDE_MM = 1.0
NORMAL_STEP_MM = 1.5
# Distance between points that are moved onto the brain.
PATH_STEP_MM = 4.0

CORTICAL_COUNT, MEDULLARY_COUNT = (16, 35), (20, 61)
CORTICAL_MM, MEDULLARY_MM = (0.9, 2.6), (0.5, 1.1)
# Congested veins on the side of a stroke: how often, how many and how thick, relative to normal.
CONGESTED_COUNT, CONGESTED_SIZE = 1.6, (1.2, 1.6)
# Arcs over a hemisphere, in MNI mm: where along it, around which height, and how far out before
# they are moved onto the brain.
CORTICAL_RANGE_MM, MIDDLE_HEIGHT_MM, BEYOND_BRAIN_MM = (-85.0, 58.0), 8.0, 75.0
SULCUS_REACH_MM = 3.5
# Upper outer edge of the lateral ventricle, where medullary veins end: (anterior, x, superior).
VENTRICLE_EDGE = np.array(
    [(-40, 28, 18), (-25, 22, 25), (-10, 19, 26), (5, 17, 23), (20, 16, 17), (32, 17, 10)], float
)


def draw_veins(head: Head, rng: np.random.Generator, congested_side: str | None) -> list[Tube]:
    """Draw sinuses, deep, superficial and medullary veins.

    Parameters
    ----------
    head : Head
    rng : numpy Generator
    congested_side : "R", "L" or None
        Side whose cortical and medullary veins are thicker and more numerous.

    Returns
    -------
    list of Tube
        In the direction of the blood, names with ``_R`` or ``_L`` off the midline.
    """
    congested = f"_{congested_side}" if congested_side else ""
    named = _draw_named(head, rng)
    sinus = next(tube for tube in named if tube.name == "SSS")
    veins = list(named)
    for side in SIDES:
        more = CONGESTED_COUNT if side == congested else 1.0
        size = rng.uniform(*CONGESTED_SIZE) if side == congested else 1.0
        cortical, medullary = (
            round(more * rng.integers(*limits) / 2) for limits in (CORTICAL_COUNT, MEDULLARY_COUNT)
        )
        veins += [_cortical_vein(head, sinus, side, size, rng) for _ in range(cortical)]
        veins += [_medullary_vein(head, side, size, rng) for _ in range(medullary)]
    return veins


def _draw_named(head: Head, rng: np.random.Generator) -> list[Tube]:
    nodes = _seat_nodes(head, rng)
    small = rng.choice(SIDES) if rng.random() < SMALL_SINUS_SHARE else ""
    tubes = []
    for vein in VEINS:
        for side in ("",) if vein.midline else SIDES:
            size = max(SMALLEST_FACTOR, rng.normal(1, SIZE_DEVIATION))
            if side and side == small and vein.name in ("transverse", "sigmoid"):
                size *= SMALL_SINUS
            if rng.random() >= vein.present:
                continue
            points = np.array([nodes[point] for point in on_side(vein.points, side)])
            if vein.seat == "brain":
                points = _along_brain(head, points)
            tubes.append(make_tube(vein.name + side, points, np.array(vein.diameters_mm) * size))
    return tubes


def _seat_nodes(head: Head, rng: np.random.Generator) -> dict[Point, Float64]:
    """Place all control points in the patient; the first vein that has one says where it sits."""
    seats: dict[Point, str] = {}
    for vein in VEINS:
        for side in ("",) if vein.midline else SIDES:
            for point in on_side(vein.points, side):
                seats.setdefault(point, vein.seat)
    placed = head.place(ras_to_lps(np.array(list(seats))))
    placed += rng.normal(0, TURN_MM, placed.shape)
    kinds = np.array(list(seats.values()))
    placed[kinds == "brain"] = _onto_surface(head, placed[kinds == "brain"], OVER_BRAIN_MM)
    placed[kinds == "dura"] = _onto_dura(head, placed[kinds == "dura"])
    return dict(zip(seats, placed, strict=True))


def _along_brain(head: Head, points: Float64) -> Float64:
    """Lay a path between its two ends over the brain's surface, a point every few millimetres."""
    path = make_tube("", points, (1.0, 1.0)).centreline[:: int(PATH_STEP_MM / STEP_MM)]
    return np.vstack([points[:1], _onto_surface(head, path[1:-1], OVER_BRAIN_MM), points[-1:]])


def _onto_surface(head: Head, points: Float64, over_mm: float | Float64) -> Float64:
    """Move points along the normal until they lie at a height over the brain's surface."""
    for _ in range(4):
        height, normal = _height(head, points)
        points = points + (over_mm - height)[:, None] * normal
    return points


def _onto_dura(head: Head, points: Float64) -> Float64:
    """Move points to where, going outwards, bone begins."""
    base = _onto_surface(head, points, 0.0)
    _, normal = _height(head, base)
    ray = base[:, None, :] + DURA_RANGE_MM[None, :, None] * normal[:, None, :]
    bone = _sample(head.tissues["bone"], head, ray) > BONE_SHARE
    first = np.where(bone.any(axis=1), bone.argmax(axis=1), 4)
    return base + (DURA_RANGE_MM[first] - DURA_INSIDE_MM)[:, None] * normal


def _height(head: Head, points: Float64) -> tuple[Float64, Float64]:
    """Return the height over the brain's surface (n,) and the outward normal (n, 3)."""
    offsets = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)]) * NORMAL_STEP_MM
    sampled = _sample(head.surface_mm, head, points[:, None, :] + offsets)
    slope = sampled[:, 1:4] - sampled[:, 4:]
    length = np.linalg.norm(slope, axis=1, keepdims=True)
    return sampled[:, 0], slope / np.maximum(length, 1e-6)


def _sample(voxels: Float32, head: Head, points: Float64) -> Float64:
    """Sample an array of the head at (..., 3) LPS points, linearly."""
    index = head.geometry.to_index(points).reshape(-1, 3).T
    sampled = ndimage.map_coordinates(voxels, index, order=1, mode="nearest")
    return np.asarray(sampled, float).reshape(points.shape[:-1])


def _cortical_vein(
    head: Head, sinus: Tube, side: str, size: float, rng: np.random.Generator
) -> Tube:
    """Draw a vein that climbs over a hemisphere, in its sulci, to the superior sagittal sinus."""
    angles = np.radians(np.linspace(rng.uniform(30, 95), rng.uniform(6, 10), 7))
    start = rng.uniform(*CORTICAL_RANGE_MM)
    # Frontal veins run backwards as they climb, parietal ones forwards.
    slant = rng.normal(0, 15) * angles / angles[0]
    lateral = np.sin(angles) * (-1 if side == "_L" else 1)
    arc = np.stack([lateral, np.zeros(7), np.cos(angles)], axis=1) * BEYOND_BRAIN_MM
    arc += np.array([0.0, start, MIDDLE_HEIGHT_MM])
    arc[:, 1] += slant + rng.normal(0, 3, 7)
    placed = _onto_surface(head, np.asarray(head.place(ras_to_lps(arc))), OVER_BRAIN_MM)
    points = _into_sulci(head, placed, rng)
    end = np.linalg.norm(sinus.centreline - points[-1], axis=1).argmin()
    path = _along_brain(head, np.vstack([points, sinus.centreline[end]]))
    thick = rng.uniform(*CORTICAL_MM) * size
    return make_tube(f"cortical{side}", path, (0.6 * thick, thick))


def _into_sulci(head: Head, points: Float64, rng: np.random.Generator) -> Float64:
    """Move each point of the surface to the place nearby with most fluid under it."""
    nearby = points[:, None, :] + rng.uniform(-1, 1, (len(points), 12, 3)) * SULCUS_REACH_MM
    candidates = _onto_surface(head, nearby.reshape(-1, 3), -1.0).reshape(nearby.shape)
    fluid = _sample(head.tissues["fluid"], head, candidates)
    best = candidates[np.arange(len(points)), fluid.argmax(axis=1)]
    return _onto_surface(head, best, OVER_BRAIN_MM)


def _medullary_vein(head: Head, side: str, size: float, rng: np.random.Generator) -> Tube:
    """Draw a thin straight vein of the white matter that points at the lateral ventricle."""
    anterior = rng.uniform(VENTRICLE_EDGE[0, 0], VENTRICLE_EDGE[-1, 0])
    lateral, superior = (
        np.interp(anterior, VENTRICLE_EDGE[:, 0], VENTRICLE_EDGE[:, axis]) for axis in (1, 2)
    )
    angle = np.radians(rng.uniform(-10, 80))
    outward = np.array([np.cos(angle), rng.normal(0, 0.3), np.sin(angle)])
    stations = np.linspace(rng.uniform(8, 26), 0, 4)[:, None]
    points = np.array([lateral, anterior, superior]) + outward / np.linalg.norm(outward) * stations
    points[:, 0] *= -1 if side == "_L" else 1
    placed = np.asarray(head.place(ras_to_lps(points))) + rng.normal(0, 0.3, (4, 3))
    thick = rng.uniform(*MEDULLARY_MM) * size
    return make_tube(f"medullary{side}", placed, (0.5 * thick, thick))
