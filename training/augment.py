"""Changes to a slab that keep it a possible examination."""

import numpy as np
import numpy.typing as npt

from service.domain.sequence import Role
from training.dataset import Float32, Slab

Float64 = npt.NDArray[np.float64]

CONTRAST = 0.15
BRIGHTNESS = 0.1
NOISE = 0.1


def augment(slab: Slab, rng: np.random.Generator) -> Slab:
    """Mirror left and right, reverse the slices, flip the phase's sign, vary intensities.

    The exact zeros outside the head and of missing sequences stay zero.
    """
    sequences, target = slab.sequences, slab.target
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


def _per_role(values: Float64) -> Float32:
    return values.astype(np.float32)[None, :, None, None]
