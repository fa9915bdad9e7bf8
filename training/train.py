"""Train a network: ``python -m training.train training/configs/RUN.toml [--resume]``.

Everything random is drawn from the seed, the number of the step and that of the process, so that a
run that was killed and resumed ends with the same weights as one that was not. On several GPUs see
``training.place``. ``tensorboard --logdir OUTPUT`` shows the course.
"""

import json
import math
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from service.domain.errors import InvalidModelError
from training.architectures import AnyNetwork, AnyNetworkConfig, build
from training.batches import Batch, batches
from training.cohort_errors import CohortError
from training.config import ConfigError, TrainConfig
from training.dataset import PreparedCase, case_folders, load_cohort, read_mimics
from training.denormals import denormals_are_zero
from training.journal import Journal
from training.losses import SegmentationLoss
from training.place import ALONE, Place, find_place
from training.validation import Validation
from training.weights import WEIGHTS, initial_weights, load_released, load_weights

CHECKPOINT = "checkpoint.pt"
# Learning rate at the end, as a share of the highest.
FINAL_RATE = 0.02
# What a resumed run may do differently: where and how fast it runs, how often it is saved, on which
# further cases, and on which it is looked at.
FREE_TO_CHANGE = frozenset(
    {
        "cohort",
        "further_cohorts",
        "validation",
        "output",
        "threads",
        "loaders",
        "checkpoint_steps",
        "expected",
    }
)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * (FINAL_RATE + (1 - FINAL_RATE) * cosine)


class ResumeError(ValueError):
    """A checkpoint does not fit the configuration."""


class DivergedError(ValueError):
    """The loss or gradient of a step is not finite; the weights are as they were before it."""


class Run:
    """The state of a training run: what a checkpoint holds."""

    def __init__(self, config: TrainConfig, place: Place = ALONE) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.place = place
        self.step = 0
        self.network = _initial_network(config).to(place.device)
        self.shared = place.share(self.network)
        ema = get_ema_multi_avg_fn(config.ema)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(self.network, multi_avg_fn=ema)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.loss = SegmentationLoss()

    def advance(self, batch: Batch) -> dict[str, float]:
        """Make one step and return its loss, learning rate and norm of the gradient.

        Raises
        ------
        DivergedError
            If loss or gradient is not finite; the weights are left as they were.
        """
        sequences, presence, target = (part.to(self.place.device) for part in batch)
        rate = learning_rate(self.step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(self.place.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            output = self.shared(sequences, presence)
        loss = self.loss(output.logits, target)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_clip)
        measured = {"loss": float(loss.detach()), "learning_rate": rate, "gradient": float(norm)}
        if not all(map(math.isfinite, measured.values())):
            raise DivergedError(
                f"step {self.step + 1}: loss {measured['loss']:g}, gradient"
                f" {measured['gradient']:g}: start anew with a lower learning_rate, or with"
                " bfloat16 = false"
            )
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return measured

    def save(self, path: Path) -> None:
        """Write the checkpoint; it replaces the former one only when it is complete."""
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "step": self.step,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "config": _plain(self.config),
                "processes": self.place.processes,
            },
            partial,
        )
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same configuration.

        Raises
        ------
        ResumeError
            If it was written under another one, with which the run would be neither.
        """
        checkpoint = torch.load(path, weights_only=True, map_location=self.place.device)
        _check_same(checkpoint["config"], _plain(self.config))
        if checkpoint["processes"] != self.place.processes:
            raise ResumeError(
                f"the checkpoint was written by {checkpoint['processes']} processes, not by"
                f" {self.place.processes}: start as many"
            )
        self.network.load_state_dict(checkpoint["network"])
        self.average.load_state_dict(checkpoint["average"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.step = checkpoint["step"]


def _initial_network(config: TrainConfig) -> AnyNetwork:
    network = build(config.network)
    if config.initial is not None:
        try:
            released = _released(config.initial, config.network)
            weights = initial_weights(released, config.network)
        except (OSError, ValueError, InvalidModelError) as exc:
            raise ConfigError(f"initial = {config.initial}: {exc}") from exc
        network.load_state_dict(weights)
    return network.train()


def _released(initial: Path, config: AnyNetworkConfig) -> AnyNetwork:
    """Read weights.pt, of a folder the one in it, or without that what is served of a model."""
    if not initial.is_dir():
        return load_weights(initial)
    file = initial / WEIGHTS
    return load_weights(file) if file.exists() else load_released(initial, config)


def _check_same(before: dict[str, Any], now: dict[str, Any]) -> None:
    changed = [key for key in now if key not in FREE_TO_CHANGE and before.get(key) != now[key]]
    if changed:
        raise ResumeError(
            f"the checkpoint was written with another {', '.join(changed)}: "
            "restore the configuration, or start a new run"
        )


def _plain(config: TrainConfig) -> dict[str, Any]:
    """Return the configuration as JSON values, which a checkpoint may hold safely."""
    document: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return document


def train(config: TrainConfig, *, resume: bool = False, stop_after: int | None = None) -> Run:
    """Train and return the finished run.

    Parameters
    ----------
    resume : bool
        Continue from the checkpoint in the output folder.
    stop_after : int, optional
        Leave the loop after this step, as if the run had been killed.

    Raises
    ------
    CohortError
        If a folder holds no cases; if none of the training or validation cases has anything to
        find: the network would learn to say nothing, or nothing would show it; or if the file of
        mimics is not about this cohort.
    ConfigError
        If the weights to start from cannot be read or are of another network.
    ResumeError
        If the checkpoint is of another configuration or there is none, or, of a run that is to
        begin, if there is one.
    DivergedError
        If a loss or gradient is not finite.
    """
    torch.set_num_threads(config.threads)
    _check_place(config.output / CHECKPOINT, resume=resume)
    config.output.mkdir(parents=True, exist_ok=True)
    _check_folders(config)
    cases = _cases(config)
    if not any(case.target.any() for case in cases):
        raise CohortError(
            f"nothing to learn: none of the {len(cases)} cases in {config.cohort} has a label"
        )
    with denormals_are_zero(), find_place() as place:
        validation = _validation(config) if place.leads else None
        run = Run(config, place)
        if resume:
            run.resume(config.output / CHECKPOINT)
        last = min(config.steps, stop_after or config.steps)
        with Journal(config.output, run.step, config.steps, writes=place.leads) as journal:
            drawn = islice(batches(cases, run.step, config, place.rank), last - run.step)
            for batch in drawn:
                measured = run.advance(batch) | {"cases": len(cases)}
                due = run.step % config.checkpoint_steps == 0 or run.step == config.steps
                if due and validation is not None:
                    measured |= validation.measure(run.average.module)
                journal.note(run.step, measured)
                if due and place.leads:
                    journal.flush()
                    run.save(config.output / CHECKPOINT)
    return run


def _check_place(checkpoint: Path, *, resume: bool) -> None:
    if resume and not checkpoint.exists():
        raise ResumeError(f"there is no {checkpoint} to go on from: start without --resume")
    if checkpoint.exists() and not resume:
        raise ResumeError(
            f"{checkpoint} is that of another run, which a new one would overwrite: go on with it "
            "by --resume, or give the new one another output"
        )


def _check_folders(config: TrainConfig) -> None:
    validation = () if config.validation is None else (config.validation,)
    for folder in (config.cohort, *config.further_cohorts, *validation):
        if not folder.is_dir() or not case_folders(folder):
            raise CohortError(f"there are no cases in {folder}: make or prepare the cohort first")


def _cases(config: TrainConfig) -> list[PreparedCase]:
    """Return the cases of all cohorts, of the first one with their mimics."""
    cases = load_cohort(config.cohort)
    if config.mimics is not None:
        names = [folder.name for folder in case_folders(config.cohort)]
        found = read_mimics(config.mimics, names)
        cases = [replace(case, mimics=found[name]) for name, case in zip(names, cases, strict=True)]
    return cases + [case for folder in config.further_cohorts for case in load_cohort(folder)]


def _validation(config: TrainConfig) -> Validation | None:
    if config.validation is None:
        return None
    return Validation(load_cohort(config.validation), config)


def main(
    config: Annotated[Path, typer.Argument(help="TOML file under training/configs.")],
    resume: Annotated[bool, typer.Option(help="Continue from the last checkpoint.")] = False,
) -> None:
    """Train a network as a configuration file says."""
    try:
        train(TrainConfig.read(config), resume=resume)
    except (CohortError, ConfigError, DivergedError, ResumeError) as exc:
        raise typer.BadParameter(str(exc)) from exc


if __name__ == "__main__":
    typer.run(main)
