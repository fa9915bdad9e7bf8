"""What the compared networks cost: weights, and the time of a training step and of inference.

``python -m benchmarks.network_cost`` times all of ``training/configs/networks`` in turn on one
thread, in float32 with drawn weights and noise, and prints a table in Markdown. Each time is the
least of all rounds, given as its ratio to that of the first network: the networks take turns
within a round, so that whatever else the machine does touches all of them.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from training.architectures import AnyNetwork, build
from training.config import TrainConfig
from training.losses import SegmentationLoss

CONFIGS = Path(__file__).parents[1] / "training" / "configs" / "networks"
FIRST = "upattllstm"
# Slices, rows and columns: a slab of training, and a chunk of a study.
SLAB = (6, 96, 96)
CHUNK = (24, 224, 192)


def _input(network: AnyNetwork, size: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    slices, rows, columns = size
    slices += 2 * network.config.neighbours
    roles = network.config.roles
    return torch.randn(1, slices, roles, rows, columns), torch.ones(1, roles)


def _train(network: AnyNetwork) -> None:
    logits = network.train()(*_input(network, SLAB)).logits
    loss = SegmentationLoss()(logits, (torch.rand(1, *SLAB) < 0.01).float())
    loss.backward()  # type: ignore[no-untyped-call]


@torch.no_grad()
def _infer(network: AnyNetwork) -> None:
    network.eval()(*_input(network, CHUNK))


def _seconds(work: Callable[[AnyNetwork], None], network: AnyNetwork) -> float:
    start = time.perf_counter()
    work(network)
    return time.perf_counter() - start


def main(rounds: Annotated[int, typer.Option(min=1)] = 5) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    names = sorted((file.stem for file in CONFIGS.glob("*.toml")), key=lambda name: name != FIRST)
    networks = {name: build(TrainConfig.read(CONFIGS / f"{name}.toml").network) for name in names}
    works = (_train, _infer)
    for network in networks.values():
        _train(network)
    least = dict.fromkeys(((name, work) for name in names for work in works), float("inf"))
    for _ in range(rounds):
        for name, work in least:
            spent = _seconds(work, networks[name])
            least[name, work] = min(least[name, work], spent)
    typer.echo("| network | million weights | training step | inference |\n|---|---|---|---|")
    for name in names:
        count = sum(part.numel() for part in networks[name].parameters()) / 1e6
        ratios = [f"{least[name, work] / least[FIRST, work]:.2f}" for work in works]
        typer.echo(f"| {name} | {count:.2f} | {' | '.join(ratios)} |")


if __name__ == "__main__":
    typer.run(main)
