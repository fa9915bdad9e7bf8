"""Tubes and balls as voxels: which share of each voxel of a grid they fill."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.domain.geometry import Geometry
from training.simulate.tube import STEP_MM, Tube

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Painted:
    """Voxels of a grid touched by a tube.

    Attributes
    ----------
    flat : int64 array (n,)
        Flat indices into the grid, each once, rising.
    fraction : float32 array (n,)
        Share of the voxel inside the tube, above 0 and up to 1.
    """

    flat: Int64
    fraction: Float32

    def blend(self, layer: Float32, value: float | Float32) -> None:
        """Mix a value into an array of the grid, in the share that the tube fills."""
        flat = layer.reshape(-1)
        flat[self.flat] += self.fraction * (np.float32(value) - flat[self.flat])


def paint(tube: Tube, grid: Geometry) -> Painted:
    """Find the voxels of an axial ``grid`` inside a tube.

    The tube is a row of balls. The share of a voxel falls from 1 to 0 over one voxel edge across
    the wall; where a voxel is larger than the lumen it is the lumen's share of the voxel's
    cross-section.
    """
    spacing = np.array(grid.spacing)
    soft = float(np.sqrt(np.mean(spacing**2)))
    # Balls half a radius apart bulge by 3 % of it; in thin vessels a voxel hides more than that.
    apart = max(soft, float(tube.radius_mm.min()) / 2)
    stations = np.arange(0, len(tube.centreline), max(1, int(apart / STEP_MM)))
    index = grid.to_index(tube.centreline[stations])
    reach = np.ceil((tube.radius_mm.max() + soft) / spacing).astype(int)
    low = np.rint(index.min(axis=0)).astype(int) - reach
    box = np.zeros(np.rint(index.max(axis=0)).astype(int) + reach + 1 - low, np.float32)
    for ball_index, radius in zip(index - low, tube.radius_mm[stations], strict=True):
        _add_ball(box, (ball_index, float(radius)), spacing, soft)
    return _placed(box, low, grid)


def _add_ball(
    box: Float32, centre_and_radius: tuple[Float64, float], spacing: Float64, soft: float
) -> None:
    """Raise the shares of a box to those of a ball, in place."""
    centre, radius = centre_and_radius
    reach = (radius + soft) / spacing
    first = np.maximum(np.ceil(centre - reach), 0).astype(int)
    last = np.floor(centre + reach).astype(int) + 1
    z, y, x = (
        ((np.arange(a, b) - c) * mm).astype(np.float32) ** 2
        for a, b, c, mm in zip(first, last, centre, spacing, strict=True)
    )
    distance = np.sqrt(z[:, None, None] + y[None, :, None] + x)
    part = box[first[0] : last[0], first[1] : last[1], first[2] : last[2]]
    np.maximum(part, _share(radius, distance, soft), out=part)


def _placed(box: Float32, low: Int64, grid: Geometry) -> Painted:
    """Return the filled voxels of a box that lie inside the grid."""
    start = np.maximum(low, 0)
    stop = np.minimum(low + box.shape, grid.shape)
    if (stop <= start).any():
        return Painted(np.zeros(0, np.int64), np.zeros(0, np.float32))
    part = tuple(slice(a - o, b - o) for a, b, o in zip(start, stop, low, strict=True))
    inside = np.nonzero(box[part] > 0)
    fraction = box[part][inside]
    places = tuple(axis + first for axis, first in zip(inside, start, strict=True))
    return Painted(np.ravel_multi_index(places, grid.shape), fraction)


def _share(radius: float, distance: Float32, soft: float) -> Float32:
    """Share of a voxel of edge ``soft`` filled by a cylinder whose axis passes at a distance."""
    across = np.clip((np.float32(radius) - distance) / np.float32(soft) + np.float32(0.5), 0, 1)
    # A thin vessel cannot fill more of a large voxel than its own cross-section.
    most = min(1.0, np.pi * (radius / soft) ** 2)
    return np.minimum(across, np.float32(most))


def surroundings(painted: Painted, grid: Geometry, margin_mm: float) -> tuple[slice, slice, slice]:
    """Return the box of a grid within a margin of what was painted; of nothing, one voxel."""
    flat = painted.flat if painted.flat.size else np.zeros(1, np.int64)
    index = np.stack(np.unravel_index(flat, grid.shape), axis=1)
    margin = np.ceil(margin_mm / np.array(grid.spacing)).astype(int)
    low = np.maximum(index.min(axis=0) - margin, 0)
    high = np.minimum(index.max(axis=0) + margin + 1, grid.shape)
    first, second, third = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return first, second, third


def ball(name: str, centre: Float64, radius_mm: float) -> Tube:
    """Return a ball as a tube of next to no length: it is painted the same way."""
    offsets = np.array([[-0.01, 0, 0], [0, 0, 0], [0.01, 0, 0]])
    return Tube(name, centre + offsets, np.full(3, radius_mm))


def inside_box(tube: Tube, grid: Geometry, margin_mm: float) -> bool:
    """Whether any part of a tube lies within a margin of the grid's box."""
    index = grid.to_index(tube.centreline)
    slack = margin_mm / np.array(grid.spacing)
    near = (index >= -slack) & (index <= np.array(grid.shape) - 1 + slack)
    return bool(near.all(axis=1).any())
