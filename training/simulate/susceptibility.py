"""The susceptibility-weighted sequence: from tissue, vessels and clot to magnitude, phase, labels.

Vessels are painted on a grid finer than the voxel; the field comes from a dipole convolution
there, and every voxel is the complex mean of what happens inside it. The image is rendered with
and without the clot's susceptibility: the label ``svs`` is where the clot made it darker.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from service.domain.geometry import Geometry
from training.simulate.anatomy import AIR_PPM, Float32, Head, axial_grid, resample_axial
from training.simulate.clot import Clot
from training.simulate.physics import (
    Complex64,
    SpinMaps,
    add_noise,
    block_mean,
    dephasing,
    dipole_field,
    high_pass_phase,
    phase_mask,
    spoiled_echo,
    spread,
)
from training.simulate.site import TISSUES, Composition, Scan
from training.simulate.vessels import VEIN_PPM, Tube, paint

# R2' of blood and clot per ppm at 3 T (1/s), proportional to the field.
RELAXIVITY_HZ_PER_PPM = 137.0
FINEST_THROUGH_PLANE_MM = 1.0
IN_PLANE_SUBSAMPLES = 2
# The clot's field is added inside a box this far around it.
BOX_MARGIN_MM = 20.0
# A voxel is visibly dark when the clot took this share of its signal.
DARK_RATIO = 0.70
# Below this share of typical brain signal there was nothing to lose.
SIGNAL_FLOOR = 0.25
LUMEN_FRACTION = 0.4
CLOT_GAIN = 0.85
VEIN_GAIN = 0.9
STAGNANT_GAIN = 0.95

Mask = npt.NDArray[np.bool_]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class SusceptibilityImages:
    """What the scanner stores, and the truth; all (slice, row, column) on ``geometry``.

    Attributes
    ----------
    magnitude : float32 array
    phase : float32 array or None
        High-pass filtered, rad, as stored by this maker.
    lumen, svs : bool array
        True clot, and the visible dark region connected to it.
    """

    magnitude: Float32
    phase: Float32 | None
    lumen: Mask
    svs: Mask
    geometry: Geometry


def susceptibility_grid(head: Head, scan: Scan, rng: np.random.Generator) -> Geometry:
    """Lay the slab over the head: all of it in plane, from the skull base up to the vertex."""
    inside = (head.scalp + head.bone) > 0.3
    low, high = (
        head.geometry.to_lps(edge)
        for edge in (np.argwhere(inside).min(0), np.argwhere(inside).max(0))
    )
    bottom = rng.uniform(-60, -46)
    top = min(float(high[2]), bottom + rng.uniform(126, 144))
    extent = np.array([top - bottom, high[1] - low[1] + 8, high[0] - low[0] + 8])
    counts = np.ceil(extent / scan.voxel_mm).astype(int)
    return axial_grid((low[0] - 4, low[1] - 4, bottom), scan.voxel_mm, tuple(counts))


def fine_grid(coarse: Geometry, factor: tuple[int, int, int]) -> Geometry:
    """Split each voxel into ``factor`` samples along (slice, row, column)."""
    spacing = np.array(coarse.spacing)
    step = spacing / factor
    shift = (step - spacing) / 2
    counts = tuple(n * f for n, f in zip(coarse.shape, factor, strict=True))
    return axial_grid(coarse.origin + shift[::-1], (step[0], step[1], step[2]), counts)


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything in the scanner: head, vessels, clot and protocol on two grids."""

    head: Head
    arteries: dict[str, Tube]
    veins: list[Tube]
    clot: Clot | None
    extra: list[tuple[Tube, float]]
    scan: Scan
    grid: Geometry

    @property
    def factor(self) -> tuple[int, int, int]:
        """Fine samples per voxel along (slice, row, column)."""
        through = int(np.ceil(self.scan.voxel_mm[0] / FINEST_THROUGH_PLANE_MM))
        return through, IN_PLANE_SUBSAMPLES, IN_PLANE_SUBSAMPLES

    @property
    def relaxivity_per_ms(self) -> float:
        """R2' per ppm in 1/ms at this field strength."""
        return RELAXIVITY_HZ_PER_PPM * self.scan.site.field_strength_t / 3 / 1000


def render_susceptibility(scene: Scene, rng: np.random.Generator) -> SusceptibilityImages:
    """Render magnitude and phase with noise, and the labels."""
    fine = fine_grid(scene.grid, scene.factor)
    spins, ppm = _background(scene, fine, inflow=float(rng.uniform(1.0, 1.5)))
    brightness = _tissue_signal(scene)
    healthy = _echoes(scene, spins, brightness)
    typical = float(np.median(brightness[0][brightness[0] > 0.3 * brightness[0].max()]))
    deviation = typical / scene.scan.signal_to_noise
    shown, lumen, svs = healthy, np.zeros(scene.grid.shape, bool), np.zeros(scene.grid.shape, bool)
    if scene.clot is not None:
        shown, lumen, box = _add_clot(scene, fine, spins, ppm, (brightness, healthy))
        rows = (box[0], slice(None), slice(None))
        svs[rows] = _visible(
            _compose(scene.scan, [echo[rows] for echo in shown]),
            _compose(scene.scan, [echo[rows] for echo in healthy]),
            lumen[rows],
        )
    noisy = [add_noise(echo, deviation, rng) for echo in shown]
    phase = None
    if scene.scan.site.has_phase:
        phase = scene.scan.handedness * high_pass_phase(noisy[len(noisy) // 2])
    return SusceptibilityImages(_compose(scene.scan, noisy), phase, lumen, svs, scene.grid)


def _tissue_signal(scene: Scene) -> list[Float32]:
    """Signal of the tissue mixture of every voxel, echo by echo, without vessels."""
    site, head = scene.scan.site, scene.head
    maps = {
        name: resample_axial(getattr(head, name), head.geometry, scene.grid, np.zeros(3))
        for name in TISSUES
    }
    images = []
    for echo in site.echoes_ms:
        total = np.zeros(scene.grid.shape, np.float32)
        for name, tissue in TISSUES.items():
            signal = tissue.density * spoiled_echo(
                t1_ms=tissue.t1_ms[site.field_index],
                t2star_ms=tissue.t2star_ms[site.field_index],
                echo_ms=echo,
                repetition_ms=site.repetition_ms,
                flip_deg=site.flip_deg,
            )
            total += np.float32(signal) * maps[name]
        images.append(total)
    return images


def _background(scene: Scene, fine: Geometry, inflow: float) -> tuple[SpinMaps, Float32]:
    """Everything but the clot on the fine grid, and its susceptibility without air (ppm)."""
    head = scene.head
    tissue = resample_axial(head.susceptibility_ppm, head.geometry, scene.grid, np.zeros(3))
    air = resample_axial(head.air_space, head.geometry, scene.grid, np.zeros(3))
    ppm = spread(tissue, scene.factor)
    decay = np.zeros(fine.shape, np.float32)
    gain = np.ones(fine.shape, np.float32)
    for tube in scene.veins:
        _blend(tube, fine, (ppm, VEIN_PPM), (gain, VEIN_GAIN))
        _blend(tube, fine, (decay, VEIN_PPM * scene.relaxivity_per_ms))
    for tube in scene.arteries.values():
        flowing = split_flow(tube, scene.clot)
        _blend(flowing[0], fine, (ppm, 0.0), (gain, inflow))
        _blend(flowing[1], fine, (ppm, 0.0), (gain, STAGNANT_GAIN))
    for tube, source_ppm in scene.extra:
        _blend(tube, fine, (ppm, source_ppm), (decay, abs(source_ppm) * scene.relaxivity_per_ms))
    field = dipole_field(
        ppm + np.float32(AIR_PPM) * spread(air, scene.factor),
        fine.spacing,
        scene.scan.b0_direction,
    )
    return SpinMaps(field, decay, gain), ppm


def split_flow(tube: Tube, clot: Clot | None) -> tuple[Tube | None, Tube | None]:
    """Cut a tube into its part with flow and its part without; None where there is none."""
    first = len(tube.centreline)
    if clot is not None:
        first = clot.without_flow.get(tube.name, first)
    parts = (slice(0, first), slice(first, None))
    open_part, starved = (
        Tube(tube.name, tube.centreline[part], tube.radius_mm[part]) for part in parts
    )
    return (
        open_part if len(open_part.centreline) > 1 else None,
        starved if len(starved.centreline) > 1 else None,
    )


def _blend(tube: Tube | None, grid: Geometry, *layers: tuple[Float32, float]) -> None:
    """Mix values into maps, in the share that the tube fills of each fine voxel."""
    if tube is None:
        return
    painted = paint(tube, grid)
    for layer, value in layers:
        flat = layer.reshape(-1)
        flat[painted.flat] += painted.fraction * (np.float32(value) - flat[painted.flat])


def _echoes(scene: Scene, spins: SpinMaps, brightness: list[Float32]) -> list[Complex64]:
    site = scene.scan.site
    averages = dephasing(spins, site.echoes_ms, site.field_strength_t, scene.factor)
    return [
        np.asarray(base * mean, np.complex64)
        for base, mean in zip(brightness, averages, strict=True)
    ]


def _add_clot(
    scene: Scene,
    fine: Geometry,
    spins: SpinMaps,
    ppm: Float32,
    images: tuple[list[Float32], list[Complex64]],
) -> tuple[list[Complex64], Mask, Slices]:
    """Render the box around the clot again, with it; also its lumen and the box."""
    brightness, healthy = images
    share, clot_ppm = paint_clot(scene.clot, fine)
    box = _box_around(share, scene)
    inner = tuple(
        slice(part.start * f, part.stop * f) for part, f in zip(box, scene.factor, strict=True)
    )
    share, clot_ppm = share[inner], clot_ppm[inner]
    added = share * (clot_ppm - ppm[inner])
    field = dipole_field(added, fine.spacing, scene.scan.b0_direction)
    decay = share * clot_ppm * np.float32(scene.relaxivity_per_ms)
    gain = spins.gain[inner] * (1 - share) + np.float32(CLOT_GAIN) * share
    maps = SpinMaps(spins.field_ppm[inner] + field, spins.decay_per_ms[inner] + decay, gain)
    local = _echoes(scene, maps, [base[box] for base in brightness])
    shown = [echo.copy() for echo in healthy]
    for echo, part in zip(shown, local, strict=True):
        echo[box] = part
    lumen = np.zeros(scene.grid.shape, bool)
    filled = block_mean(share, scene.factor)
    # A thin vessel fills no voxel of a thick slice: then the fullest voxels are the lumen.
    lumen[box] = filled >= max(1e-6, min(LUMEN_FRACTION, float(filled.max()) / 2))
    return shown, lumen, box


def paint_clot(clot: Clot | None, grid: Geometry) -> tuple[Float32, Float32]:
    """Fraction of each voxel filled by the clot, and the clot's susceptibility there (ppm)."""
    share = np.zeros(grid.shape, np.float32)
    ppm = np.zeros(grid.shape, np.float32)
    for piece in clot.pieces if clot is not None else ():
        painted = paint(piece.tube, grid)
        fuller = painted.fraction > share.reshape(-1)[painted.flat]
        flat = painted.flat[fuller]
        share.reshape(-1)[flat] = painted.fraction[fuller]
        ppm.reshape(-1)[flat] = piece.susceptibility_ppm[painted.station[fuller]]
    return share, ppm


def _box_around(share: Float32, scene: Scene) -> Slices:
    """Voxels of the acquisition within BOX_MARGIN_MM of the clot (all in an empty case)."""
    ranges = []
    for axis in range(3):
        touched = np.flatnonzero(share.any(axis=tuple({0, 1, 2} - {axis}))) // scene.factor[axis]
        margin = int(np.ceil(BOX_MARGIN_MM / scene.grid.spacing[axis]))
        low, high = (touched[0], touched[-1]) if touched.size else (0, 0)
        ranges.append(
            slice(max(0, int(low) - margin), min(scene.grid.shape[axis], int(high) + margin + 1))
        )
    return ranges[0], ranges[1], ranges[2]


def _compose(scan: Scan, echoes: list[Complex64]) -> Float32:
    """Combine the echoes as the site's scanner does."""
    magnitudes = [np.abs(echo) for echo in echoes]
    if scan.site.composition is Composition.ECHO_MEAN:
        return np.asarray(np.mean(magnitudes, axis=0), np.float32)
    if scan.site.composition is Composition.PHASE_MASKED:
        return magnitudes[0] * phase_mask(high_pass_phase(echoes[0]), scan.mask_sign)
    return np.asarray(magnitudes[0], np.float32)


def _visible(shown: Float32, healthy: Float32, lumen: Mask) -> Mask:
    """Where the clot darkened the image, connected to its lumen, closed by one voxel."""
    floor = SIGNAL_FLOOR * float(np.median(healthy[healthy > 0.3 * healthy.max()]))
    dark = (shown < DARK_RATIO * healthy) & (healthy > floor)
    near = ndimage.binary_dilation(lumen)
    labels, _ = ndimage.label(dark, structure=np.ones((3, 3, 3)))
    touching = np.unique(labels[near & dark])
    connected = np.isin(labels, touching[touching > 0])
    in_plane = np.ones((1, 3, 3), bool)
    return np.asarray(ndimage.binary_closing(connected, in_plane) | connected, bool)
