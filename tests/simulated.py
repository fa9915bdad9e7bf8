"""A small case with all sequences, made of ellipsoids: what the writers of cases are given."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.volume import Volume
from tests.strategies import dicom_axes, rotation
from training.simulate.case import Case
from training.simulate.site import Composition, Scan, Site, draw_scan, load_sites

Float64 = npt.NDArray[np.float64]

DOUBLE_OBLIQUE = (0.97, 0.14, 0.08, -0.05)
# Spacing (slice, row, column) in mm and shape of every sequence: gaps, non-square, all different.
GRIDS: Mapping[Role, tuple[tuple[float, float, float], tuple[int, int, int]]] = {
    Role.SUSC: ((2.5, 1.6, 2.0), (54, 112, 80)),
    Role.PHASE: ((2.5, 1.6, 2.0), (54, 112, 80)),
    Role.DWI: ((5.5, 2.4, 2.2), (25, 76, 72)),
    Role.ADC: ((5.5, 2.4, 2.2), (25, 76, 72)),
    Role.FLAIR: ((6.0, 1.7, 1.9), (23, 106, 84)),
    Role.TOF: ((1.6, 1.5, 1.4), (50, 120, 114)),
}
# Brightness of air, scalp and skull, fluid, brain, arteries.
_SIGNAL: Mapping[Role, tuple[float, float, float, float, float]] = {
    Role.SUSC: (0.01, 0.7, 0.8, 1.0, 0.9),
    Role.DWI: (0.01, 0.15, 0.2, 1.0, 0.3),
    Role.FLAIR: (0.01, 0.9, 0.12, 1.0, 0.2),
    Role.TOF: (0.01, 0.4, 0.25, 0.5, 2.0),
}
_B0_SIGNAL = (0.01, 0.4, 3.2, 1.2, 0.4)
_ADC = (0.0, 300.0, 2900.0, 800.0, 1000.0)
_RADII = np.array([72.0, 88.0, 64.0])


@lru_cache(maxsize=8)
def simulated_case(
    composition: Composition = Composition.PHASE_MASK, *, backwards: bool = False, seed: int = 7
) -> Case:
    """Return a case of the site that composes its susceptibility-weighted images so.

    Parameters
    ----------
    composition : Composition
    backwards : bool
        Let slices run against the normal of their plane.
    seed : int
        Of the noise.
    """
    names = {Composition.ECHO_MEAN: "A", Composition.PHASE_MASK: "B", Composition.MAGNITUDE: "D"}
    site = load_sites().sites[names[composition]]
    rng = np.random.default_rng(seed)
    grids = {role: _grid(role, backwards) for role in Role}
    volumes = {role: _image(role, grids[role], rng) for role in Role}
    b0 = _painted(grids[Role.DWI], _B0_SIGNAL, rng)
    clot = _inside(grids[Role.SUSC], np.array([22.0, -10.0, -8.0]), np.array([6.0, 3.0, 3.0]))
    label = Volume(clot, grids[Role.SUSC])
    bleed = _inside(grids[Role.SUSC], np.array([-30.0, 20.0, 15.0]), np.array([3.0, 3.0, 3.0]))
    return Case(
        seed=seed,
        site=site,
        scans=_scans(site, grids, rng),
        volumes=volumes,
        b0=b0,
        lumen=label,
        svs=label,
        microbleeds=Volume(bleed, grids[Role.SUSC]),
        parameters={"with_clot": True, "site": site.name, "seed": seed},
    )


def _scans(
    site: Site, grids: Mapping[Role, Geometry], rng: np.random.Generator
) -> dict[Role, Scan]:
    """Draw scans with the voxels of the grids; sequences of slices have a gap."""
    scans = {}
    for role, grid in grids.items():
        scan = draw_scan(site.protocol(role), rng)
        gap = 0.0 if scan.protocol.volumetric else 0.5
        scans[role] = replace(
            scan, thickness_mm=grid.spacing[0] - gap, gap_mm=gap, in_plane_mm=grid.spacing[1]
        )
    return scans


def _grid(role: Role, backwards: bool) -> Geometry:
    spacing, shape = GRIDS[role]
    axes = dicom_axes(rotation(DOUBLE_OBLIQUE))
    if backwards:
        axes = axes * np.array([[-1.0], [1.0], [1.0]])
    corner = -(np.array(spacing) * (np.array(shape) - 1) / 2) @ axes
    return Geometry.from_components(origin=corner, axes=axes, spacing=spacing, shape=shape)


def _points(grid: Geometry) -> Float64:
    """LPS millimetres of all voxels, (slice, row, column, 3)."""
    return grid.to_lps(np.moveaxis(np.indices(grid.shape), 0, -1))


def _inside(grid: Geometry, centre: Float64, radii: Float64) -> npt.NDArray[np.bool_]:
    return np.asarray((((_points(grid) - centre) / radii) ** 2).sum(axis=-1) < 1)


def _tissue(grid: Geometry) -> npt.NDArray[np.int64]:
    """Label voxels: 0 air, 1 scalp and skull, 2 fluid, 3 brain, 4 arteries."""
    tissue = np.zeros(grid.shape, int)
    for label, shrink in ((1, 1.0), (2, 0.9), (3, 0.86)):
        tissue[_inside(grid, np.zeros(3), _RADII * shrink)] = label
    for side in (-1, 1):
        tissue[_inside(grid, np.array([12.0 * side, 5.0, 8.0]), np.array([9.0, 28.0, 9.0]))] = 2
        tissue[_inside(grid, np.array([22.0 * side, -10.0, -8.0]), np.array([18.0, 2.5, 2.5]))] = 4
        tissue[_inside(grid, np.array([9.0 * side, 0.0, -25.0]), np.array([2.5, 2.5, 22.0]))] = 4
    return tissue


def _painted(
    grid: Geometry, signal: tuple[float, ...], rng: np.random.Generator, noise: float = 0.03
) -> Volume:
    clean = np.array(signal)[_tissue(grid)]
    texture = 1 + 0.08 * np.sin(_points(grid) / 9).prod(axis=-1)
    noisy = clean * texture + rng.normal(0, noise * max(signal[3], 1e-6), grid.shape)
    return Volume(np.abs(noisy).astype(np.float32), grid)


def _image(role: Role, grid: Geometry, rng: np.random.Generator) -> Volume:
    if role is Role.ADC:
        return _painted(grid, _ADC, rng, noise=0.05)
    if role is not Role.PHASE:
        return _painted(grid, _SIGNAL[role], rng)
    air = _tissue(grid) == 0
    smooth = 0.6 * np.sin(_points(grid) / 15).sum(axis=-1) + rng.normal(0, 0.1, grid.shape)
    random = rng.uniform(-np.pi, np.pi, grid.shape)
    angles = np.where(air, random, np.angle(np.exp(1j * smooth)))
    return Volume(angles.astype(np.float32), grid)


def simulate_small(seed: int, site: Site) -> Case:
    """Stand in for the simulator in other processes; patient 13 cannot be simulated."""
    if seed == 13:
        raise ValueError("patient 13 is unlucky")
    case = simulated_case(seed=seed)
    few = {role: case.volumes[role] for role in (Role.SUSC, Role.DWI)}
    return replace(case, seed=seed, site=site, volumes=few)
