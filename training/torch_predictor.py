"""A PyTorch network as a predictor, so that one that is not exported is measured alike."""

import torch
from torch import Tensor, nn

from service.stages.run_model import Float32, Prediction
from training.denormals import denormals_are_zero


class TorchPredictor:
    """Runs a network without recurrent state on whole stacks.

    The states that enter are returned as they came, so a stack must not be cut into chunks unless
    the network treats every slice for itself.

    Parameters
    ----------
    network : nn.Module
        Called with sequences (1, slice + 2 x neighbours, role, row, column) and presence (1, role),
        it returns an object whose ``logits[0]`` is (1, slice, row, column). It is put into
        evaluation mode.
    neighbours : int
        Slices beside the stack that it is given on either side.
    bfloat16 : bool
        Whether convolutions are computed in bfloat16: half the time where the processor has this
        arithmetic, for comparisons between runs.
    """

    def __init__(self, network: nn.Module, *, neighbours: int = 0, bfloat16: bool = False) -> None:
        self._network = network.eval()
        self._neighbours = neighbours
        self._bfloat16 = bfloat16
        # Where the network computes, and in what.
        self._like = next(network.parameters(), torch.zeros(0))

    @torch.no_grad()
    def predict(
        self,
        sequences: Float32,
        presence: Float32,
        forward_state: Float32,
        backward_state: Float32,
    ) -> Prediction:
        """Evaluate a stack, see ``Predictor``; the states are returned as they came.

        Raises
        ------
        ValueError
            If the network does not answer with one map a slice.
        """
        reduced = torch.autocast(self._like.device.type, torch.bfloat16, enabled=self._bfloat16)
        with denormals_are_zero(), reduced:
            output = self._network(self._batch_of_one(sequences), self._batch_of_one(presence))
        logits: Tensor = output.logits[0]
        slices = len(sequences) - 2 * self._neighbours
        expected = (1, slices, *sequences.shape[2:])
        if tuple(logits.shape) != expected:
            raise ValueError(f"logits have the shape {tuple(logits.shape)}, expected {expected}")
        probability = torch.sigmoid(logits[0].float()).cpu().numpy()
        return Prediction(probability, forward_state, backward_state)

    def _batch_of_one(self, part: Float32) -> Tensor:
        return torch.tensor(part, dtype=self._like.dtype, device=self._like.device)[None]
