"""What a step of a training sees: slabs of some cases, drawn anew for every step."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from training.augment import augment
from training.config import TrainConfig
from training.dataset import PreparedCase, Slab, draw_slab
from training.modality_dropout import drop_modalities

# Sequences (slab, slice + 2 x neighbours, role, row, column), presence (slab, role) and target
# (slab, slice, row, column), float32.
Batch = tuple[Tensor, Tensor, Tensor]


def draw_batch(cases: list[PreparedCase], step: int, config: TrainConfig, rank: int = 0) -> Batch:
    """Draw the batch of a step; the same step of the same process is drawn alike."""
    rng = np.random.default_rng([config.seed, step, rank])
    slices, rows, columns = config.slabs[step % len(config.slabs)]
    chosen = [cases[int(rng.integers(len(cases)))] for _ in range(config.batch)]
    # As wide as the largest; behind a smaller plane the slab has zeros.
    whole = np.max([case.target.shape[1:] for case in chosen], axis=0).tolist()
    size = (slices, rows or whole[0], columns or whole[1])
    slabs = []
    for case in chosen:
        drawn = draw_slab(case, size, rng, neighbours=config.network.neighbours, aim=config.aim)
        slab = augment(drawn, rng)
        slabs.append(drop_modalities(slab, step / config.steps, config.dropout, rng))
    return stack(slabs)


def batches(
    cases: list[PreparedCase], first: int, config: TrainConfig, rank: int
) -> Iterator[Batch]:
    """Yield the batches from a step on, drawn by threads while the network works."""
    with ThreadPoolExecutor(config.loaders) as pool:
        waiting = deque(
            pool.submit(draw_batch, cases, step, config, rank)
            for step in range(first, min(first + 2 * config.loaders, config.steps))
        )
        for step in range(first + len(waiting), config.steps + len(waiting)):
            batch = waiting.popleft().result()
            if step < config.steps:
                waiting.append(pool.submit(draw_batch, cases, step, config, rank))
            yield batch


def stack(slabs: Sequence[Slab]) -> Batch:
    """Put slabs of one size beside each other."""
    sequences, presence, target = (
        torch.from_numpy(np.stack([getattr(slab, name) for slab in slabs]))
        for name in ("sequences", "presence", "target")
    )
    return sequences, presence, target
