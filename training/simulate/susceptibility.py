"""The susceptibility-weighted sequence as each site stores it: SWAN, SWI or T2*, and its phase."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from service.domain.sequence import Role
from training.simulate.acquisition import Grid
from training.simulate.examination import Examination
from training.simulate.gradient_echo import Spins, acquire, difference
from training.simulate.labels import DARK_RATIO, lumen_mask, visible_mask
from training.simulate.motion import Restlessness, draw_restlessness
from training.simulate.physics import complex_noise, high_pass_phase, phase_mask
from training.simulate.scene import (
    ClotMaps,
    clot_maps,
    draw_inflow,
    grey_signal,
    healthy_spins,
    with_clot,
)
from training.simulate.shading import Shading, draw_shading
from training.simulate.site import Composition
from training.simulate.tissue import TISSUES, at_field

Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Images = tuple[torch.Tensor, ...]

# The SWI mask is meant to darken a raised field, as in veins along the main field. Which sign of a
# maker's phase that is depends on its handedness; in some software it is the other one.
MASKS_RAISED_FIELD_SHARE = 0.7


@dataclass(frozen=True)
class SusceptibilityDraws:
    """What is drawn for the image beyond its protocol.

    Attributes
    ----------
    mask_sign : int
        Sign of the true phase that the SWI mask darkens; 1 is a raised field.
    inflow : mapping of str to float
        Signal of flowing blood in every artery, relative to grey matter.
    """

    mask_sign: int
    inflow: Mapping[str, float]
    restlessness: Restlessness
    shading: Shading


@dataclass(frozen=True, eq=False)
class SusceptibilityImages:
    """What the scanner stores, and the truth; all on the grid's image geometry.

    Attributes
    ----------
    magnitude : float32 tensor (slice, row, column)
    phase : float32 tensor
        Radians -pi..pi, with the scanner's sign.
    lumen, svs : bool array
    """

    magnitude: torch.Tensor
    phase: torch.Tensor
    lumen: Mask
    svs: Mask
    grid: Grid
    draws: SusceptibilityDraws


def render_susceptibility(exam: Examination) -> SusceptibilityImages:
    """Render magnitude, phase and both labels."""
    scan = exam.scans[Role.SUSC]
    rng = exam.stream("susceptibility")
    draws = SusceptibilityDraws(
        mask_sign=int(
            rng.choice([1, -1], p=[MASKS_RAISED_FIELD_SHARE, 1 - MASKS_RAISED_FIELD_SHARE])
        ),
        inflow=draw_inflow(exam),
        restlessness=draw_restlessness(rng),
        shading=draw_shading(rng),
    )
    grid = exam.grid(Role.SUSC)
    clean = clean_images(exam, grid, draws.mask_sign)
    noisy = _disturbed(exam, grid, clean.echoes, draws)
    middle = high_pass_phase(noisy[len(noisy) // 2])
    return SusceptibilityImages(
        magnitude=compose(scan.protocol.composition, noisy, draws.mask_sign),
        phase=scan.handedness * middle,
        lumen=clean.lumen,
        svs=clean.svs,
        grid=grid,
        draws=draws,
    )


@dataclass(frozen=True, eq=False)
class CleanImages:
    """Complex images of all echoes without noise and movement, and the labels."""

    echoes: Images
    lumen: Mask
    svs: Mask


def clean_images(
    exam: Examination, grid: Grid, mask_sign: int, *, dark_ratio: float = DARK_RATIO
) -> CleanImages:
    """Render an ideal acquisition.

    Parameters
    ----------
    mask_sign : int
        Sign of the phase that the SWI mask darkens: the label ``svs`` depends on it.
    dark_ratio : float
        What ``svs`` takes for dark, as a share of the tissue around.
    """
    spins = healthy_spins(exam, grid)
    maps = clot_maps(exam, grid)
    nothing = np.zeros(grid.geometry.shape, bool)
    if maps is None:
        return CleanImages(_echoes(exam, spins, grid), nothing, nothing)
    before = spins.part(maps.box)
    after = with_clot(exam, grid, before, maps)
    for whole, part in (
        (spins.signal, after.signal),
        (spins.decay_per_ms, after.decay_per_ms),
        (spins.field_ppm, after.field_ppm),
    ):
        whole[maps.box] = part
    shown = _echoes(exam, spins, grid)
    del spins
    seen, unseen = _shown_and_healthy(exam, grid, shown, maps, (before, after), mask_sign)
    lumen, slices = lumen_mask(maps, grid), _slices(maps, grid)
    svs = nothing.copy()
    svs[slices] = visible_mask(
        seen, unseen, lumen[slices], grid.geometry.spacing, dark_ratio=dark_ratio
    )
    return CleanImages(shown, lumen, svs)


def _slices(maps: ClotMaps, grid: Grid) -> slice:
    """Return the slices of the thrombus's box: only they differ from those without it."""
    return slice(maps.box[0].start // grid.factor[0], maps.box[0].stop // grid.factor[0])


def _shown_and_healthy(
    exam: Examination,
    grid: Grid,
    shown: Images,
    maps: ClotMaps,
    change: tuple[Spins, Spins],
    mask_sign: int,
) -> tuple[Float32, Float32]:
    """Return what the site stores of the thrombus's slices, with and without the thrombus."""
    slices = _slices(maps, grid)
    first, second, third = (
        matrix[:, part] for matrix, part in zip(grid.encoding(exam.device), maps.box, strict=True)
    )
    protocol, b0 = exam.scans[Role.SUSC].protocol, exam.site.field_strength_t
    added = difference(*change, (first[slices], second, third), protocol.echo_times_ms, b0)
    here = tuple(image[slices] for image in shown)
    without = tuple(image - part for image, part in zip(here, added, strict=True))
    seen, unseen = (
        compose(protocol.composition, images, mask_sign).cpu().numpy() for images in (here, without)
    )
    return seen, unseen


def _echoes(exam: Examination, spins: Spins, grid: Grid) -> Images:
    times = exam.scans[Role.SUSC].protocol.echo_times_ms
    return acquire(spins, grid, times, exam.site.field_strength_t)


def compose(composition: Composition | None, echoes: Images, mask_sign: int) -> torch.Tensor:
    """Combine the echoes as the site's scanner does.

    Parameters
    ----------
    echoes : complex64 tensors (slice, row, column)
    mask_sign : int
        Sign of the phase that the SWI mask darkens.
    """
    if composition is Composition.ECHO_MEAN:
        total = echoes[0].abs()
        for echo in echoes[1:]:
            total += echo.abs()
        return total / len(echoes)
    if composition is Composition.PHASE_MASK:
        return echoes[0].abs() * phase_mask(high_pass_phase(echoes[0]), mask_sign)
    return echoes[0].abs()


def _disturbed(exam: Examination, grid: Grid, images: Images, draws: SusceptibilityDraws) -> Images:
    """Add the patient's restlessness, the coil's shading and noise to the complex images."""
    scan, b0 = exam.scans[Role.SUSC], exam.site.field_strength_t
    decay = np.exp(-scan.protocol.echo_times_ms[0] / at_field(TISSUES["grey"].t2star_ms, b0))
    deviation = grey_signal(scan, b0) * float(decay) / scan.signal_to_noise
    shade = draws.shading.over(grid.geometry.shape, exam.device)
    rng = exam.stream("susceptibility noise")
    spacing = grid.geometry.spacing
    return tuple(
        draws.restlessness.blur(image, spacing) * shade
        + complex_noise(tuple(image.shape), deviation, rng).to(exam.device)
        for image in images
    )
