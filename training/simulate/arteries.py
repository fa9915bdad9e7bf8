"""The arterial tree: a table of courses in the atlas, drawn with individual size and turns.

Control points are MNI mm (right, anterior, superior) of the right side; the left side is their
mirror image. They follow the usual course of the circle of Willis and its branches through the
cisterns of the atlas. Vessels meet where they share a control point. Diameters follow published
means (cavernous ICA 5.0, terminus 3.6, M1 3.1, M2 2.4, basilar 3.6 to 3.1, VA 3.9 to 2.8 mm).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from training.simulate.anatomy import Place
from training.simulate.grids import Float64, ras_to_lps
from training.simulate.tube import Tube, make_tube

Point = tuple[float, float, float]

# Standard deviations: of the whole tree's and of one vessel's diameter, and of control points.
TREE_DEVIATION, VESSEL_DEVIATION = 0.10, 0.066
SMALLEST_FACTOR = 0.6
TURN_MM = 1.0
SIDES = ("_R", "_L")


@dataclass(frozen=True)
class Course:
    """Row of the table: the course of a vessel in the atlas.

    Attributes
    ----------
    name : str
    points : tuple of (x, y, z)
        Control points, MNI mm, right side.
    diameters_mm : tuple of float
        At equal distances from the first to the last point.
    parent : str
        Vessel it comes from; empty for a root.
    midline : bool
        True if there is no left twin.
    present : float
        Share of people who have it on a given side.
    """

    name: str
    points: tuple[Point, ...]
    diameters_mm: tuple[float, ...]
    parent: str = ""
    midline: bool = False
    present: float = 1.0


TERMINUS: Point = (13, 4, -20)
LIMEN: Point = (37, 8, -18)
BASILAR_TIP: Point = (0, -11, -20)
VERTEBRAL_JUNCTION: Point = (0, -24, -54)
SIPHON_END: Point = (14, 5, -25)
PICA_ORIGIN: Point = (13, -38, -67)
AICA_ORIGIN: Point = (0, -16, -44)
SCA_ORIGIN: Point = (0, -10, -27)
P1_END: Point = (11, -12, -20)
P2_END: Point = (11, -40, -3)
A1_END: Point = (2, 13, -18)
A2_END: Point = (2, 38, 8)
M2S_END: Point = (43, -1, 12)
M2M_END: Point = (45, -14, 12)
M2I_END: Point = (46, -28, 14)

ARTERIES: tuple[Course, ...] = (
    Course(
        "ICA",
        (
            (30, -20, -90),
            (30, -22, -72),
            (30, -23, -60),
            (27, -19, -52),
            (20, -13, -49),
            (14, -8, -45),
            (12, -4, -39),
            (11, 2, -36),
            (11, 9, -33),
            (11, 10, -28),
            SIPHON_END,
            TERMINUS,
        ),
        (4.9, 4.9, 5.0, 5.0, 4.8, 3.6),
    ),
    Course("M1", (TERMINUS, (20, 4, -19), (26, 6, -19), (31, 8, -20), LIMEN), (3.2, 3.0), "ICA"),
    Course(
        "M2S", (LIMEN, (42, 8, -12), (44, 8, -5), (42, 6, 2), (40, 3, 7), M2S_END), (2.5, 2.3), "M1"
    ),
    Course(
        "M2M",
        (LIMEN, (43, 4, -12), (45, 0, -7), (45, -5, 1), M2M_END),
        (2.3, 2.0),
        "M1",
        present=0.3,
    ),
    Course(
        "M2I",
        (LIMEN, (43, 3, -13), (44, -4, -11), (43, -11, -6), (41, -18, 1), (42, -23, 9), M2I_END),
        (2.5, 2.3),
        "M1",
    ),
    # Beyond the insula the branches run round the opercula, and out of the fissure.
    Course(
        "M3A",
        (M2S_END, (46, 3, 5), (51, 8, 1), (57, 12, 2), (58, 11, 9), (54, 11, 22), (50, 17, 38)),
        (1.6, 1.1),
        "M2S",
    ),
    Course(
        "M3S",
        (M2S_END, (47, 0, 5), (53, -2, 3), (62, -2, 6), (65, -3, 14), (60, -8, 25), (52, -13, 45)),
        (1.7, 1.1),
        "M2S",
    ),
    Course(
        "M3M",
        (M2M_END, (53, -13, 11), (61, -15, 10), (66, -18, 16), (64, -21, 24), (60, -28, 36)),
        (1.5, 1.1),
        "M2M",
    ),
    Course(
        "M3I",
        (M2I_END, (52, -31, 16), (60, -36, 18), (62, -44, 20), (59, -48, 30), (52, -55, 43)),
        (1.7, 1.1),
        "M2I",
    ),
    Course(
        "M3T",
        (M2I_END, (52, -30, 14), (60, -31, 13), (66, -34, 7), (65, -44, 2), (58, -58, 1)),
        (1.5, 1.1),
        "M2I",
    ),
    Course("A1", (TERMINUS, (8, 5, -20), (4, 8, -19), A1_END), (2.2, 2.1), "ICA"),
    Course("ACom", (A1_END, (0, 14, -18), (-2, 13, -18)), (1.6, 1.6), "A1", midline=True),
    Course(
        "A2", (A1_END, (2, 19, -12), (2, 25, -7), (2, 31, -3), (2, 36, 2), A2_END), (2.1, 1.9), "A1"
    ),
    Course(
        "A3",
        (A2_END, (2, 36, 15), (2, 31, 21), (2, 24, 26), (2, 12, 32), (2, -7, 37)),
        (1.8, 1.2),
        "A2",
    ),
    Course(
        "VA",
        ((24, -34, -92), (22, -42, -76), PICA_ORIGIN, (5, -31, -61), VERTEBRAL_JUNCTION),
        (3.9, 3.4, 2.8),
    ),
    Course(
        "BA",
        (VERTEBRAL_JUNCTION, AICA_ORIGIN, (0, -12, -34), SCA_ORIGIN, BASILAR_TIP),
        (3.6, 3.3, 3.1),
        "VA",
        midline=True,
    ),
    Course("P1", (BASILAR_TIP, (6, -10, -20), P1_END), (2.2, 2.1), "BA"),
    Course(
        "PCom", (SIPHON_END, (11, 0, -21), (10, -6, -19), P1_END), (1.3, 1.3), "ICA", present=0.7
    ),
    Course(
        "P2",
        (P1_END, (16, -18, -20), (20, -22, -16), (20, -27, -11), (16, -32, -7), P2_END),
        (2.1, 1.8),
        "P1",
    ),
    Course(
        "P3",
        (P2_END, (9, -46, -1), (13, -52, 2), (11, -58, 6), (8, -66, 10), (10, -79, 9)),
        (1.7, 1.1),
        "P2",
    ),
    Course(
        "SCA",
        (SCA_ORIGIN, (7, -11, -26), (12, -14, -24), (16, -21, -23), (20, -34, -22), (20, -43, -17)),
        (1.5, 1.0),
        "BA",
    ),
    Course(
        "AICA",
        (AICA_ORIGIN, (8, -17, -44), (17, -23, -42), (25, -34, -41)),
        (1.1, 0.8),
        "BA",
        present=0.8,
    ),
    Course(
        "PICA",
        (PICA_ORIGIN, (16, -43, -68), (14, -49, -72), (8, -56, -73), (3, -62, -67), (8, -71, -58)),
        (1.5, 1.0),
        "VA",
        present=0.85,
    ),
)


@dataclass(frozen=True)
class Variant:
    """Row of the table of common variants, drawn for each side.

    Attributes
    ----------
    share : float
        Of sides that have it.
    factors, opposite : mapping of str to float
        What the diameters of vessels of this side, and of the other side, are multiplied by.
    parents : mapping of str to str
        Vessels of this side that come from another one than usual.
    """

    share: float
    factors: Mapping[str, float]
    opposite: Mapping[str, float] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)


VARIANTS: tuple[Variant, ...] = (
    # The posterior cerebral artery comes from the carotid, as in the fetus.
    Variant(0.06, {"PCom": 1.6, "P1": 0.5}, parents={"P2": "PCom"}),
    Variant(0.04, {"A1": 0.55}, opposite={"A1": 1.1}),
    Variant(0.08, {"VA": 0.55}, opposite={"VA": 1.1}),
)


def draw_arteries(place: Place, rng: np.random.Generator, variety: float = 1.0) -> dict[str, Tube]:
    """Draw a patient's arterial tree, both sides.

    Parameters
    ----------
    place : callable
        Turns (..., 3) LPS points of the MNI atlas into patient LPS points, mm.
    rng : numpy Generator
    variety : float
        Factor by which courses vary more than patients' do, as of ``draw_warp``.

    Returns
    -------
    dict of str to Tube
        Parents before their children; the names are the table's with ``_R`` or ``_L``.
    """
    nodes = _draw_nodes(place, rng, variety)
    parents, factors = _draw_variants(rng)
    tree = float(np.clip(rng.normal(1, TREE_DEVIATION), SMALLEST_FACTOR, None))
    tubes: dict[str, Tube] = {}
    for course in ARTERIES:
        for side in ("",) if course.midline else SIDES:
            name = course.name + side
            size = tree * max(SMALLEST_FACTOR, rng.normal(1, VESSEL_DEVIATION))
            missing = rng.random() >= course.present and name not in parents.values()
            parent = _find_parent(parents.get(name, course.parent), side, tubes)
            if missing or (course.parent and not parent):
                continue
            points = [nodes[point] for point in on_side(course.points, side)]
            diameters = np.array(course.diameters_mm) * size * factors[name]
            tubes[name] = make_tube(name, points, diameters, parent)
    return tubes


def on_side(points: Iterable[Point], side: str) -> list[Point]:
    """Mirror control points to the left if the side is ``_L``."""
    return [(-x if side == "_L" else x, y, z) for x, y, z in points]


def _draw_nodes(place: Place, rng: np.random.Generator, variety: float) -> dict[Point, Float64]:
    """Draw where each control point lies in the patient; one that vessels share only once."""
    wanted = dict.fromkeys(
        point
        for course in ARTERIES
        for side in (("",) if course.midline else SIDES)
        for point in on_side(course.points, side)
    )
    placed = place(ras_to_lps(np.array(list(wanted))))
    turned = placed + rng.normal(0, variety * TURN_MM, placed.shape)
    return dict(zip(wanted, turned, strict=True))


def _draw_variants(rng: np.random.Generator) -> tuple[dict[str, str], dict[str, float]]:
    """Draw the parents of vessels that have an unusual one, and the size of every vessel."""
    parents: dict[str, str] = {}
    factors: dict[str, float] = defaultdict(lambda: 1.0)
    for variant in VARIANTS:
        for side, other in (SIDES, SIDES[::-1]):
            if rng.random() < variant.share:
                parents |= {name + side: parent + side for name, parent in variant.parents.items()}
                for sizes, where in ((variant.factors, side), (variant.opposite, other)):
                    for name, factor in sizes.items():
                        factors[name + where] *= factor
    return parents, factors


def _find_parent(parent: str, side: str, tubes: Mapping[str, Tube]) -> str:
    """Return the full name of a parent that is there: given in full, of this side, or midline."""
    candidates = (parent, parent + (side or SIDES[0]))
    return next((name for name in candidates if name in tubes), "")
