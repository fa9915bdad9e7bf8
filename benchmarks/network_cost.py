"""What the compared networks cost: weights, and the time of a training step and of inference.

``python -m benchmarks.network_cost`` times all of ``training/configs/networks`` on one thread, in
float32, on noise, and prints a table in Markdown. Each time is the least of all rounds, given as
its ratio to that of the first network: the networks take turns within a round, so that whatever
else the machine does touches all of them.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from training.architectures import AnyNetwork
from training.config import TrainConfig
from training.denormals import denormals_are_zero
from training.train import Run

CONFIGS = Path(__file__).parents[1] / "training" / "configs" / "networks"
FIRST = "upattllstm"
# Slices, rows and columns: a slab of training, and a part of a study.
SLAB = (6, 96, 96)
PART = (24, 224, 192)


def _noise(network: AnyNetwork, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    slices, rows, columns = size
    roles = network.config.roles
    shape = (1, slices + 2 * network.config.neighbours, roles, rows, columns)
    return torch.randn(shape), torch.ones(1, roles)


def _works(run: Run) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a training step and an inference to time."""
    batch = (*_noise(run.network, SLAB), (torch.rand(1, *SLAB) < 0.01).float())
    part = _noise(run.network, PART)

    def infer() -> None:
        run.network.eval()
        with torch.no_grad():
            run.network(*part)
        run.network.train()

    return lambda: run.advance(batch), infer


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(rounds: Annotated[int, typer.Option(min=1)] = 5) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    names = sorted((file.stem for file in CONFIGS.glob("*.toml")), key=lambda n: (n != FIRST, n))
    configs = [replace(TrainConfig.read(CONFIGS / f"{n}.toml"), bfloat16=False) for n in names]
    with denormals_are_zero():
        runs = [Run(config) for config in configs]
        works = [work for run in runs for work in _works(run)]
        for work in works:
            work()
        spent = [[_seconds(work) for work in works] for _ in range(rounds)]
    least = [min(times) for times in zip(*spent, strict=True)]
    typer.echo("| network | million weights | training step | inference |\n|---|---|---|---|")
    for name, run, step, inference in zip(names, runs, least[::2], least[1::2], strict=True):
        weights = sum(part.numel() for part in run.network.parameters()) / 1e6
        ratios = f"{step / least[0]:.2f} | {inference / least[1]:.2f}"
        typer.echo(f"| {name} | {weights:.2f} | {ratios} |")


if __name__ == "__main__":
    typer.run(main)
