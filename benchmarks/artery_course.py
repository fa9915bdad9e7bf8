"""How far the simulator's arteries run from those of a real MR angiogram.

``python -m benchmarks.artery_course ANGIOGRAM`` reads a time-of-flight angiogram (NIfTI, background
removed), lays the table's tree over it and prints, in Markdown, distances, angles, lengths and
diameters of each vessel.

The angiogram is of one person and in that person's own space. The tree, which is in the atlas's,
is aligned with it by iterated closest points: a similarity (rotation, shift, one scale: 7 numbers)
for the whole tree. As the parts of a person's circle of Willis lie higher or lower than another's,
distances are also given after each vessel was shifted onto its own (3 more numbers each): those
tell of its shape. Distances are in the person's millimetres.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial import cKDTree

from training.simulate.arteries import ARTERIES, SIDES, on_side
from training.simulate.tube import Tube, make_tube

Float64 = npt.NDArray[np.float64]

# Of the angiogram's grey values (8 bit), and in mm3: what counts as vessel.
VESSEL_LEVEL = 70
SMALLEST_MM3 = 40.0
STEP_MM = 0.5
RIDGE_VOXELS = 5
# Vessels that an angiogram of the circle of Willis shows reliably.
SHOWN = ("ICA", "M1", "M2S", "M2I", "A1", "A2", "BA", "P1", "P2")
START_PITCH = (-20.0, -10.0, 0.0, 10.0, 20.0)
ROUNDS = 60
KEPT_SHARE = 0.85
FEWEST_POINTS = 3
FAR_MM = 12.0
SHIFT_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Angiogram:
    """Middle lines of a real angiogram's vessels.

    Attributes
    ----------
    points : float64 array (n, 3)
        RAS mm.
    diameters_mm : float64 array (n,)
        Of the largest ball inside the vessel.
    low, high : float64 array (3,)
        Corners of what the image covers, RAS mm.
    """

    points: Float64
    diameters_mm: Float64
    low: Float64
    high: Float64


def read_angiogram(path: Path) -> Angiogram:
    """Extract bright vessels as the ridges of the distance to their wall."""
    image = nib.load(path)
    source = np.asarray(image.dataobj, np.float32)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in source.shape])).reshape(3, -1).T
    box = apply_affine(image.affine, corners)
    low, high = box.min(axis=0), box.max(axis=0)
    grid = np.diag([STEP_MM, STEP_MM, STEP_MM, 1.0])
    grid[:3, 3] = low
    to_voxel = np.linalg.inv(image.affine) @ grid
    shape = tuple(np.ceil((high - low) / STEP_MM).astype(int))
    voxels = ndimage.affine_transform(
        source, to_voxel[:3, :3], to_voxel[:3, 3], output_shape=shape, order=1
    )
    vessel = voxels > VESSEL_LEVEL
    parts, _ = ndimage.label(vessel, np.ones((3, 3, 3)))
    large = np.bincount(parts.ravel()) * STEP_MM**3 >= SMALLEST_MM3
    vessel &= large[parts]
    depth = ndimage.distance_transform_edt(vessel) * STEP_MM
    ridge = np.argwhere(vessel & (depth == ndimage.maximum_filter(depth, RIDGE_VOXELS)))
    return Angiogram(ridge * STEP_MM + low, 2 * depth[tuple(ridge.T)], low, high)


def table_tree() -> dict[str, Tube]:
    """Lay out the table's arteries without any variation, RAS mm of the atlas."""
    return {
        course.name + side: make_tube(
            course.name + side, on_side(course.points, side), course.diameters_mm
        )
        for course in ARTERIES
        for side in (("",) if course.midline else SIDES)
    }


def align(tree: dict[str, Tube], real: Angiogram) -> Float64:
    """Return the (4, 4) similarity that takes the tree onto the angiogram."""
    shown = np.concatenate(
        [tube.centreline[::2] for name, tube in tree.items() if name.split("_")[0] in SHOWN]
    )
    starts = (_start(shown, real, pitch) for pitch in START_PITCH)
    return min(
        (_closest_points(shown, real, start) for start in starts), key=lambda result: result[0]
    )[1]


def _start(tree: Float64, real: Angiogram, pitch: float) -> Float64:
    angle = np.radians(pitch)
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = real.points.mean(axis=0) - matrix[:3, :3] @ tree.mean(axis=0)
    return matrix


def _closest_points(tree: Float64, real: Angiogram, matrix: Float64) -> tuple[float, Float64]:
    """Refine a matrix by pairs in both directions, without the worst of them."""
    error = np.inf
    for _ in range(ROUNDS):
        moved = apply_affine(matrix, tree)
        inside = ((moved > real.low) & (moved < real.high)).all(axis=1)
        there, found = _nearest(real.points, moved[inside])
        back, nearest = _nearest(moved, real.points)
        sources = np.concatenate([tree[inside], tree[nearest]])
        targets = np.concatenate([real.points[found], real.points])
        distance = np.concatenate([there, back])
        kept = distance <= np.quantile(distance, KEPT_SHARE)
        error = float(distance[kept].mean())
        matrix = _fit(sources[kept], targets[kept])
    return error, matrix


def _fit(sources: Float64, targets: Float64) -> Float64:
    """Least-squares similarity between pairs of points (Umeyama 1991)."""
    middle, goal = sources.mean(axis=0), targets.mean(axis=0)
    centred, wanted = sources - middle, targets - goal
    left, sizes, right = np.linalg.svd(wanted.T @ centred)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    scale = (sizes * flip).sum() / (centred**2).sum()
    matrix = np.eye(4)
    matrix[:3, :3] = scale * (left * flip) @ right
    matrix[:3, 3] = goal - matrix[:3, :3] @ middle
    return matrix


@dataclass(frozen=True)
class Comparison:
    """One vessel of the tree beside the angiogram's, mm and degrees.

    Attributes
    ----------
    there, back : (float, float)
        Mean and 95 % distance of the tree's middle line to the angiogram's, and the other way.
    shifted : (float, float)
        Distance of the tree's to the angiogram's after the vessel was shifted onto its own.
    shift_mm : float
        By how much it was shifted.
    angle_degrees : float
        Between the directions from begin to end of both.
    chord_mm, real_chord_mm : float
        Straight from begin to end, as far as the image reaches.
    diameter_mm, real_diameter_mm : float
    """

    there: tuple[float, float]
    back: tuple[float, float]
    shifted: tuple[float, float]
    shift_mm: float
    angle_degrees: float
    chord_mm: float
    real_chord_mm: float
    diameter_mm: float
    real_diameter_mm: float


def compare(tree: dict[str, Tube], real: Angiogram, matrix: Float64) -> dict[str, Comparison]:
    """Compare every vessel that the angiogram shows."""
    moved = {n: apply_affine(matrix, t.centreline) for n, t in tree.items()}
    inside = {n: ((m > real.low) & (m < real.high)).all(axis=1) for n, m in moved.items()}
    names = np.concatenate([[name] * len(line) for name, line in moved.items()])
    apart, nearest = _nearest(np.concatenate(list(moved.values())), real.points)
    owner = np.where(apart < FAR_MM, names[nearest], "")
    return {
        name: _compare_one(
            moved[name][inside[name]], 2 * tree[name].radius_mm[inside[name]], real, owner == name
        )
        for name in tree
        if name.split("_")[0] in SHOWN and (owner == name).sum() >= FEWEST_POINTS
    }


def _compare_one(
    line: Float64, diameters: Float64, real: Angiogram, own: npt.NDArray[np.bool_]
) -> Comparison:
    there, _ = _nearest(real.points, line)
    back, _ = _nearest(line, real.points[own])
    shifted = line
    for _ in range(SHIFT_ROUNDS):
        _, found = _nearest(real.points, shifted)
        shifted = shifted + (real.points[found] - shifted).mean(axis=0)
    after, found = _nearest(real.points, shifted)
    ours, theirs = line[-1] - line[0], real.points[found[-1]] - real.points[found[0]]
    chords = np.linalg.norm([ours, theirs], axis=1)
    cosine = ours @ theirs / max(float(chords.prod()), 1e-6)
    return Comparison(
        there=_mean_and_most(there),
        back=_mean_and_most(back),
        shifted=_mean_and_most(after),
        shift_mm=float(np.linalg.norm(shifted[0] - line[0])),
        angle_degrees=float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
        chord_mm=float(chords[0]),
        real_chord_mm=float(chords[1]),
        diameter_mm=float(diameters.mean()),
        real_diameter_mm=float(np.median(real.diameters_mm[found])),
    )


def _nearest(among: Float64, points: Float64) -> tuple[Float64, npt.NDArray[np.int64]]:
    """Return the distance of points to the nearest among others, and which one that is."""
    distance, index = cKDTree(among).query(points)
    return np.asarray(distance, float), np.asarray(index, np.int64)


def _mean_and_most(distances: Float64) -> tuple[float, float]:
    return float(distances.mean()), float(np.quantile(distances, 0.95))


def told(matrix: Float64, compared: dict[str, Comparison]) -> str:
    """Return the report."""
    scale = np.linalg.norm(matrix[:3, 0])
    lines = [
        "# The course of the simulator's arteries",
        "",
        f"Similarity of scale {scale:.3f}; mean (95 %) distances in mm.",
        "",
        "| vessel | table to real | real to table | table to real, shifted (shift) "
        "| angle | begin to end, table / real | diameter, table / real |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in compared.items():
        lines.append(
            f"| {name} | {row.there[0]:.1f} ({row.there[1]:.1f}) "
            f"| {row.back[0]:.1f} ({row.back[1]:.1f}) "
            f"| {row.shifted[0]:.1f} ({row.shifted[1]:.1f}), {row.shift_mm:.1f} "
            f"| {row.angle_degrees:.0f} | {row.chord_mm:.0f} / {row.real_chord_mm:.0f} "
            f"| {row.diameter_mm:.1f} / {row.real_diameter_mm:.1f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("angiogram", type=Path)
    real = read_angiogram(parser.parse_args().angiogram)
    tree = table_tree()
    matrix = align(tree, real)
    sys.stdout.write(told(matrix, compare(tree, real, matrix)))


if __name__ == "__main__":
    main()
