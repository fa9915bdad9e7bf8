"""How far the simulator's arteries run from those of a real MR angiogram.

``python -m benchmarks.artery_course ANGIOGRAM`` reads a time-of-flight angiogram (NIfTI, background
removed), lays the table's tree over it and prints, in Markdown, distances, angles, lengths and
diameters of each vessel.

The angiogram is of one person and in that person's own space. The tree, which is in the atlas's,
is aligned with it by iterated closest points: first by a similarity (rotation, shift, one scale: 7
numbers), then by an affine map (12 numbers). Distances are in the person's millimetres.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from training.simulate.arteries import ARTERIES, SIDES, on_side
from training.simulate.tube import Tube, make_tube

Float64 = npt.NDArray[np.float64]

# Of the angiogram's grey values (8 bit), and in mm3: what counts as vessel.
VESSEL_LEVEL = 70
SMALLEST_MM3 = 40.0
STEP_MM = 0.5
# Vessels that an angiogram of the circle of Willis shows reliably.
SHOWN = ("ICA", "M1", "M2S", "M2I", "A1", "A2", "BA", "P1", "P2")
START_PITCH = (-20.0, -10.0, 0.0, 10.0, 20.0)
ROUNDS = 60
KEPT_SHARE = 0.85
FAR_MM = 12.0


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
    box = nib.affines.apply_affine(image.affine, corners)
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
    ridge = np.argwhere(vessel & (depth == ndimage.maximum_filter(depth, 3)))
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


def align(tree: dict[str, Tube], real: Angiogram, *, affine: bool) -> Float64:
    """Return the (4, 4) matrix that takes the tree onto the angiogram."""
    shown = np.concatenate(
        [tube.centreline[::2] for name, tube in tree.items() if name.split("_")[0] in SHOWN]
    )
    best = min(
        (_closest_points(shown, real, _start(shown, real, pitch), affine) for pitch in START_PITCH),
        key=lambda result: result[0],
    )
    return best[1]


def _start(tree: Float64, real: Angiogram, pitch: float) -> Float64:
    angle = np.radians(pitch)
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = real.points.mean(axis=0) - matrix[:3, :3] @ tree.mean(axis=0)
    return matrix


def _closest_points(
    tree: Float64, real: Angiogram, matrix: Float64, affine: bool
) -> tuple[float, Float64]:
    """Refine a matrix by pairs in both directions, without the worst of them."""
    ridge = cKDTree(real.points)
    error = np.inf
    for turn in range(ROUNDS):
        moved = nib.affines.apply_affine(matrix, tree)
        inside = ((moved > real.low) & (moved < real.high)).all(axis=1)
        there, found = ridge.query(moved[inside])
        back, nearest = cKDTree(moved).query(real.points)
        sources = np.concatenate([tree[inside], tree[nearest]])
        targets = np.concatenate([real.points[found], real.points])
        distance = np.concatenate([there, back])
        kept = distance <= np.quantile(distance, KEPT_SHARE)
        error = float(distance[kept].mean())
        full = affine and turn >= ROUNDS // 2
        matrix = _fit(sources[kept], targets[kept], affine=full)
    return error, matrix


def _fit(sources: Float64, targets: Float64, *, affine: bool) -> Float64:
    """Least-squares similarity (Umeyama 1991) or affine map between pairs of points."""
    matrix = np.eye(4)
    if affine:
        padded = np.column_stack([sources, np.ones(len(sources))])
        matrix[:3] = np.linalg.lstsq(padded, targets, rcond=None)[0].T
        return matrix
    middle, goal = sources.mean(axis=0), targets.mean(axis=0)
    centred, wanted = sources - middle, targets - goal
    left, sizes, right = np.linalg.svd(wanted.T @ centred)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    scale = (sizes * flip).sum() / (centred**2).sum()
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
    angle_degrees : float
        Between the directions from begin to end of both.
    length_mm, real_length_mm : float
        Of the part inside the image; the real one along the same part.
    diameter_mm, real_diameter_mm : float
    covered : float
        Share of the vessel inside the image.
    """

    there: tuple[float, float]
    back: tuple[float, float]
    angle_degrees: float
    length_mm: float
    diameter_mm: float
    real_diameter_mm: float
    covered: float


def compare(tree: dict[str, Tube], real: Angiogram, matrix: Float64) -> dict[str, Comparison]:
    """Compare every vessel that the angiogram shows."""
    moved = {n: nib.affines.apply_affine(matrix, t.centreline) for n, t in tree.items()}
    names = np.concatenate([[name] * len(line) for name, line in moved.items()])
    apart, nearest = cKDTree(np.concatenate(list(moved.values()))).query(real.points)
    owner = np.where(apart < FAR_MM, names[nearest], "")
    return {
        name: _compare_one(tree[name], moved[name], real, owner == name)
        for name in tree
        if name.split("_")[0] in SHOWN and (owner == name).sum() >= 3
    }


def _compare_one(
    tube: Tube, line: Float64, real: Angiogram, own: npt.NDArray[np.bool_]
) -> Comparison:
    inside = ((line > real.low) & (line < real.high)).all(axis=1)
    there, found = cKDTree(real.points).query(line[inside])
    back, _ = cKDTree(line).query(real.points[own])
    seen = real.points[found]
    begin, end = line[inside][[0, -1]], seen[[0, -1]]
    ours, theirs = begin[1] - begin[0], end[1] - end[0]
    cosine = ours @ theirs / np.linalg.norm(ours) / max(float(np.linalg.norm(theirs)), 1e-6)
    return Comparison(
        there=(float(there.mean()), float(np.quantile(there, 0.95))),
        back=(float(back.mean()), float(np.quantile(back, 0.95))),
        angle_degrees=float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
        length_mm=float(np.linalg.norm(np.diff(line[inside], axis=0), axis=1).sum()),
        diameter_mm=float(2 * tube.radius_mm[inside].mean()),
        real_diameter_mm=float(np.median(real.diameters_mm[own])),
        covered=float(inside.mean()),
    )


def told(title: str, matrix: Float64, compared: dict[str, Comparison]) -> str:
    """Return one section of the report."""
    sizes = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    lines = [
        f"## {title}",
        "",
        f"Scales {', '.join(f'{size:.3f}' for size in sizes)}.",
        "",
        "| vessel | table to real, mean (95 %) mm | real to table, mean (95 %) mm | angle "
        "| length in the image mm | diameter, table / real mm | in the image |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in compared.items():
        lines.append(
            f"| {name} | {row.there[0]:.1f} ({row.there[1]:.1f}) "
            f"| {row.back[0]:.1f} ({row.back[1]:.1f}) | {row.angle_degrees:.0f} "
            f"| {row.length_mm:.0f} | {row.diameter_mm:.1f} / {row.real_diameter_mm:.1f} "
            f"| {100 * row.covered:.0f} % |"
        )
    return "\n".join([*lines, "", ""])


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("angiogram", type=Path)
    real = read_angiogram(parser.parse_args().angiogram)
    tree = table_tree()
    sys.stdout.write("# The course of the simulator's arteries\n\n")
    for title, affine in (("Similarity", False), ("Affine", True)):
        matrix = align(tree, real, affine=affine)
        sys.stdout.write(told(title, matrix, compare(tree, real, matrix)))


if __name__ == "__main__":
    main()
