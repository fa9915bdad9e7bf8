"""What the voxels of a volume say about its sequence, where they say anything.

A trait is absent where the image gives no ground for it: a false one is worse than none.
The limits were set between what was measured on real volumes (DICOM series of people and phantoms
from five vendors, stroke NIfTI images, and series whose pixels were replaced by noise) and on
simulated ones (seven heads of the four sites of `training.simulate`). There was no real TOF, FLAIR
or SWI among them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from service.domain.volume import Volume
from service.stages.volume_traits import Trait

FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]
Window = tuple[slice, slice, slice]

# Fewer rows or columns are an icon, not an image.
MIN_MATRIX = 32
# No image has a wider range; beyond it float32 overflows.
MOST_RANGE = 1e30
# Slices of the middle half of a volume that stand for all.
SAMPLED_SLICES = 9

# Noise volumes have at most 0.01, images at least 0.33 (phase with much air around).
LEAST_STRUCTURE = 0.2

# Stored brain medians under each unit. ADC maps: 645 (b = 2500) to 884, and 1.02 (old brain). The
# lower limit keeps exponential ADC out, whose brain median is exp(-0.75) = 0.47 at b = 1000.
ADC_UNITS = {"1e-6": 1e3, "1e-5": 1e2, "1e-4": 1e1, "1e-3": 1.0}
ADC_RANGE = (0.55, 1.3)
# Median step between neighbours over the median value: ADC maps 0.07 to 0.14, noise 0.57.
ADC_ROUGHNESS = 0.4

# All shares of the range of values of the volume, down to MID_RANGE.
# Corners, 5th to 95th percentile: phase 0.6 to 0.9, magnitude at most 0.13.
PHASE_CORNER_SPREAD = 0.5
# Medians of corners of phase: 0.40 to 0.50; of the middle of filtered phase and of phase
# differences: 0.50 to 0.53.
PHASE_MIDDLE_TOLERANCE = 0.12
# Quartiles of the middle, around the circle: filtered phase and differences at most 0.03 apart, raw
# phase of a phantom 0.04 to 0.11. MP2RAGE images of heads, with the same corners, are wider.
PHASE_SPREAD = 0.15
# Where phase wraps, neighbours differ by nearly all of the range and seldom by half of it: 0.4 and
# 1.3 % of the neighbours in wrapped 7 T phase, none in magnitude images.
WRAP_STEP = 0.75
HALF_STEPS = (0.35, 0.65)
LEAST_WRAPS = 0.002
# Magnitude: 95th percentile of the corners at most 0.13, mostly below 0.06.
DARK_CORNER = 0.15
# A masked phase without a sign is as dark in the corners, but narrow about the mid-range inside.
MID_RANGE = (0.05, 0.10)

# Positive quantities may have small negative values, as a share of the highest: 0.06 in an
# interpolated ADC map; differences and field maps 1.
MOST_NEGATIVE = 0.1

# Head against background, as a share of the 99th percentile. Noise is below, tissue of ADC maps
# (a fifth of their CSF) above.
HEAD_SHARE = 0.15
# Largest axial cross-section of a head: 148 to 305 cm2, of skull-stripped templates too.
LEAST_HEAD_MM2 = 9_000.0
# Voxels for measurements of the head, about, in mm.
HEAD_VOXEL = 2.0
# The lateral ventricles lie this far (mm) below where the head has half its largest cross-section,
# this far in front of, behind and beside its middle. There is neither bone nor air.
VENTRICLES_BELOW = (28.0, 58.0)
VENTRICLES_HALF_WIDTHS = (40.0, 30.0)
LEAST_VENTRICLE_SLICES = 3
LEAST_TISSUE = 0.9
# Against the median of that box. In either half of the box, of T2 and b0 10 to 36 % are bright and
# at most 0.8 % dark, of FLAIR and T1 4 to 9 % dark and at most 0.1 % bright; an infarct is bright
# in one half. Diffusion, FA and BOLD have both, so that they get no trait.
BRIGHT_FLUID, DARK_FLUID = 1.5, 0.45
LEAST_BRIGHT, LEAST_DARK = 0.04, 0.03
MOST_OPPOSITE_OF_BRIGHT, MOST_OPPOSITE_OF_DARK = 0.015, 0.02
# The 2nd percentile: FLAIR 0.19 to 0.26, T1 0.33, gradient echoes mostly 0.4 and more.
DARKEST_FLUID = 0.35

# Voxels (mm): coarser ones do not resolve vessels, of much finer ones some are skipped.
VESSEL_LARGEST_VOXEL, VESSEL_VOXEL = 1.6, 0.8
# Half widths (mm) of the middle of the head, without scalp and eyes.
VESSEL_HALF_WIDTHS = (55.0, 45.0)
# Simulated TOF has 0.27 to 0.55 % above this multiple of tissue; T1 with contrast medium and SWI
# less than 0.01 %, T2 19 %.
BRIGHT_VESSEL = 1.8
VESSEL_PERCENT = (0.1, 1.5)
# Quartiles of tissue apart over the median: TOF 0.12 to 0.20, T2 0.71.
VESSEL_TISSUE_SPREAD = 0.3
# Diagonal and height (mm) of the longest piece: TOF 81 to 134 and 33 to 84; and its volume over its
# diagonal (mm2): TOF 7 to 20, more where arteries are joined.
LEAST_VESSEL_LENGTH, LEAST_VESSEL_HEIGHT = 40.0, 20.0
MOST_VESSEL_SECTION = 100.0


@dataclass(frozen=True, eq=False)
class _Sample:
    """Some slices of a volume, and the range of the values of all; high is above low."""

    slices: FloatArray
    low: float
    high: float

    @property
    def range(self) -> float:
        return self.high - self.low

    def shares(self, values: FloatArray) -> FloatArray:
        """Return values as shares of the range: 0 is the lowest, 1 the highest."""
        return (values - np.float32(self.low)) / np.float32(self.range)


def pixel_traits(volume: Volume) -> dict[str, Trait]:
    """Measure the traits of the voxels of one volume.

    Parameters
    ----------
    volume : Volume
        Values after rescale.

    Returns
    -------
    dict
        Any of these; the others only beside enough PixelStructure:

        - PixelStructure: how much neighbours in a slice are alike, 0 (noise) to 1.
        - PixelPhaseLike: YES for values like angles, NO for a magnitude.
        - PixelAdcUnit: the unit (mm2/s) under which the brain median is that of an ADC map, NONE
          if there is none. It does not say that the image is an ADC map.
        - PixelFluid: DARK or BRIGHT, the ventricles against the brain around them.
        - PixelVessels: BRIGHT, long bright vessels in flat tissue.
    """
    sample = _sample(volume)
    if sample is None:
        return {}
    structure = _structure(sample)
    found: dict[str, Trait | None] = {"PixelStructure": structure}
    if structure >= LEAST_STRUCTURE:
        found["PixelPhaseLike"] = _phase_like(sample)
        if found["PixelPhaseLike"] != "YES" and sample.low >= -MOST_NEGATIVE * sample.high:
            found["PixelAdcUnit"] = _adc_unit(sample)
            found["PixelFluid"] = _fluid(volume)
            found["PixelVessels"] = _vessels(volume)
    return {name: value for name, value in found.items() if value is not None}


def echo_decay(first: Volume, last: Volume) -> dict[str, Trait]:
    """Measure how much signal is left from the first echo of a series to the last.

    Parameters
    ----------
    first, last : Volume
        Magnitudes of the shortest and of the longest echo time.

    Returns
    -------
    dict
        PixelEchoDecay: median of last over first in what is bright in the first. Empty if the
        grids differ or one is no magnitude image.
    """
    early, late = _sample(first), _sample(last)
    if early is None or late is None or not first.geometry.same_grid(last.geometry):
        return {}
    if not (_is_magnitude(early) and _is_magnitude(late)):
        return {}
    head = early.slices > 2 * _head_limit(early.slices)
    return {"PixelEchoDecay": float(np.median(late.slices[head] / early.slices[head]))}


def _is_magnitude(sample: _Sample) -> bool:
    positive = sample.low >= 0 and _structure(sample) >= LEAST_STRUCTURE
    return positive and _phase_like(sample) != "YES"


def _sample(volume: Volume) -> _Sample | None:
    """Return slices of the middle, None if the volume is no image."""
    voxels = volume.voxels
    if min(voxels.shape[1:]) < MIN_MATRIX or not np.isfinite(voxels).all():
        return None
    low, high = float(voxels.min()), float(voxels.max())
    slices = _middle_slices(voxels).astype(np.float32)
    is_image = 0 < high - low < MOST_RANGE and np.ptp(slices) > 0
    return _Sample(slices, low, high) if is_image else None


def _middle_slices(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return at most `SAMPLED_SLICES` slices, evenly spaced over the middle half."""
    quarter = len(voxels) // 4
    last = len(voxels) - 1 - quarter
    return voxels[np.unique(np.linspace(quarter, last, SAMPLED_SLICES).astype(int))]


def _structure(sample: _Sample) -> float:
    """Return the correlation of neighbours, of their values or of the sizes of these.

    In phase the air is noise and the head is still: values hardly correlate, their sizes do.
    """
    centred = sample.slices - np.median(sample.slices)
    return max(0.0, _neighbour_correlation(centred), _neighbour_correlation(np.abs(centred)))


def _neighbour_correlation(slices: FloatArray) -> float:
    """Return the mean of the correlations of neighbours in columns and in rows."""
    down = _correlation(slices[:, 1:], slices[:, :-1])
    return (down + _correlation(slices[:, :, 1:], slices[:, :, :-1])) / 2


def _correlation(one: FloatArray, other: FloatArray) -> float:
    """Return Pearson's correlation, 0 if one of the two is constant."""
    one, other = one - one.mean(dtype=np.float64), other - other.mean(dtype=np.float64)
    scale = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(np.vdot(one, other)) / scale if scale > 0 else 0.0


def _phase_like(sample: _Sample) -> str | None:
    low, median, high = np.percentile(sample.shares(_corners(sample.slices)), [5, 50, 95])
    inside = sample.shares(_centre(sample.slices))
    middle, spread = float(np.median(inside)), _circular_spread(inside)
    wrapped = _is_wrapped(sample)
    symmetric = abs(sample.low + sample.high) <= 0.05 * sample.range
    if high - low >= PHASE_CORNER_SPREAD and abs(median - 0.5) <= PHASE_MIDDLE_TOLERANCE:
        central = symmetric or abs(middle - 0.5) <= PHASE_MIDDLE_TOLERANCE
        return "YES" if wrapped or (spread <= PHASE_SPREAD and central) else None
    if wrapped:
        # Masks have as steep steps, but hardly any values between the extremes.
        between = float(((inside > 0.1) & (inside < 0.9)).mean())
        return "YES" if symmetric and between >= 0.5 else None
    mid_range = abs(middle - 0.5) <= MID_RANGE[0] and spread <= MID_RANGE[1]
    dark_around = sample.low >= -0.01 * sample.high and high <= min(DARK_CORNER, 0.5 * middle)
    return "NO" if dark_around and not mid_range else None


def _circular_spread(shares: FloatArray) -> float:
    """Return how far the quartiles are apart when the range is closed to a circle, 0 to 0.5."""
    mean = np.angle(np.exp(2j * np.pi * shares).mean()) / (2 * np.pi)
    first, third = np.percentile((shares - mean + 0.5) % 1.0, [25, 75])
    return float(third - first)


def _corners(slices: FloatArray) -> FloatArray:
    """Return the voxels of the four corners of all slices, an eighth of the sides each."""
    rows, columns = slices.shape[1] // 8, slices.shape[2] // 8
    sides = [
        slices[:, down, across].ravel()
        for down in (slice(rows), slice(-rows, None))
        for across in (slice(columns), slice(-columns, None))
    ]
    return np.concatenate(sides)


def _centre(slices: FloatArray) -> FloatArray:
    """Return the voxels of an ellipse of half the sides, about the middle of all slices."""
    down = np.linspace(-1, 1, slices.shape[1])[:, np.newaxis]
    across = np.linspace(-1, 1, slices.shape[2])
    return slices[:, down**2 + across**2 < 0.25]


def _middle_steps(slices: FloatArray) -> FloatArray:
    """Return how much neighbours in a row differ, in the middle of the slices."""
    rows, columns = slices.shape[1] // 4, slices.shape[2] // 4
    return np.abs(np.diff(slices[:, rows:-rows, columns:-columns], axis=2))


def _is_wrapped(sample: _Sample) -> bool:
    steps = _middle_steps(sample.slices) / sample.range
    wraps = float((steps > WRAP_STEP).mean())
    halves = float(((steps > HALF_STEPS[0]) & (steps < HALF_STEPS[1])).mean())
    return wraps >= LEAST_WRAPS and wraps > halves


def _adc_unit(sample: _Sample) -> str | None:
    """Return the unit; None where the middle of the slices is empty or noise."""
    values = _centre(sample.slices)
    positive = values[values > 0]
    if 2 * positive.size < values.size:
        return None
    median = float(np.median(positive))
    if float(np.median(_middle_steps(sample.slices))) > ADC_ROUGHNESS * median:
        return None
    low, high = ADC_RANGE
    fitting = (unit for unit, stored in ADC_UNITS.items() if low <= median / stored <= high)
    return next(fitting, "NONE")


def _fluid(volume: Volume) -> str | None:
    box = _ventricle_box(volume)
    if box is None:
        return None
    tissue = np.float32(np.median(box))
    middle = box.shape[2] // 2
    halves = (box[:, :, :middle], box[:, :, middle:])
    bright = [float((half > BRIGHT_FLUID * tissue).mean()) for half in halves]
    dark = [float((half < DARK_FLUID * tissue).mean()) for half in halves]
    if min(bright) >= LEAST_BRIGHT and max(dark) <= MOST_OPPOSITE_OF_BRIGHT:
        return "BRIGHT"
    is_dark = min(dark) >= LEAST_DARK and np.percentile(box, 2) <= DARKEST_FLUID * tissue
    return "DARK" if is_dark and max(bright) <= MOST_OPPOSITE_OF_DARK else None


def _ventricle_box(volume: Volume) -> FloatArray | None:
    """Return the voxels around the lateral ventricles, in the order of the body.

    None if there is no head, or its top is not in the volume: without it the height is unknown.
    """
    voxels, spacing = _upright(volume, HEAD_VOXEL)
    head = voxels > _head_limit(voxels)
    sections = head.sum(axis=(1, 2)) * spacing[1] * spacing[2]
    level = int(np.argmax(sections >= 0.5 * sections.max()))
    if level == 0 or sections.max() < LEAST_HEAD_MM2:
        return None
    top, bottom = (level + round(mm / spacing[0]) for mm in VENTRICLES_BELOW)
    if bottom - top < LEAST_VENTRICLE_SLICES or bottom > len(head):
        return None
    voxels, head = voxels[top:bottom], head[top:bottom]
    if not head.any():
        return None
    window = _window(head, spacing, VENTRICLES_HALF_WIDTHS)
    return voxels[window] if float(head[window].mean()) >= LEAST_TISSUE else None


def _vessels(volume: Volume) -> str | None:
    """Return BRIGHT if the middle of a head holds long bright vessels, else None."""
    voxels, spacing = _upright(volume, VESSEL_VOXEL)
    if max(spacing) > VESSEL_LARGEST_VOXEL:
        return None
    limit = _head_limit(voxels[::4, ::4, ::4])
    head = voxels[len(voxels) // 2 :][:1] > limit
    if head.sum() * spacing[1] * spacing[2] < LEAST_HEAD_MM2:
        return None
    middle = voxels[_window(head, spacing, VESSEL_HALF_WIDTHS)]
    tissue = middle[::4, ::4, ::4]
    tissue_share = float((tissue > limit).mean())
    if tissue_share == 0:
        return None
    first, median, third = np.percentile(tissue[tissue > limit], [25, 50, 75])
    bright = middle > np.float32(BRIGHT_VESSEL * median)
    percent = 100 * float(bright.mean()) / tissue_share
    is_flat = third - first <= VESSEL_TISSUE_SPREAD * median
    if not is_flat or not VESSEL_PERCENT[0] <= percent <= VESSEL_PERCENT[1]:
        return None
    return "BRIGHT" if _has_vessel(bright, spacing) else None


def _has_vessel(bright: Mask, spacing: Spacing) -> bool:
    """Whether the longest connected piece is long, high and thin."""
    pieces, count = ndimage.label(bright, np.ones((3, 3, 3)))
    counts = np.bincount(pieces.ravel(), minlength=count + 1)
    boxes = ndimage.find_objects(pieces)
    extents = np.array([[side.stop - side.start for side in box] for box in boxes]) * spacing
    lengths = np.linalg.norm(extents, axis=1)
    longest = int(np.argmax(lengths))
    section = counts[longest + 1] * float(np.prod(spacing)) / lengths[longest]
    return bool(
        lengths[longest] >= LEAST_VESSEL_LENGTH
        and extents[longest, 0] >= LEAST_VESSEL_HEIGHT
        and section <= MOST_VESSEL_SECTION
    )


def _upright(volume: Volume, step: float) -> tuple[FloatArray, Spacing]:
    """Return voxels (down, front-back, left-right) about ``step`` mm apart, and their spacing.

    Voxels are skipped, not averaged. Oblique axes count as the nearest of the body.
    """
    axes = np.abs(volume.geometry.axes)
    down = int(np.argmax(axes[:, 2]))
    left, back = sorted({0, 1, 2} - {down}, key=lambda axis: -axes[axis, 0])
    order = (down, back, left)
    voxels = volume.voxels.transpose(order)
    if volume.geometry.axes[down, 2] > 0:
        voxels = voxels[::-1]
    skip = [max(1, int(step / volume.geometry.spacing[axis])) for axis in order]
    spacing = [volume.geometry.spacing[axis] * n for axis, n in zip(order, skip, strict=True)]
    sampled = voxels[:: skip[0], :: skip[1], :: skip[2]].astype(np.float32)
    return sampled, (spacing[0], spacing[1], spacing[2])


def _head_limit(voxels: FloatArray) -> float:
    return max(0.0, HEAD_SHARE * float(np.percentile(voxels, 99)))


def _window(head: Mask, spacing: Spacing, half_widths: tuple[float, float]) -> Window:
    """Return the part about the middle of a head (down, front-back, left-right), in all slices.

    Spacing and half widths in mm; the head has at least one voxel.
    """
    sides = [slice(None)]
    for axis, width in zip((1, 2), half_widths, strict=True):
        profile = head.sum(axis=(0, 3 - axis))
        middle = float(np.average(np.arange(len(profile)), weights=profile))
        reach = width / spacing[axis]
        sides.append(slice(max(0, round(middle - reach)), round(middle + reach) + 1))
    return sides[0], sides[1], sides[2]
