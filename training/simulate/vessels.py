"""Arteries and veins as tubes: centrelines in the template, bent into the patient.

Control points are MNI mm (right, anterior, superior) on the right side; the left side is the
mirror image. They follow the usual course of the circle of Willis through the atlas's cisterns
and are not a probabilistic vessel atlas. Diameters follow published means (cavernous ICA 5.0,
terminus 3.6, M1 3.1, M2 2.4, basilar 3.6 to 3.1 mm), varied by 12 % from case to case.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import make_interp_spline

from service.domain.geometry import Geometry
from training.simulate.anatomy import Float32, Float64, Head, Warp, ras_to_lps

STEP_MM = 0.25
WOBBLE_MM = 1.2
VEIN_PPM = 0.19


@dataclass(frozen=True)
class Course:
    """Table row: a vessel's path in the template.

    Attributes
    ----------
    name : str
    points : tuple of (x, y, z)
        Control points, MNI mm, right side.
    diameter_mm : (float, float)
        At the first and last point.
    parent : str
        Vessel from whose end it comes; empty for a root.
    midline : bool
        True when there is no left twin.
    """

    name: str
    points: tuple[tuple[float, float, float], ...]
    diameter_mm: tuple[float, float]
    parent: str = ""
    midline: bool = False


ARTERIES: tuple[Course, ...] = (
    Course(
        "ICA",
        (
            (24, -8, -62),
            (21, -6, -50),
            (15, -7, -44),
            (13, 1, -37),
            (14, 7, -32),
            (15, 5, -25),
            (15, 2, -19),
        ),
        (4.9, 3.6),
    ),
    Course(
        "M1",
        ((15, 2, -19), (20, 4, -18), (26, 6, -19), (32, 5, -18), (37, 3, -15)),
        (3.3, 2.9),
        "ICA",
    ),
    Course(
        "M2S", ((37, 3, -15), (39, 6, -8), (40, 5, 1), (40, -1, 10), (45, -8, 17)), (2.5, 2.1), "M1"
    ),
    Course(
        "M2I",
        ((37, 3, -15), (40, -4, -10), (40, -14, -3), (43, -26, 5), (50, -36, 11)),
        (2.5, 2.1),
        "M1",
    ),
    Course(
        "M3S",
        ((45, -8, 17), (52, -10, 20), (57, -12, 28), (56, -15, 40), (50, -18, 52)),
        (1.7, 1.2),
        "M2S",
    ),
    Course("M3A", ((45, -8, 17), (50, 2, 18), (54, 10, 24), (50, 16, 36)), (1.6, 1.1), "M2S"),
    Course("M3I", ((50, -36, 11), (56, -42, 16), (58, -48, 26), (52, -56, 38)), (1.7, 1.2), "M2I"),
    Course("A1", ((15, 2, -19), (11, 7, -18), (6, 12, -16), (3, 16, -13)), (2.2, 2.0), "ICA"),
    Course(
        "A2",
        ((3, 16, -13), (3, 25, -8), (3, 33, 2), (3, 34, 13), (3, 26, 23), (4, 10, 34)),
        (2.1, 1.5),
        "A1",
    ),
    Course("VA", ((10, -36, -66), (7, -32, -60), (3, -25, -53), (0, -21, -47)), (3.6, 2.9)),
    Course(
        "BA",
        ((0, -21, -47), (0, -16, -39), (0, -13, -30), (0, -13, -20)),
        (3.6, 3.1),
        "VA",
        midline=True,
    ),
    Course("P1", ((0, -13, -20), (5, -14, -17), (11, -17, -16)), (2.2, 2.1), "BA"),
    Course(
        "P2",
        ((11, -17, -16), (19, -24, -13), (22, -33, -8), (18, -46, -3), (13, -62, 2), (10, -76, 6)),
        (2.1, 1.5),
        "P1",
    ),
)

VEINS: tuple[Course, ...] = (
    Course(
        "SSS",
        (
            (0, 60, 22),
            (0, 44, 52),
            (0, 18, 70),
            (0, -14, 77),
            (0, -44, 74),
            (0, -72, 54),
            (0, -94, 24),
            (0, -100, 0),
        ),
        (4.0, 8.0),
        midline=True,
    ),
    Course("ICV", ((2, 3, 11), (2, -8, 15), (2, -24, 14), (1, -38, 9)), (1.5, 2.2)),
    Course(
        "Galen", ((0, -38, 9), (0, -46, 8), (0, -62, 14), (0, -84, 8)), (4.0, 5.5), midline=True
    ),
    Course("thalamostriate", ((19, -22, 21), (14, -8, 20), (8, 1, 15), (2, 3, 11)), (1.0, 1.5)),
    Course(
        "Rosenthal",
        ((21, 0, -17), (18, -14, -15), (17, -26, -9), (8, -38, 2), (1, -40, 8)),
        (1.2, 2.2),
    ),
    Course(
        "sylvian",
        ((54, -26, 18), (52, -8, 8), (48, 8, -4), (40, 13, -15), (28, 8, -23)),
        (1.4, 2.4),
    ),
)


@dataclass(frozen=True, eq=False)
class Tube:
    """A vessel of one patient.

    Attributes
    ----------
    name : str
        As in the table, with ``_R`` or ``_L`` unless on the midline.
    centreline : float64 array (n, 3)
        LPS mm, one point every STEP_MM.
    radius_mm : float64 array (n,)
    parent : str
        Name of the tube it continues; empty for a root.
    """

    name: str
    centreline: Float64
    radius_mm: Float64
    parent: str = ""

    @property
    def length_mm(self) -> float:
        """Length of the centreline."""
        return float(np.linalg.norm(np.diff(self.centreline, axis=0), axis=1).sum())


def draw_arteries(warp: Warp, rng: np.random.Generator) -> dict[str, Tube]:
    """Draw the arterial tree of a patient, both sides."""
    return _draw_tree(ARTERIES, warp, rng)


def draw_veins(head: Head, rng: np.random.Generator) -> list[Tube]:
    """Draw sinuses, deep, sylvian, cortical and medullary veins."""
    named = list(_draw_tree(VEINS, head.warp, rng).values())
    present = [tube for tube in named if not _varies(tube.name) or rng.random() < 0.75]
    cortical = [_cortical_vein(head, rng) for _ in range(rng.integers(16, 34))]
    medullary = [_medullary_vein(head.warp, rng) for _ in range(rng.integers(20, 60))]
    return present + cortical + medullary


def _varies(name: str) -> bool:
    return name.startswith(("sylvian", "Rosenthal", "thalamostriate"))


def _draw_tree(table: tuple[Course, ...], warp: Warp, rng: np.random.Generator) -> dict[str, Tube]:
    ends: dict[str, Float64] = {}
    tubes = {}
    for course in table:
        for side in ("",) if course.midline else ("_R", "_L"):
            tube = _draw_tube(course, side, warp, ends, rng)
            tubes[tube.name] = tube
            ends[tube.name] = _wobbled_end(course, side, tube, warp)
    return tubes


def _wobbled_end(course: Course, side: str, tube: Tube, warp: Warp) -> Float64:
    """How far the drawn end lies from the table's, so that children start where it ended."""
    wanted = warp.to_patient(_side_points(course, side)[-1])
    return np.asarray(tube.centreline[-1] - wanted)


def _side_points(course: Course, side: str) -> Float64:
    return ras_to_lps(np.array(course.points) * [-1 if side == "_L" else 1, 1, 1])


def _draw_tube(
    course: Course, side: str, warp: Warp, ends: dict[str, Float64], rng: np.random.Generator
) -> Tube:
    control = warp.to_patient(_side_points(course, side))
    wobble = rng.normal(0, WOBBLE_MM, control.shape)
    parent = next((n for n in (course.parent + side, course.parent) if n in ends), "")
    wobble[0] = ends.get(parent, wobble[0])
    diameters = np.array(course.diameter_mm) * max(0.6, rng.normal(1, 0.12))
    return _tube(course.name + side, control + wobble, diameters, parent)


def _tube(name: str, control: Float64, diameters: Float64, parent: str = "") -> Tube:
    """Spline through control points, sampled every STEP_MM."""
    chord = np.linalg.norm(np.diff(control, axis=0), axis=1)
    knots = np.concatenate([[0.0], np.cumsum(chord)])
    degree = min(3, len(control) - 1)
    samples = np.linspace(0, knots[-1], max(3, int(knots[-1] / STEP_MM) + 1))
    line = make_interp_spline(knots, control, k=degree)(samples)
    radius = np.linspace(diameters[0], diameters[1], len(samples)) / 2
    return Tube(name, line, radius, parent)


def _cortical_vein(head: Head, rng: np.random.Generator) -> Tube:
    """Draw a vein that climbs over the hemisphere towards the superior sagittal sinus."""
    elevation = np.radians(np.linspace(rng.uniform(5, 40), rng.uniform(70, 86), 7))
    azimuth = rng.uniform(-80, 80) + np.cumsum(rng.normal(0, 6, 7))
    side = rng.choice([-1.0, 1.0])
    lateral = np.cos(elevation) * side
    back = np.sin(np.radians(azimuth)) * 0.9
    direction = np.stack([lateral, back + 0 * lateral, np.sin(elevation)], axis=1)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    points = _on_surface(head, direction)
    return _tube("cortical", points, rng.uniform(0.9, 2.6) * np.array([0.6, 1.0]))


def _on_surface(head: Head, directions: Float64) -> Float64:
    """Where rays from the middle of the brain first leave it, in patient LPS mm: (n, 3)."""
    centre = head.warp.to_patient(np.array([0.0, 15.0, 8.0]))
    radii = np.arange(20.0, 110.0, 1.0)
    points = centre + radii[None, :, None] * directions[:, None, :]
    index = np.rint(head.geometry.to_index(points)).astype(int)
    index = np.clip(index, 0, np.array(head.geometry.shape) - 1)
    outside = head.surface_mm[tuple(np.moveaxis(index, -1, 0))] > 0.5
    first = np.where(outside.any(axis=1), outside.argmax(axis=1), len(radii) - 1)
    return np.asarray(points[np.arange(len(directions)), first])


def _medullary_vein(warp: Warp, rng: np.random.Generator) -> Tube:
    """Draw a thin straight vein of the white matter, pointing at the lateral ventricle."""
    side = rng.choice([-1.0, 1.0])
    start = np.array([side * rng.uniform(14, 20), rng.uniform(-30, 38), rng.uniform(16, 28)])
    outward = np.array([side * rng.uniform(0.2, 1), rng.normal(0, 0.3), rng.uniform(0.2, 1)])
    outward /= np.linalg.norm(outward)
    stations = np.linspace(0, rng.uniform(8, 26), 4)[:, None]
    control = warp.to_patient(start + outward * stations) + rng.normal(0, 0.3, (4, 3))
    return _tube("medullary", control, np.array([1.0, 0.5]) * rng.uniform(0.5, 1.1))


@dataclass(frozen=True, eq=False)
class Painted:
    """Voxels of a grid touched by a tube.

    Attributes
    ----------
    flat : int64 array (n,)
        Flat indices into the grid, each once.
    fraction : float32 array (n,)
        Share of the voxel inside the tube, 0..1.
    station : int64 array (n,)
        Nearest point of the centreline.
    """

    flat: npt.NDArray[np.int64]
    fraction: Float32
    station: npt.NDArray[np.int64]


def paint(tube: Tube, grid: Geometry) -> Painted:
    """Find the voxels of ``grid`` inside a tube; its edge is soft over one voxel."""
    spacing = np.array(grid.spacing)
    soft = float(spacing.min())
    stride = max(1, int(max(soft / 2, tube.radius_mm.min() / 3) / STEP_MM))
    stations = np.arange(0, len(tube.centreline), stride)
    index = grid.to_index(tube.centreline[stations]).astype(np.float32)
    reach = np.ceil((tube.radius_mm.max() + soft) / spacing).astype(int)
    offsets = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), -1)
    voxels = np.rint(index).astype(int)[:, None, :] + offsets.reshape(1, -1, 3)
    apart = (voxels - index[:, None, :]).astype(np.float32) * spacing.astype(np.float32)
    distance = np.sqrt(np.einsum("sod,sod->so", apart, apart))
    depth = tube.radius_mm[stations][:, None] - distance
    fraction = np.clip(depth / soft + 0.5, 0, 1)
    inside = (voxels >= 0).all(-1) & (voxels < np.array(grid.shape)).all(-1) & (fraction > 0)
    owner = np.broadcast_to(stations[:, None], inside.shape)[inside]
    return _keep_fullest(
        np.ravel_multi_index(tuple(voxels[inside].T), grid.shape), fraction[inside], owner
    )


def _keep_fullest(
    flat: npt.NDArray[np.int64], fraction: Float64, station: npt.NDArray[np.int64]
) -> Painted:
    """Of several entries for one voxel keep the one with the largest fraction."""
    order = np.lexsort((fraction, flat))
    flat, fraction, station = flat[order], fraction[order], station[order]
    last = np.append(flat[1:] != flat[:-1], True) if flat.size else np.zeros(0, bool)
    return Painted(flat[last], fraction[last].astype(np.float32), station[last])
