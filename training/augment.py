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
# Share of the sequences that get another curve of contrast, another sharpness, another coil.
ALTERED_SHARE = 0.3
# Standard deviation of the logarithm of the exponent that bends a curve of contrast.
GAMMA = 0.25
# How far a plane is taken towards the mean of its neighbours (1), or away from it (negative).
SMOOTHING = (-0.5, 0.7)
# Of the coil's sensitivity: relative standard deviation at the corners of a coarse mesh, and its
# meshes an axis. z-scores begin about two deviations above air, which a coil cannot change.
COIL = 0.15
COIL_MESH = 4
AIR = -2.0
# Half the range of z-scores, which preprocessing clips.
CLIP = 5.0


def augment(slab: Slab, rng: np.random.Generator) -> Slab:
    """Turn, zoom and mirror the planes, reverse the slices, vary intensities and the phase's sign.

    Curves of contrast, sharpness and sensitivity of the coil vary as well, so that the network does
    not learn the looks of the scanners that the cohort happens to have.

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
    inside = sequences != 0
    sequences = alter_scanner(sequences, rng)
    scale = np.asarray(rng.uniform(1 - CONTRAST, 1 + CONTRAST, roles))
    if rng.random() < 0.5:
        # Makers store phase with either sign.
        scale[list(Role).index(Role.PHASE)] *= -1
    shift = np.asarray(rng.normal(0, BRIGHTNESS, roles))
    noise = rng.standard_normal(sequences.shape, dtype=np.float32) * rng.uniform(0, NOISE)
    changed = sequences * _per_role(scale) + _per_role(shift) + noise
    return Slab(np.where(inside, changed, 0).astype(np.float32), slab.presence, target.copy())


def alter_scanner(sequences: Float32, rng: np.random.Generator) -> Float32:
    """Give some sequences another curve of contrast, another sharpness, another coil.

    Parameters
    ----------
    sequences : float32 array (slice, role, row, column)
        z-scores; exact zeros are for the caller to restore.
    """
    roles = sequences.shape[1]
    altered = sequences.copy()
    for role in np.flatnonzero(rng.random(roles) < ALTERED_SHARE):
        curve = np.exp(GAMMA * rng.standard_normal())
        altered[:, role] = bend(altered[:, role], float(curve))
    for role in np.flatnonzero(rng.random(roles) < ALTERED_SHARE):
        planes = torch.from_numpy(altered[:, role])
        mean = functional.avg_pool2d(planes[None], 3, 1, 1, count_include_pad=False)[0]
        altered[:, role] = torch.lerp(planes, mean, float(rng.uniform(*SMOOTHING))).numpy()
    for role in np.flatnonzero(rng.random(roles) < ALTERED_SHARE):
        gain = coil_sensitivity(altered.shape[2:], rng)
        altered[:, role] = (altered[:, role] - AIR) * gain + AIR
    return altered


def bend(scores: Float32, exponent: float) -> Float32:
    """Bend the curve of contrast; the mean, 0, and the contrast around it stay."""
    level = np.clip((scores + CLIP) / (2 * CLIP), 0, 1)
    slope = exponent * 0.5 ** (exponent - 1)
    bent: Float32 = (2 * CLIP / slope * (level**exponent - 0.5**exponent)).astype(np.float32)
    return bent


def coil_sensitivity(shape: tuple[int, ...], rng: np.random.Generator) -> Float32:
    """Return a smooth gain around 1, (row, column), alike in all slices."""
    mesh = COIL * rng.standard_normal((1, 1, COIL_MESH, COIL_MESH), dtype=np.float32)
    field = functional.interpolate(
        torch.from_numpy(mesh), size=list(shape), mode="bicubic", align_corners=True
    )
    gain: Float32 = 1 + field[0, 0].numpy()
    return gain


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
