"""One simulated patient from one seed: all sequences, both labels, and what was drawn."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.domain.sequence import Role
from service.domain.volume import Volume
from training.simulate.anatomy import Float32, Head, draw_head
from training.simulate.clot import Clot, draw_clot
from training.simulate.companions import render_companions
from training.simulate.lesion import draw_infarct, draw_unrelated_infarct
from training.simulate.physics import smooth_field
from training.simulate.site import SITES, draw_scan
from training.simulate.susceptibility import (
    Scene,
    SusceptibilityImages,
    render_susceptibility,
    susceptibility_grid,
)
from training.simulate.vessels import Tube, draw_arteries, draw_veins

CLOT_FREE_SHARE = 0.15
# Fewer visible voxels than this, or less than this share of the lumen, and the clot counts as
# invisible: the label is then the lumen.
LEAST_VISIBLE_VOXELS = 6
LEAST_VISIBLE_SHARE = 0.3
PHASE_SCALE = 4096 / np.pi


@dataclass(frozen=True, eq=False)
class Case:
    """A simulated examination.

    Attributes
    ----------
    seed : int
    site : str
        Key of the table of sites.
    volumes : mapping of Role to Volume
        Each on a grid of its own, in one patient space. PHASE in -4096..4096 for -pi..pi.
    lumen, svs : Volume
        Boolean, on the grid of SUSC: the true clot, and what of it is visible there.
    parameters : mapping
        What was drawn, for tables of results.
    """

    seed: int
    site: str
    volumes: Mapping[Role, Volume]
    lumen: Volume
    svs: Volume
    parameters: Mapping[str, str | float | bool]

    @property
    def target(self) -> Volume:
        """Label for training: ``svs``, or ``lumen`` where the clot is not visible on SUSC."""
        visible = int(self.svs.voxels.sum())
        enough = max(LEAST_VISIBLE_VOXELS, LEAST_VISIBLE_SHARE * self.lumen.voxels.sum())
        return self.svs if visible >= enough else self.lumen


def simulate_case(seed: int, site: str, *, with_clot: bool | None = None) -> Case:
    """Simulate one patient; the same arguments give the same bits.

    Parameters
    ----------
    seed : int
    site : str
        Key of the table of sites.
    with_clot : bool, optional
        Drawn if not given: 15 % of the cases have none.
    """
    rng = np.random.default_rng([seed, sorted(SITES).index(site)])
    head = draw_head(rng)
    arteries = draw_arteries(head.warp, rng)
    drawn = rng.random() >= CLOT_FREE_SHARE
    clot = draw_clot(arteries, rng) if (drawn if with_clot is None else with_clot) else None
    infarct = _draw_infarct(head, clot, arteries, rng)
    scan = draw_scan(SITES[site], rng)
    scene = Scene(
        head=head,
        arteries=arteries,
        veins=draw_veins(head, rng),
        clot=clot,
        extra=_draw_mimics(head, rng),
        scan=scan,
        grid=susceptibility_grid(head, scan, rng),
    )
    images = render_susceptibility(scene, rng)
    volumes = {**_stored(images, rng), **render_companions(scene, infarct, rng)}
    return Case(
        seed=seed,
        site=site,
        volumes=volumes,
        lumen=Volume(images.lumen, scene.grid),
        svs=Volume(images.svs, scene.grid),
        parameters=_parameters(scene, images),
    )


def _draw_infarct(
    head: Head, clot: Clot | None, arteries: dict[str, Tube], rng: np.random.Generator
) -> Float32:
    if clot is not None:
        return draw_infarct(head, clot, arteries, rng)
    if rng.random() < 0.6:
        return draw_unrelated_infarct(head, rng)
    return np.zeros(head.geometry.shape, np.float32)


def _draw_mimics(head: Head, rng: np.random.Generator) -> list[tuple[Tube, float]]:
    """Microbleeds (32 % of patients) and calcifications: short tubes with their ppm."""
    mimics = []
    if rng.random() < 0.32:
        mimics += [
            (_blob(head, rng, rng.uniform(0.7, 2.2)), float(rng.uniform(0.3, 1.0)))
            for _ in range(rng.integers(1, 7))
        ]
    calcified = (("choroid", (22, -38, 8)), ("pineal", (0, -28, 4)), ("falx", (0, 20, 40)))
    for name, point in calcified:
        if rng.random() < 0.3:
            centre = head.warp.to_patient(np.array(point) * [rng.choice([-1, 1]), -1, 1])
            tube = _ball(name, centre + rng.normal(0, 2, 3), float(rng.uniform(0.8, 2.0)))
            mimics.append((tube, -float(rng.uniform(0.3, 1.0))))
    return mimics


def _blob(head: Head, rng: np.random.Generator, radius_mm: float) -> Tube:
    inside = np.argwhere(head.surface_mm[::4, ::4, ::4] < -4) * 4
    centre = head.geometry.to_lps(inside[int(rng.integers(len(inside)))])
    return _ball("microbleed", centre, radius_mm)


def _ball(name: str, centre: np.ndarray, radius_mm: float) -> Tube:
    offsets = np.array([[-0.1, 0, 0], [0, 0, 0], [0.1, 0, 0]])
    return Tube(name, centre + offsets, np.full(3, radius_mm))


def _stored(images: SusceptibilityImages, rng: np.random.Generator) -> dict[Role, Volume]:
    """Shade the magnitude by the coil, add a weak motion ghost, scale the phase."""
    magnitude = images.magnitude * smooth_field(images.geometry.shape, rng, strength=0.1)
    ghost = np.roll(magnitude, magnitude.shape[1] // 2, axis=1)
    volumes = {
        Role.SUSC: Volume(magnitude + np.float32(rng.uniform(0, 0.02)) * ghost, images.geometry)
    }
    if images.phase is not None:
        volumes[Role.PHASE] = Volume(images.phase * np.float32(PHASE_SCALE), images.geometry)
    return volumes


def _parameters(scene: Scene, images: SusceptibilityImages) -> dict[str, str | float | bool]:
    scan, clot = scene.scan, scene.clot
    known: dict[str, str | float | bool] = {
        "with_clot": clot is not None,
        "thickness_mm": scan.voxel_mm[0],
        "in_plane_mm": scan.voxel_mm[1],
        "handedness": scan.handedness,
        "mask_sign": scan.mask_sign,
        "signal_to_noise": scan.signal_to_noise,
    }
    if clot is None:
        return known
    main = clot.pieces[0]
    return known | {
        "occlusion": clot.site,
        "length_mm": main.tube.length_mm,
        "diameter_mm": float(2 * main.tube.radius_mm.mean()),
        "clot_ppm": float(main.susceptibility_ppm.mean()),
        "pieces": len(clot.pieces),
        "lumen_mm3": float(images.lumen.sum() * scene.grid.voxel_volume),
        "svs_mm3": float(images.svs.sum() * scene.grid.voxel_volume),
    }
