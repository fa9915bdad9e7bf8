"""Gradual modality dropout: whole sequences are dimmed, and in the end removed, while training.

A present sequence is hit with some probability, its rate; a hit one is multiplied by one minus the
degree, and noise. As the authors have described it, the rate is constant and the degree grows in
four equal quarters of the training: 1/4, 1/2, 3/4, all. The last quarter then trains nearly under
the condition of use, in which a sequence is there or is not: noise of 0.1 leaves three in ten of
the hit sequences a gain of 0.05 to 0.4. Other courses of degree and rate, and plain dropout of a
uniformly drawn subset (ModDrop), are there to be compared with it. Decisions of ours: at least one
present sequence is never hit, what is left can be told to the network by flags, some sequences can
be hit more often than others, and phase and ADC along with what they are computed from.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.domain.sequence import COMES_WITH, Role
from training.config import Course, DropoutConfig, Event
from training.dataset import Float32, Slab

# A sequence with a smaller gain counts as missing.
LEAST_GAIN = 0.05
QUARTERS = 4
# Where a linear course begins and ends, as shares of the training.
LINEAR = (0.05, 0.60)

ROLES = list(Role)

Flags = npt.NDArray[np.bool_]
Rates = npt.NDArray[np.float64]


def staircase(progress: float) -> float:
    """Return 1/4, 1/2, 3/4 and 1 in the four quarters of a progress of 0..1."""
    return min(QUARTERS, max(1, math.floor(progress * QUARTERS) + 1)) / QUARTERS


def along(course: Course, progress: float, rng: np.random.Generator) -> float:
    """Return where a course stands, 0..1, at a progress of 0..1.

    ``shuffled`` draws one of the quarters anew for every sample: over a whole training the same
    values as ``staircase`` in no order. ``reversed`` has them in the opposite order.
    """
    if course is Course.CONSTANT:
        return 1.0
    if course is Course.LINEAR:
        start, end = LINEAR
        return float(np.clip((progress - start) / (end - start), 0, 1))
    if course is Course.SHUFFLED:
        return int(rng.integers(1, QUARTERS + 1)) / QUARTERS
    climbed = staircase(progress)
    return climbed if course is Course.STAIRCASE else 1 + 1 / QUARTERS - climbed


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
    hit = _draw_hits(present, along(config.rate_course, progress, rng), config, rng)
    left = 1 - along(config.degree_course, progress, rng)
    noise = config.noise * rng.standard_normal(len(presence))
    gain = np.where(hit, np.maximum(0, left + noise), 1.0) * present
    # What counts as missing must look missing.
    gain = np.where(gain > LEAST_GAIN, gain, 0.0)
    return Gains(gain.astype(np.float32), (gain > 0).astype(np.float32))


def _draw_hits(
    present: Flags, in_force: float, config: DropoutConfig, rng: np.random.Generator
) -> Flags:
    """Draw which present sequences are hit, a share of the rates being in force; never all."""
    if config.event is Event.SUBSET:
        return _draw_subset(present, config.rate * in_force, rng)
    rates = in_force * np.array([config.rate_of(role) for role in ROLES])
    hit = _draw_scans(present, rates, config, rng)
    while present.any() and not (present & ~hit).any():
        hit = _draw_scans(present, rates, config, rng)
    return hit


def _draw_scans(
    present: Flags, rates: Rates, config: DropoutConfig, rng: np.random.Generator
) -> Flags:
    hit = present & (rng.random(len(present)) < rates)
    if config.event is Event.SCAN:
        for role, source in COMES_WITH.items():
            hit[ROLES.index(role)] |= present[ROLES.index(role)] & hit[ROLES.index(source)]
    return hit


def _draw_subset(present: Flags, rate: float, rng: np.random.Generator) -> Flags:
    """Hit a uniform number of the present ones, 0 to all but one, in a share of the samples."""
    hit = np.zeros_like(present)
    indices = np.flatnonzero(present)
    if len(indices) and rng.random() < rate:
        hit[rng.choice(indices, int(rng.integers(len(indices))), replace=False)] = True
    return hit


def drop_modalities(
    slab: Slab, progress: float, config: DropoutConfig, rng: np.random.Generator
) -> Slab:
    """Return the slab with its sequences dimmed or removed, and flags that say so."""
    gains = draw_gains(slab.presence, progress, config, rng)
    dimmed = slab.sequences * gains.gain[None, :, None, None]
    return Slab(dimmed, gains.presence, slab.target)
