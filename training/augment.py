"""Changes to a slab that keep it a possible examination."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from service.domain.sequence import Role
from training.dataset import Float32, Slab

Float64 = npt.NDArray[np.float64]

CONTRAST = 0.15
BRIGHTNESS = 0.1
NOISE = 0.1
# How far a slab is turned in its plane, and by which factor it is enlarged at most.
ROTATION_DEG = 15.0
ZOOM = 1.15
DEFORMED_SHARE = 0.5


def augment(slab: Slab, rng: np.random.Generator) -> Slab:
    """Turn, zoom and mirror the planes, reverse the slices, vary intensities and the phase's sign.

    The exact zeros outside the head and of missing sequences stay zero.
    """
    sequences, target = slab.sequences, slab.target
    if rng.random() < DEFORMED_SHARE:
        sequences, target = turn_and_zoom(sequences, target, rng)
    if rng.random() < 0.5:
        sequences, target = sequences[..., ::-1], target[..., ::-1]
    if rng.random() < 0.5:
        sequences, target = sequences[::-1], target[::-1]
    roles = sequences.shape[1]
    scale = np.asarray(rng.uniform(1 - CONTRAST, 1 + CONTRAST, roles))
    if rng.random() < 0.5:
        # Makers store phase with either sign.
        scale[list(Role).index(Role.PHASE)] *= -1
    shift = np.asarray(rng.normal(0, BRIGHTNESS, roles))
    noise = rng.standard_normal(sequences.shape, dtype=np.float32) * rng.uniform(0, NOISE)
    changed = sequences * _per_role(scale) + _per_role(shift) + noise
    inside = sequences != 0
    return Slab(np.where(inside, changed, 0).astype(np.float32), slab.presence, target.copy())


def turn_and_zoom(
    sequences: Float32, target: Float32, rng: np.random.Generator
) -> tuple[Float32, Float32]:
    """Turn and scale all planes of a slab alike about their centre, mirrored at the edges.

    Parameters
    ----------
    sequences : float32 array (slice, role, row, column)
    target : float32 array (slice, row, column)
    """
    angle = np.deg2rad(rng.uniform(-ROTATION_DEG, ROTATION_DEG))
    zoom = ZOOM ** rng.uniform(-1, 1)
    rows, columns = target.shape[1:]
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    # The sampling grid runs from -1 to 1 along either axis, whatever their lengths.
    matrix = [[cosine, -sine * rows / columns, 0.0], [sine * columns / rows, cosine, 0.0]]
    grid = functional.affine_grid(
        torch.tensor([matrix], dtype=torch.float32), [1, 1, rows, columns], align_corners=False
    )
    planes = torch.from_numpy(np.ascontiguousarray(sequences))
    # Where the nearest voxel is an exact zero, so is the result: no sequence fades into the air.
    turned = _sampled(planes, grid, "bilinear") * (_sampled(planes, grid, "nearest") != 0)
    labels = torch.from_numpy(np.ascontiguousarray(target))[:, None]
    return turned.numpy(), _sampled(labels, grid, "nearest")[:, 0].numpy()


def _sampled(planes: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Sample (n, channel, row, column), all at the same places."""
    stacked = planes.flatten(0, 1)[None]
    return functional.grid_sample(
        stacked, grid, mode=mode, padding_mode="reflection", align_corners=False
    )[0].reshape(planes.shape)


def _per_role(values: Float64) -> Float32:
    return values.astype(np.float32)[None, :, None, None]
