"""Two labels of a thrombus, its lumen and what of it an annotator sees; and one of microbleeds."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.simulate.acquisition import Grid
from training.simulate.mimics import Source
from training.simulate.painting import inside_box, paint
from training.simulate.scene import ClotMaps

Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Dark: below this share of the tissue around.
DARK_RATIO = 0.7
# Caused by the thrombus: below this share of the same patient's signal without it.
CAUSED_RATIO = 0.8
# The tissue around: a Gaussian of this width over everything that gives signal.
AROUND_MM = 5.0
# Signal: above this share of the typical one.
SIGNAL_SHARE = 0.35
MICROBLEED = "microbleed"
# Microbleeds farther outside the slab than this have no voxel in it.
NEAR_MM = 5.0


def lumen_mask(maps: ClotMaps, grid: Grid) -> Mask:
    """Return the true thrombus on the image's grid, (slice, row, column).

    Of every piece the fullest voxels that together have its volume: a thin vessel in a thick slice
    fills no voxel by half, and has a label all the same.
    """
    mask = np.zeros(grid.geometry.shape, bool)
    box = tuple(
        slice(part.start // f, part.stop // f)
        for part, f in zip(maps.box, grid.factor, strict=True)
    )
    for share in maps.shares:
        filled = block_mean(share, grid.factor)
        count = max(1, round(float(filled.sum())))
        fullest = np.argsort(-filled, axis=None, kind="stable")[:count]
        if filled.max() > 0:
            inside = np.zeros(filled.shape, bool)
            inside.reshape(-1)[fullest] = True
            mask[box] |= inside
    return mask


def microbleed_mask(sources: Iterable[Source], grid: Grid) -> Mask:
    """Return the voxels of the image's grid that microbleeds fill, (slice, row, column).

    Of every one the fullest voxels that together have its volume, as of a thrombus.
    """
    mask = np.zeros(grid.geometry.shape, bool)
    fine, factor = grid.fine, np.array(grid.factor)
    for source in sources:
        if source.kind != MICROBLEED or not inside_box(source.body, fine, NEAR_MM):
            continue
        painted = paint(source.body, fine)
        if not painted.flat.size:
            continue
        samples = np.stack(np.unravel_index(painted.flat, fine.shape), axis=1) // factor
        voxels, of_sample = np.unique(
            np.ravel_multi_index(tuple(samples.T), mask.shape), return_inverse=True
        )
        filled = np.bincount(of_sample, painted.fraction) / factor.prod()
        count = max(1, round(float(filled.sum())))
        mask.reshape(-1)[voxels[np.argsort(-filled, kind="stable")[:count]]] = True
    return mask


def block_mean(fine: Float32, factor: tuple[int, int, int]) -> Float32:
    """Average blocks of ``factor`` (slice, row, column) samples."""
    counts = [n // f for n, f in zip(fine.shape, factor, strict=True)]
    blocks = fine.reshape(counts[0], factor[0], counts[1], factor[1], counts[2], factor[2])
    return np.asarray(blocks.mean(axis=(1, 3, 5)), np.float32)


def tissue_around(image: Float32, spacing: tuple[float, float, float]) -> Float32:
    """Return the mean signal around every voxel, leaving out what gives none."""
    typical = float(np.median(image[image > 0.2 * image.max()]))
    bright = (image > SIGNAL_SHARE * typical).astype(np.float32)
    width = [AROUND_MM / 2 / mm for mm in spacing]
    weight = ndimage.gaussian_filter(bright, width)
    signal = ndimage.gaussian_filter(bright * image, width)
    return np.asarray(np.where(weight > 0.05, signal / np.maximum(weight, 1e-6), typical))


def visible_mask(
    shown: Float32,
    healthy: Float32,
    lumen: Mask,
    spacing: tuple[float, float, float],
    *,
    dark_ratio: float = DARK_RATIO,
) -> Mask:
    """Return the dark region that a thrombus causes, connected to its lumen: the label ``svs``.

    Parameters
    ----------
    shown, healthy : array (slice, row, column)
        What the site stores, without noise, with and without the thrombus.
    lumen : bool array
        The true thrombus.
    spacing : (float, float, float)
        mm along (slice, row, column).
    dark_ratio : float
        Dark is what lies below this share of the tissue around.
    """
    if not lumen.any():
        return np.zeros(lumen.shape, bool)
    around = tissue_around(healthy, spacing)
    dark = (shown < dark_ratio * around) & (shown < CAUSED_RATIO * healthy)
    near = ndimage.binary_dilation(lumen)
    labels, _ = ndimage.label(dark, structure=np.ones((3, 3, 3)))
    touching = np.unique(labels[near & dark])
    connected = np.isin(labels, touching[touching > 0])
    # Annotators draw filled outlines.
    closed = ndimage.binary_closing(connected, np.ones((1, 3, 3), bool))
    return np.asarray(closed | connected, bool)


@dataclass(frozen=True)
class Jitter:
    """How one annotator differs from another.

    Attributes
    ----------
    grow : int
        1 draws one voxel wider in plane, -1 one narrower, 0 neither.
    first, last : int
        Slices added (1) or left out (-1) at the lower and upper end.
    """

    grow: int
    first: int
    last: int

    def apply(self, mask: Mask) -> Mask:
        """Return the label as this annotator would draw it; never empty where it was not."""
        drawn = _grown(mask, self.grow)
        for step, end in ((1, self.first), (-1, self.last)):
            drawn = _end_moved(drawn, step, end)
        return drawn if drawn.any() else mask


def draw_jitter(rng: np.random.Generator) -> Jitter:
    """Draw an annotator: one voxel wider or narrower, one slice more or less at each end."""
    grow, first, last = (int(value) for value in rng.integers(-1, 2, 3))
    return Jitter(grow, first, last)


def _grown(mask: Mask, grow: int) -> Mask:
    cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], bool)
    if grow > 0:
        return np.asarray(ndimage.binary_dilation(mask, cross))
    if grow < 0:
        thinner = np.asarray(ndimage.binary_erosion(mask, cross))
        # Slices in which nothing would be left stay as they were.
        lost = ~thinner.any(axis=(1, 2), keepdims=True)
        return np.asarray(np.where(lost, mask, thinner))
    return mask


def _end_moved(mask: Mask, step: int, end: int) -> Mask:
    """Repeat or leave out the outermost slice at one end; ``step`` leads into the label."""
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    if end == 0 or len(slices) < 2:
        return mask
    outermost = slices[0] if step > 0 else slices[-1]
    moved = mask.copy()
    if end < 0:
        moved[outermost] = False
    elif 0 <= outermost - step < len(mask):
        moved[outermost - step] = mask[outermost]
    return moved
