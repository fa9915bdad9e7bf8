"""Infarcts: the tissue behind an occlusion whose diffusion is restricted."""

import numpy as np
from scipy import ndimage

from training.simulate.anatomy import Float32, Float64, Head, axial_grid, resample_axial
from training.simulate.clot import Clot
from training.simulate.vessels import Tube

# Infarcts are smooth: they are grown on every third millimetre.
COARSE_MM = 3
NOISE_MM = 5.0


def draw_infarct(
    head: Head, clot: Clot, arteries: dict[str, Tube], rng: np.random.Generator
) -> Float32:
    """Draw the fraction of restricted tissue per voxel of the head's grid.

    A random share of the territory around the starved vessels; from nearly nothing to nearly all
    of it.
    """
    starved = _starved_points(clot, arteries)
    growth = rng.beta(1.4, 1.6)
    count = 1 + int(growth * 14)
    centres = starved[rng.integers(0, len(starved), count)]
    inward = head.warp.to_patient(np.array([0.0, 12.0, 8.0])) - centres
    centres = centres + inward * rng.uniform(0.05, 0.35, (count, 1))
    radii = rng.uniform(4, 8 + 12 * growth, count)
    return _grow(head, centres, radii, rng)


def draw_unrelated_infarct(head: Head, rng: np.random.Generator) -> Float32:
    """Draw a small infarct that no visible clot explains, such as a lacune."""
    candidates = np.argwhere(head.white[::4, ::4, ::4] > 0.8) * 4
    chosen = candidates[rng.integers(0, len(candidates), int(rng.integers(1, 4)))]
    radii = rng.uniform(3, 9, len(chosen))
    return _grow(head, head.geometry.to_lps(chosen), radii, rng)


def _starved_points(clot: Clot, arteries: dict[str, Tube]) -> Float64:
    lines = [arteries[name].centreline[first:] for name, first in clot.without_flow.items()]
    return np.concatenate(lines)


def _grow(head: Head, centres: Float64, radii: Float64, rng: np.random.Generator) -> Float32:
    """Unite noisy balls, restricted to brain tissue; (slice, row, column) of the head's grid."""
    spacing = (float(COARSE_MM),) * 3
    counts = tuple(n // COARSE_MM + 2 for n in head.geometry.shape)
    coarse = axial_grid(head.geometry.origin, spacing, counts)
    points = coarse.to_lps(np.moveaxis(np.indices(counts), 0, -1))
    noise = ndimage.gaussian_filter(rng.normal(size=counts), 2.0)
    noise *= NOISE_MM / noise.std()
    depth = np.full(counts, -1e3)
    for centre, radius in zip(centres, radii, strict=True):
        apart = points - centre
        depth = np.maximum(depth, radius - np.sqrt(np.einsum("srcd,srcd->src", apart, apart)))
    fine = resample_axial((depth + noise).astype(np.float32), coarse, head.geometry, np.zeros(3))
    return np.asarray(np.clip(fine / 2, 0, 1) * (head.grey + head.white), np.float32)
