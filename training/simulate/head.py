"""One patient's head: an anatomy, bent by a random affine map and a smooth warp.

Patient points are LPS millimetres of the simulation frame: axial, with the head more or less
upright in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from service.domain.geometry import Geometry
from training.simulate.anatomy import Anatomy, Place
from training.simulate.grids import TISSUE_NAMES, Float32, Float64, axial_grid, resample_axial

# The warp is smooth: it is computed every fourth millimetre and interpolated.
WARP_STEP_MM = 4
# Larger waves would fold the head.
MOST_VARIETY = 1.5
MODES = 6
BELOW_SKULL_MM = 20.0
AIR_MARGIN_MM = 8.0
# Slices sampled at once, to spare memory.
SLAB = 32


@dataclass(frozen=True, eq=False)
class Warp:
    """Map of patient points to points of the anatomy: affine plus a few long sine waves.

    Attributes
    ----------
    linear : array (3, 3)
        Rotation and scaling of LPS mm.
    amplitudes, waves : array (mode, 3)
        Displacement in mm and wave vector in rad/mm of each mode.
    phases : array (mode,)
    """

    linear: Float64
    amplitudes: Float64
    waves: Float64
    phases: Float64

    def to_anatomy(self, points: npt.ArrayLike) -> Float64:
        """Turn (..., 3) patient points into points of the anatomy."""
        patient = np.asarray(points, float)
        return patient @ self.linear.T + self._displacement(patient)

    def to_patient(self, points: npt.ArrayLike) -> Float64:
        """Turn (..., 3) points of the anatomy into patient points, by fixed-point iteration."""
        anatomy = np.asarray(points, float)
        inverse = np.linalg.inv(self.linear)
        patient = anatomy @ inverse.T
        for _ in range(12):
            patient = (anatomy - self._displacement(patient)) @ inverse.T
        return patient

    def _displacement(self, points: Float64) -> Float64:
        return np.sin(points @ self.waves.T + self.phases) @ self.amplitudes


def draw_warp(rng: np.random.Generator, variety: float = 1.0) -> Warp:
    """Draw head size (5 % standard deviation), pose (about 5 degrees) and shape.

    Parameters
    ----------
    variety : float
        Factor of all deviations: 1 for what patients have, up to MOST_VARIETY for training heads
        that are to stand for more than the few anatomies there are.
    """
    pitch, roll, yaw = variety * np.radians(rng.normal(0, [5.0, 3.0, 4.0]))
    rotation = _rotation(0, pitch) @ _rotation(1, roll) @ _rotation(2, yaw)
    scale = rng.normal(1, variety * 0.04) * rng.normal(1, variety * 0.03, 3)
    directions = rng.normal(size=(MODES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    wavelengths = rng.uniform(60, 160, (MODES, 1))
    return Warp(
        linear=rotation * scale,
        amplitudes=rng.normal(0, variety * 1.0, (MODES, 3)),
        waves=2 * np.pi * directions / wavelengths,
        phases=rng.uniform(0, 2 * np.pi, MODES),
    )


def _rotation(axis: int, angle: float) -> Float64:
    first, second = (index for index in range(3) if index != axis)
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


@dataclass(frozen=True, eq=False)
class Head:
    """Tissue of one simulated patient on a 1 mm axial grid, arrays (slice, row, column).

    Attributes
    ----------
    tissues : mapping of str to float32 array
        Fraction 0..1 of each of TISSUE_NAMES; what is left of 1 is air.
    iron_ppm : float32 array
        Susceptibility that deep nuclei have beyond that of their tissue.
    surface_mm : float32 array
        Signed distance to the surface of the brain with its sulci closed, negative inside.
    geometry : Geometry
        Holds the head from 20 mm under the brain upwards, with air around it.
    place : callable
        Turns (..., 3) LPS points of the MNI atlas into patient LPS points, mm.
    anatomy : str
        Name of the anatomy.
    """

    tissues: Mapping[str, Float32]
    iron_ppm: Float32
    surface_mm: Float32
    geometry: Geometry
    place: Place
    anatomy: str


def bend(anatomy: Anatomy, warp: Warp) -> Head:
    """Bend an anatomy into a patient; the same bits for the same arguments."""
    geometry = _patient_grid(anatomy, warp)
    names = (*TISSUE_NAMES, "iron_ppm", "surface_mm")
    sources = {**anatomy.tissues, "iron_ppm": anatomy.iron_ppm, "surface_mm": anatomy.surface_mm}
    index = _anatomy_index(anatomy, warp, geometry)
    stack = torch.from_numpy(np.stack([sources[name] for name in names]))[None]
    bent = np.empty((len(names), *geometry.shape), np.float32)
    for start in range(0, geometry.shape[0], SLAB):
        slab = slice(start, start + SLAB)
        bent[:, slab] = _sample(stack, index[:, slab])
    maps = dict(zip(names, bent, strict=True))

    def place(points: npt.ArrayLike) -> Float64:
        return warp.to_patient(anatomy.from_mni(points))

    return Head(
        tissues={name: maps[name] for name in TISSUE_NAMES},
        iron_ppm=maps["iron_ppm"],
        surface_mm=maps["surface_mm"],
        geometry=geometry,
        place=place,
        anatomy=anatomy.name,
    )


def _patient_grid(anatomy: Anatomy, warp: Warp) -> Geometry:
    """Lay a grid around the bent head, cut below the brain."""
    step = WARP_STEP_MM
    air = 1 - sum(map_[::step, ::step, ::step] for map_ in anatomy.tissues.values())
    brain = anatomy.surface_mm[::step, ::step, ::step] < 0
    head, inner = (
        warp.to_patient(anatomy.geometry.to_lps(np.argwhere(mask) * step))
        for mask in (air < 0.5, brain)
    )
    bottom = inner[:, 2].min() - BELOW_SKULL_MM
    shown = head[head[:, 2] > bottom]
    low = np.floor(np.append(shown.min(axis=0)[:2] - AIR_MARGIN_MM, bottom))
    high = np.ceil(shown.max(axis=0) + AIR_MARGIN_MM)
    return axial_grid(low, (1.0, 1.0, 1.0), tuple((high - low + 1)[::-1]))


def _anatomy_index(anatomy: Anatomy, warp: Warp, geometry: Geometry) -> Float32:
    """Return the anatomy's (slice, row, column) index of every patient voxel: (3, z, y, x)."""
    counts = tuple(n // WARP_STEP_MM + 2 for n in geometry.shape)
    sparse = axial_grid(geometry.origin, (float(WARP_STEP_MM),) * 3, counts)
    points = warp.to_anatomy(sparse.to_lps(np.moveaxis(np.indices(counts), 0, -1)))
    nodes = np.moveaxis(anatomy.geometry.to_index(points), -1, 0).astype(np.float32)
    return np.stack([resample_axial(part, sparse, geometry) for part in nodes])


def _sample(stack: torch.Tensor, index: Float32) -> Float32:
    """Sample all maps at once, linearly; beyond the border they go on as they end there."""
    last = torch.tensor(stack.shape[2:]) - 1
    # grid_sample wants (x, y, z), each from -1 to 1.
    scaled = torch.from_numpy(index).movedim(0, -1) / last * 2 - 1
    sampled = torch.nn.functional.grid_sample(
        stack, scaled.flip(-1)[None], mode="bilinear", padding_mode="border", align_corners=True
    )
    return np.asarray(sampled[0].numpy())
