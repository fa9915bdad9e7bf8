"""Typed configuration of a training run, read from TOML.

The file of every run under ``training/configs`` states in ``[expected]``, itself or by its base,
what the run should reach and what it costs; ``training.evaluate`` measures the former. A file may
name another one as its ``base``, whose values it changes: what differs between two runs is then
what stands in it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, TypeAdapter, ValidationError

from service.domain.sequence import Role
from training.architectures import AnyNetworkConfig
from training.network import STRICT, NetworkConfig

BASE = "base"


class ConfigError(ValueError):
    """A configuration file is wrong; whoever wrote it can mend it."""


class Course(StrEnum):
    """How something changes over a training; see ``training.modality_dropout.along``."""

    CONSTANT = "constant"
    STAIRCASE = "staircase"
    LINEAR = "linear"
    REVERSED = "reversed"
    SHUFFLED = "shuffled"


class Event(StrEnum):
    """Which sequences are hit together.

    ``independent``: each by itself. ``scan``: each by itself, but phase with its magnitude and ADC
    with its DWI, as an archive lacks them. ``subset``: a uniform number of them, and each set of
    that size alike (ModDrop).
    """

    INDEPENDENT = "independent"
    SCAN = "scan"
    SUBSET = "subset"


@dataclass(frozen=True)
class DropoutConfig:
    """Gradual modality dropout; see ``training.modality_dropout``.

    Attributes
    ----------
    rate : float
        Probability that a present sequence is hit, or that a sample is, if ``event`` is ``subset``.
        0 is no dropout.
    rates : mapping of Role to float
        Of sequences that are hit more or less often than the others; not for ``subset``.
    event : Event
    degree_course : Course
        Of how much of a hit sequence is taken; ``constant`` takes all of it from the beginning.
    rate_course : Course
        Of the share of ``rate`` that is in force.
    noise : float
        Standard deviation of the gain of a hit sequence.
    """

    __pydantic_config__ = STRICT

    rate: Annotated[float, Field(ge=0, le=1)] = 0.3
    rates: Mapping[Role, Annotated[float, Field(ge=0, le=1)]] = field(default_factory=dict)
    event: Event = Event.INDEPENDENT
    degree_course: Course = Course.STAIRCASE
    rate_course: Course = Course.CONSTANT
    noise: Annotated[float, Field(ge=0)] = 0.1

    def __post_init__(self) -> None:
        if self.event is Event.SUBSET:
            if self.rates:
                raise ValueError("rates are of single sequences, and the event subset prefers none")
        else:
            for role in Role:
                # A study may have this sequence alone.
                if self.rate_of(role) >= 1:
                    raise ValueError(f"rate {self.rate_of(role)} would always hit {role}: below 1")

    def rate_of(self, role: Role) -> float:
        """Return the probability that a sequence is hit by itself, at the full rate."""
        return self.rates.get(role, self.rate)


@dataclass(frozen=True)
class AimConfig:
    """Where the slabs of a case are cut; the rest of them anywhere.

    Attributes
    ----------
    clots : float
        Share of the slabs that are cut around the clot, in cases that have one.
    mimics : float
        Share that is cut around what another network took for a clot, in cases with any.
    """

    __pydantic_config__ = STRICT

    clots: Annotated[float, Field(ge=0, le=1)] = 0.7
    mimics: Annotated[float, Field(ge=0, le=1)] = 0.0

    def __post_init__(self) -> None:
        if self.clots + self.mimics > 1:
            raise ValueError(f"shares {self.clots:g} and {self.mimics:g} are more than all slabs")


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes
    ----------
    cohort : Path
        Folder written by ``training.make_cohort`` or ``training.prepare_cohort``.
    further_cohorts : tuple of Path
        More such folders: simulated cases beside one's own, or cases that came later.
    validation : Path, optional
        Such a folder of cases that are not trained on, which are looked at whenever a checkpoint
        is written; see ``training.validation``.
    output : Path
        Folder of checkpoint and log.
    seed : int
        Of initial weights and of everything drawn while training.
    steps : int
    slabs : tuple of (int, int, int)
        Sizes (slice, row, column) drawn in turn; 0 rows and columns mean the whole plane.
    batch : int
        Slabs of a step, on every device; where they are whole planes, of several cases, zeros fill
        the smaller ones.
    learning_rate, weight_decay : float
    warmup_steps : int
    gradient_clip : float
        Largest norm of the gradient.
    ema : float
        Decay of the averaged weights, which are the ones released.
    checkpoint_steps : int
    threads, loaders : int
        Of torch, and of what draws the slabs beside it.
    bfloat16 : bool
        Whether convolutions are computed in bfloat16.
    aim : AimConfig
        Where slabs are cut.
    mimics : Path, optional
        What ``training.find_mimics`` wrote about ``cohort``, for ``aim``.
    initial : Path, optional
        What to train on from, instead of drawn weights: a model's folder, as those under models/,
        or weights.pt, which ``training.export_onnx`` writes into it.
    expected : mapping
        Metric and cost, for people.
    """

    __pydantic_config__ = STRICT

    cohort: Path
    output: Path
    seed: Annotated[int, Field(ge=0)]
    steps: Annotated[int, Field(gt=0)]
    slabs: Annotated[tuple[tuple[int, int, int], ...], Field(min_length=1)]
    batch: Annotated[int, Field(gt=0)] = 1
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 3e-5
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    checkpoint_steps: Annotated[int, Field(gt=0)] = 100
    threads: Annotated[int, Field(gt=0)] = 2
    loaders: Annotated[int, Field(gt=0)] = 1
    bfloat16: bool = True
    dropout: DropoutConfig = field(default_factory=DropoutConfig)
    network: AnyNetworkConfig = field(default_factory=NetworkConfig)
    aim: AimConfig = field(default_factory=AimConfig)
    mimics: Path | None = None
    further_cohorts: tuple[Path, ...] = ()
    validation: Path | None = None
    initial: Path | None = None
    expected: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.mimics is None) != (self.aim.mimics == 0):
            raise ValueError("mimics and aim.mimics need each other")
        if self.validation in (self.cohort, *self.further_cohorts):
            raise ValueError(f"the cases of validation, {self.validation}, are trained on as well")
        divisor = self.network.divisor
        if any(size % divisor for _, *plane in self.slabs for size in plane):
            raise ValueError(f"rows and columns of slabs must be multiples of {divisor}, or 0")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML file; folders of a run are relative to the working directory.

        Raises
        ------
        ConfigError
            If a file is missing or no TOML, or a key is unknown, missing or out of its range.
        """
        values = _with_base(path, ())
        values.setdefault("network", {}).setdefault("kind", "upattllstm")
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as exc:
            wrong = "; ".join(
                f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
                for error in exc.errors()
            )
            raise ConfigError(f"{path}: {wrong}") from exc


def _with_base(path: Path, outer: tuple[Path, ...]) -> dict[str, Any]:
    """Return the values of a file over those of its base, table by table."""
    if path.resolve() in outer:
        raise ConfigError(f"{path} is its own base")
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}") from exc
    if BASE not in values:
        return values
    base = _with_base(path.parent / str(values.pop(BASE)), (*outer, path.resolve()))
    return _merged(base, values)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        # Another kind of network has keys of its own.
        replaced = both and value.get("kind", merged[key].get("kind")) != merged[key].get("kind")
        merged[key] = _merged(merged[key], value) if both and not replaced else value
    return merged
