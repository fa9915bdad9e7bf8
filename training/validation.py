"""How a network does, while it is trained, on cases that it is not trained on."""

from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics import compute_dice
from torch import nn

from training.batches import Batch, stack
from training.cohort_errors import CohortError
from training.config import AimConfig, TrainConfig
from training.dataset import PreparedCase, draw_slab
from training.losses import SegmentationLoss

AROUND_CLOTS = AimConfig(clots=1.0)
# Tells the draws of these slabs from those of training.
STREAM = 1_000_003


class Validation:
    """One slab of every case, with all its sequences, the same at every measurement.

    It shows when a network goes on to learn its training cases alone. The slabs lie around the
    clots, so their Dice is not that of whole examinations, which ``training.evaluate`` measures.

    Parameters
    ----------
    cases : sequence of PreparedCase
    config : TrainConfig
        Slabs are of its first size and are drawn from its seed.

    Raises
    ------
    CohortError
        If no case has anything to find: the Dice would be of nothing.
    """

    def __init__(self, cases: Sequence[PreparedCase], config: TrainConfig) -> None:
        if not any(case.target.any() for case in cases):
            raise CohortError(
                f"validation: none of the {len(cases)} cases in {config.validation} has a label"
            )
        self._config = config
        self._batches = [_slab(case, index, config) for index, case in enumerate(cases)]
        self._loss = SegmentationLoss()

    @torch.no_grad()
    def measure(self, network: nn.Module) -> dict[str, float]:
        """Return how the network does on the slabs; it is left in the mode that it was in.

        Returns
        -------
        dict
            ``validation_loss``, the mean of the finest level, and ``validation_dice``, the mean of
            what is above one half, over the slabs with a clot.
        """
        training = network.training
        network.eval()
        device = next(network.parameters()).device
        losses, dices = [], []
        for sequences, presence, target in self._batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=self._config.bfloat16):
                logits = network(sequences.to(device), presence.to(device)).logits[:1]
            wanted = target.to(device)
            losses.append(float(self._loss(logits, wanted)))
            if bool(wanted.any()):
                dices.append(float(compute_dice((logits[0] > 0)[:, None], wanted[:, None])))
        network.train(training)
        return {"validation_loss": float(np.mean(losses)), "validation_dice": float(np.mean(dices))}


def _slab(case: PreparedCase, index: int, config: TrainConfig) -> Batch:
    rng = np.random.default_rng([config.seed, index, STREAM])
    slices, rows, columns = config.slabs[0]
    size = (slices, rows or case.target.shape[1], columns or case.target.shape[2])
    neighbours = config.network.neighbours
    return stack([draw_slab(case, size, rng, neighbours=neighbours, aim=AROUND_CLOTS)])
