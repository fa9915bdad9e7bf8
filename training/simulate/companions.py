"""The other sequences of the examination: DWI, ADC, FLAIR and TOF, each on a grid of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.volume import Volume
from training.simulate.anatomy import Float32, Float64, axial_grid, resample_axial
from training.simulate.clot import PROXIMAL_SITES
from training.simulate.physics import block_mean, rician, smooth_field
from training.simulate.site import TISSUES
from training.simulate.susceptibility import Scene, fine_grid, paint_clot, split_flow
from training.simulate.vessels import Tube, paint

# Relative signal of FLAIR and TOF by tissue, for usual inversion and flip angles.
FLAIR_SIGNAL = {"grey": 1.0, "white": 0.78, "fluid": 0.10, "bone": 0.05, "scalp": 0.9}
TOF_SIGNAL = {"grey": 0.36, "white": 0.40, "fluid": 0.22, "bone": 0.03, "scalp": 0.45}
DWI_ECHO_MS = 75.0
# What fat saturation of echo-planar imaging leaves of the scalp.
FAT_SATURATION = 0.2
MOTION_MM = 0.6
# Share of patients whose starved vessels shine on FLAIR, and whose TOF shows the stop.
HYPERINTENSE_VESSELS = {True: 0.85, False: 0.17}
TOF_SHOWS_STOP = {True: 0.96, False: 0.39}


@dataclass(frozen=True)
class Protocol:
    """Voxel (slice, row, column in mm), fine samples per voxel, and coverage in mm."""

    voxel_mm: tuple[float, float, float]
    factor: tuple[int, int, int]
    coverage_mm: tuple[float, float] | None = None


def render_companions(
    scene: Scene, infarct: Float32, rng: np.random.Generator
) -> dict[Role, Volume]:
    """Render DWI, ADC, FLAIR and TOF of one scene, each a little moved.

    Parameters
    ----------
    infarct : array (slice, row, column)
        Fraction of restricted tissue on the head's grid.
    """
    diffusion = render_diffusion(scene, infarct, rng)
    return {
        **diffusion,
        Role.FLAIR: _render_flair(scene, infarct, rng),
        Role.TOF: _render_tof(scene, rng),
    }


def _grid(scene: Scene, protocol: Protocol) -> Geometry:
    """Cover the slab of the susceptibility-weighted sequence, or the part a protocol names."""
    reference = scene.grid
    extent = np.array(reference.shape) * reference.spacing
    start = reference.origin - np.array(reference.spacing[::-1]) / 2
    if protocol.coverage_mm is not None:
        start = start + np.array([0, 0, protocol.coverage_mm[0]])
        extent[0] = min(protocol.coverage_mm[1], extent[0] - protocol.coverage_mm[0])
    counts = np.maximum(1, np.floor(extent / protocol.voxel_mm)).astype(int)
    origin = start + np.array(protocol.voxel_mm[::-1]) / 2
    return axial_grid(origin, protocol.voxel_mm, tuple(counts))


def _acquire(
    scene: Scene, mixture: Float32, protocol: Protocol, shift: Float64
) -> tuple[Float32, Geometry, Geometry]:
    """Sample a signal map of the head on the fine grid of a protocol; also both grids."""
    grid = _grid(scene, protocol)
    fine = fine_grid(grid, protocol.factor)
    return resample_axial(mixture, scene.head.geometry, fine, shift), fine, grid


def _mix(scene: Scene, weights: Mapping[str, float]) -> Float32:
    total = np.zeros(scene.head.geometry.shape, np.float32)
    for name, weight in weights.items():
        total += np.float32(weight) * getattr(scene.head, name)
    return total


def _draw_shift(rng: np.random.Generator) -> Float64:
    return rng.normal(0, MOTION_MM, 3)


def _finish(
    fine: Float32, grid: Geometry, factor: tuple[int, int, int], rng: np.random.Generator
) -> Volume:
    """Average to the voxel, shade by the coil, add noise."""
    image = np.asarray(block_mean(fine, factor), np.float32)
    image *= smooth_field(grid.shape, rng, strength=0.12)
    deviation = float(np.percentile(image, 90)) / rng.uniform(18, 50)
    return Volume(rician(image, deviation, rng), grid)


def render_diffusion(
    scene: Scene, infarct: Float32, rng: np.random.Generator
) -> dict[Role, Volume]:
    """Render the trace image at the site's b-value and the apparent diffusion coefficient.

    Returns
    -------
    dict
        DWI in arbitrary units, ADC in 1e-6 mm2/s, on one grid.
    """
    protocol = Protocol((float(rng.uniform(4, 5.5)), 1.8, 1.8), (4, 2, 2))
    b = scene.scan.site.b_value * 1e-3
    ratio = np.float32(rng.uniform(0.55, 0.8))
    weights = {k: t.density * np.exp(-DWI_ECHO_MS / t.t2_ms) for k, t in TISSUES.items()}
    without = _mix(scene, weights | {"scalp": weights["scalp"] * FAT_SATURATION})
    diffusivity = _mix(scene, {k: t.diffusivity for k, t in TISSUES.items()})
    diffusivity *= 1 - infarct * (1 - ratio)
    shift = _draw_shift(rng)
    spin_echo, fine, grid = _acquire(scene, without, protocol, shift)
    weighted, _, _ = _acquire(scene, without * np.exp(-b * diffusivity), protocol, shift)
    # The clot's own field takes most of its signal on echo-planar images.
    share, _ = paint_clot(scene.clot, fine)
    kept = 1 - 0.8 * share
    shade = smooth_field(grid.shape, rng, strength=0.1)
    images = [block_mean(part * kept, protocol.factor) for part in (spin_echo, weighted)]
    deviation = float(np.percentile(images[1], 90)) / rng.uniform(12, 30)
    noisy = [rician(np.asarray(image * shade, np.float32), deviation, rng) for image in images]
    return {Role.DWI: Volume(noisy[1], grid), Role.ADC: Volume(_adc(noisy, b, deviation), grid)}


def _adc(images: list[Float32], b: float, deviation: float) -> Float32:
    """Apparent diffusion coefficient in 1e-6 mm2/s, 0 where b0 is noise; b in ms/um2."""
    spin_echo, weighted = images
    quotient = np.maximum(weighted, 1e-6) / np.maximum(spin_echo, 1e-6)
    adc = -np.log(quotient) / b * 1000
    return np.where(spin_echo > 4 * deviation, np.clip(adc, 0, 4000), 0).astype(np.float32)


def _proximal(scene: Scene) -> bool:
    return scene.clot is not None and scene.clot.site in PROXIMAL_SITES


def _blend(tube: Tube | None, grid: Geometry, image: Float32, value: float) -> None:
    if tube is not None:
        painted = paint(tube, grid)
        flat = image.reshape(-1)
        flat[painted.flat] += painted.fraction * (np.float32(value) - flat[painted.flat])


def _render_flair(scene: Scene, infarct: Float32, rng: np.random.Generator) -> Volume:
    """Flow voids in open arteries, bright slow flow behind the clot, faint infarct."""
    protocol = Protocol((float(rng.uniform(4, 5.5)), 0.9, 0.9), (4, 1, 1))
    mixture = _mix(scene, FLAIR_SIGNAL) * (1 + np.float32(rng.uniform(0, 0.25)) * infarct)
    image, fine, grid = _acquire(scene, mixture, protocol, _draw_shift(rng))
    shining = rng.random() < HYPERINTENSE_VESSELS[_proximal(scene)]
    slow = float(rng.uniform(1.2, 1.8)) if shining else 0.3
    for tube in scene.arteries.values():
        flowing, starved = split_flow(tube, scene.clot)
        _blend(flowing, fine, image, 0.1)
        _blend(starved, fine, image, slow)
    share, _ = paint_clot(scene.clot, fine)
    image += share * (np.float32(rng.uniform(0.5, 1.3)) - image)
    return _finish(image, grid, protocol.factor, rng)


def _render_tof(scene: Scene, rng: np.random.Generator) -> Volume:
    """Bright inflow in open arteries, over the circle of Willis."""
    protocol = Protocol((1.0, 0.8, 0.8), (1, 1, 1), (float(rng.uniform(0, 14)), 84.0))
    image, fine, grid = _acquire(scene, _mix(scene, TOF_SIGNAL), protocol, _draw_shift(rng))
    stop_shown = rng.random() < TOF_SHOWS_STOP[_proximal(scene)]
    behind = float(rng.uniform(0.3, 0.5)) if stop_shown else 0.9
    for tube in scene.arteries.values():
        flowing, starved = split_flow(tube, scene.clot)
        _blend(flowing, fine, image, 1.1 if tube.radius_mm.mean() > 0.9 else 0.8)
        _blend(starved, fine, image, behind)
    share, _ = paint_clot(scene.clot, fine)
    image += share * (np.float32(0.36) - image)
    return _finish(image, grid, protocol.factor, rng)
