"""A training run of seconds, and cases for it."""

from pathlib import Path

import numpy as np

from service.stages.preprocess import NetworkInput
from training.config import TrainConfig
from training.dataset import PreparedCase
from training.network import NetworkConfig
from training.simulate.grids import axial_grid


def tiny_config(folder: Path) -> TrainConfig:
    """Return a configuration of which cohort and output are below a folder."""
    return TrainConfig(
        cohort=folder / "cohort",
        output=folder / "run",
        seed=3,
        steps=6,
        slabs=((3, 16, 16), (2, 0, 0)),
        batch=2,
        warmup_steps=2,
        checkpoint_steps=3,
        threads=1,
        bfloat16=False,
        network=NetworkConfig(channels=(4, 8), hidden=4),
    )


def noisy_case(
    seed: int, plane: tuple[int, int] = (32, 32), *, with_clot: bool = True
) -> PreparedCase:
    """Return six slices of noise, with a clot that is dark on the first sequence."""
    rng = np.random.default_rng(seed)
    grid = axial_grid((0, 0, 0), (2.0, 0.9, 0.9), (6, *plane))
    target = np.zeros(grid.shape, bool)
    sequences = rng.normal(size=(6, 6, *plane)).astype(np.float32)
    if with_clot:
        target[2:4, 10:14, 20:24] = True
        sequences[2:4, 0, 10:14, 20:24] -= 4
    values = NetworkInput(sequences, np.ones(6, np.float32), grid, grid, (1.0, 2.0, 3.0))
    return PreparedCase(values, target, target, {"seed": seed, "site": "A"})
