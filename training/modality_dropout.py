"""Gradual modality dropout: whole sequences are dimmed, and in the end removed, while training.

Each present sequence is hit with a constant probability; what grows over the training is how much
of a hit sequence is taken, in four equal quarters: 1/4, 1/2, 3/4, all. The last quarter therefore
trains under the condition of use: a sequence is there or it is not. Equations after the authors'
published description, with two decisions of ours: at least one present sequence is never hit, and
the network is told by a presence flag what is left.
"""

import math
from dataclasses import dataclass

import numpy as np

from training.config import DropoutConfig
from training.dataset import Float32, Slab

# A sequence with a smaller gain counts as missing.
LEAST_GAIN = 0.05
QUARTERS = 4


def degree(progress: float) -> float:
    """Return how much of a hit sequence is taken, for a progress of 0..1."""
    return min(QUARTERS, max(1, math.floor(progress * QUARTERS) + 1)) / QUARTERS


@dataclass(frozen=True)
class Gains:
    """What one training sample's sequences are multiplied by.

    Attributes
    ----------
    gain : float32 array (role,)
        1 for untouched, 0 for missing sequences.
    presence : float32 array (role,)
        1 where the gain is above LEAST_GAIN.
    """

    gain: Float32
    presence: Float32


def draw_gains(
    presence: Float32, progress: float, config: DropoutConfig, rng: np.random.Generator
) -> Gains:
    """Draw the gains of one sample.

    Parameters
    ----------
    presence : float32 array (role,)
        1 where the sequence exists; missing ones stay missing.
    progress : float
        Share of the training that is done, 0..1.
    """
    present = presence > 0
    hit = present & (rng.random(len(presence)) < config.rate)
    while present.any() and not (present & ~hit).any():
        hit = present & (rng.random(len(presence)) < config.rate)
    noise = config.noise * rng.standard_normal(len(presence))
    dimmed = np.maximum(0, 1 - degree(progress) + noise)
    gain = np.where(hit, dimmed, 1.0) * present
    # What counts as missing must look missing.
    gain = np.where(gain > LEAST_GAIN, gain, 0.0)
    return Gains(gain.astype(np.float32), (gain > 0).astype(np.float32))


def drop_modalities(
    slab: Slab, progress: float, config: DropoutConfig, rng: np.random.Generator
) -> Slab:
    """Return the slab with its sequences dimmed or removed, and flags that say so."""
    gains = draw_gains(slab.presence, progress, config, rng)
    dimmed = slab.sequences * gains.gain[None, :, None, None]
    return Slab(dimmed, gains.presence, slab.target)
