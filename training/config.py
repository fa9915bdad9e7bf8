"""Typed configuration of a training run, read from TOML.

Every file under ``training/configs`` states in ``[expected]`` what the run should reach and what
it costs; ``training.evaluate`` measures the former.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from training.network import NetworkConfig


@dataclass(frozen=True)
class DropoutConfig:
    """Gradual modality dropout; see ``training.modality_dropout``.

    Attributes
    ----------
    rate : float
        Probability that a present sequence is hit.
    noise : float
        Standard deviation of the gain of a hit sequence.
    """

    rate: float = 0.3
    noise: float = 0.1


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes
    ----------
    cohort : Path
        Folder written by ``training.make_cohort``.
    output : Path
        Folder of checkpoint and log.
    seed : int
        Of initial weights and of everything drawn while training.
    steps : int
    slabs : tuple of (int, int, int)
        Sizes (slice, row, column) drawn in turn; 0 rows and columns mean the whole plane.
    batch : int
    learning_rate, weight_decay : float
    warmup_steps : int
    gradient_clip : float
        Largest norm of the gradient.
    ema : float
        Decay of the averaged weights, which are the ones released.
    checkpoint_steps : int
    threads : int
        Of torch.
    initial : Path, optional
        weights.pt of a released model to start from, instead of drawn weights; for training on.
    expected : mapping
        Metric and cost, for people.
    """

    cohort: Path
    output: Path
    seed: int
    steps: int
    slabs: tuple[tuple[int, int, int], ...]
    batch: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 3e-5
    warmup_steps: int = 100
    gradient_clip: float = 1.0
    ema: float = 0.995
    checkpoint_steps: int = 100
    threads: int = 2
    bfloat16: bool = True
    dropout: DropoutConfig = field(default_factory=DropoutConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    initial: Path | None = None
    expected: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML file; relative folders are relative to the working directory.

        Raises
        ------
        TypeError
            If a key is unknown or missing.
        """
        values = tomllib.loads(path.read_text())
        network = dict(values.pop("network", {}))
        initial = values.pop("initial", None)
        if "channels" in network:
            network["channels"] = tuple(network["channels"])
        return cls(
            cohort=Path(values.pop("cohort")),
            output=Path(values.pop("output")),
            slabs=tuple((s, r, c) for s, r, c in values.pop("slabs")),
            dropout=DropoutConfig(**values.pop("dropout", {})),
            network=NetworkConfig(**network),
            initial=Path(initial) if initial else None,
            **values,
        )
