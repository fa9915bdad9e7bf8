"""Infarcts: the tissue whose nearest artery lies behind an occlusion, as far as it has died."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from service.domain.geometry import Geometry
from training.simulate.clot import Arteries, Clot
from training.simulate.grids import axial_grid, resample_axial
from training.simulate.head import Head

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# Territories are smooth: they are found on every third millimetre.
COARSE_MM = 3.0
# Carotid, vertebral and communicating arteries feed the brain only through their branches.
CONDUITS = ("ICA", "VA", "PCom", "ACom")
# Apparent diffusion coefficient relative to normal tissue, and how much of the lesion is low,
# pseudo-normal and high (Nagesh 1998).
ADC_RATIO = (0.55, 0.85)
PSEUDO_NORMAL_SHARE = 0.20
HIGH_SHARE = 0.08
PSEUDO_NORMAL_RATIO = 0.98
HIGH_RATIO = 1.15
UNRELATED_SHARE = 0.6


@dataclass(frozen=True, eq=False)
class Infarct:
    """Tissue with restricted diffusion.

    Attributes
    ----------
    fraction : float32 array (slice, row, column)
        Share of each voxel of the head's grid that is infarcted.
    adc_ratio : float32 array
        Apparent diffusion coefficient relative to normal tissue, patchy.
    related : bool
        Whether an occluded artery explains it.
    core_ratio : float
        Ratio of the low part.
    onset_hours : float
        Age: FLAIR stays normal for 4.5 hours.
    """

    fraction: Float32
    adc_ratio: Float32
    related: bool
    core_ratio: float
    onset_hours: float


def draw_infarct(
    head: Head, clot: Clot | None, arteries: Arteries, rng: np.random.Generator
) -> Infarct:
    """Draw the infarct downstream of a clot, or now and then a small one that no clot explains."""
    grid, tissue = _coarse(head)
    noise = _smooth_noise(grid.shape, 2.0, rng)
    if clot is not None:
        share = float(rng.beta(1.1, 3.5))
        fraction = _downstream(grid, tissue, (clot, arteries), noise, share)
    else:
        fraction = _unrelated(grid, tissue, noise, rng)
    core = float(rng.uniform(*ADC_RATIO))
    ratio = _patchy(_smooth_noise(grid.shape, 1.2, rng), core)
    spread = resample_axial(fraction, grid, head.geometry)
    return Infarct(
        fraction=spread * np.clip(head.tissues["grey"] + head.tissues["white"], 0, 1),
        adc_ratio=resample_axial(ratio, grid, head.geometry),
        related=clot is not None,
        core_ratio=core,
        onset_hours=float(rng.uniform(0.8, 8)),
    )


def _coarse(head: Head) -> tuple[Geometry, Float32]:
    """Every third millimetre of the head, and the share of brain there."""
    counts = tuple(int(n // COARSE_MM) + 2 for n in head.geometry.shape)
    grid = axial_grid(head.geometry.origin, (COARSE_MM,) * 3, counts)
    brain = head.tissues["grey"] + head.tissues["white"]
    return grid, resample_axial(brain, head.geometry, grid)


def _smooth_noise(shape: tuple[int, int, int], width: float, rng: np.random.Generator) -> Float32:
    """Return Gaussian noise of unit deviation, smooth over ``width`` samples."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), width)
    return np.asarray(noise / noise.std(), np.float32)


def territory(grid: Geometry, clot: Clot, arteries: Arteries) -> npt.NDArray[np.bool_]:
    """Return the samples of a grid whose nearest artery has no flow, (slice, row, column)."""
    feeding = [tube for tube in arteries.values() if not tube.name.startswith(CONDUITS)]
    points = np.concatenate([tube.centreline[::8] for tube in feeding])
    starved = np.concatenate(
        [
            np.arange(0, len(tube.centreline), 8) >= clot.without_flow.get(tube.name, np.inf)
            for tube in feeding
        ]
    )
    places = grid.to_lps(np.moveaxis(np.indices(grid.shape), 0, -1))
    _, nearest = cKDTree(points).query(places.reshape(-1, 3))
    return np.asarray(starved[nearest].reshape(grid.shape))


def _downstream(
    grid: Geometry,
    tissue: Float32,
    occlusion: tuple[Clot, Arteries],
    noise: Float32,
    share: float,
) -> Float32:
    """Infarct a share of the territory: what lies deep in it and far from other arteries first."""
    inside = territory(grid, *occlusion) & (tissue > 0.3)
    if not inside.any():
        return np.zeros(grid.shape, np.float32)
    depth = ndimage.distance_transform_edt(inside).astype(np.float32)
    score = depth / max(float(depth.max()), 1.0) + 0.35 * noise
    limit = float(np.quantile(score[inside], 1 - share))
    # Rising over about one sample around the border.
    return np.where(inside, np.clip((score - limit) / 0.12 + 0.5, 0, 1), 0).astype(np.float32)


def _unrelated(
    grid: Geometry, tissue: Float32, noise: Float32, rng: np.random.Generator
) -> Float32:
    """Infarct up to three small places of the brain, such as lacunes; in 40 % none."""
    fraction = np.zeros(grid.shape, np.float32)
    if rng.random() >= UNRELATED_SHARE:
        return fraction
    candidates = np.argwhere(tissue > 0.8)
    for centre in candidates[rng.integers(0, len(candidates), int(rng.integers(1, 4)))]:
        radius = rng.uniform(1.2, 3.5)
        apart = np.indices(grid.shape) - centre[:, None, None, None]
        depth = radius - np.sqrt((apart**2).sum(axis=0)) + 0.5 * noise
        fraction = np.maximum(fraction, np.clip(depth + 0.5, 0, 1))
    return np.asarray(fraction, np.float32)


def _patchy(noise: Float32, core: float) -> Float32:
    """Ratio of the diffusion coefficient: mostly low, in part pseudo-normal, in part high."""
    # Quantiles of unit Gaussian noise.
    high = noise > np.quantile(noise, 1 - HIGH_SHARE)
    normal = noise > np.quantile(noise, 1 - HIGH_SHARE - PSEUDO_NORMAL_SHARE)
    return np.where(high, HIGH_RATIO, np.where(normal, PSEUDO_NORMAL_RATIO, core)).astype(
        np.float32
    )
