"""The network: shapes, the logic cell, gates, and chunks that equal the whole."""

import numpy as np
import pytest
import torch

from service.domain.model_spec import InputSpec, ModelSpec
from service.domain.sequence import Role
from service.stages.preprocess import NetworkInput
from service.stages.run_model import Prediction, run_model
from training.export_onnx import random_input
from training.network import CellKind, NetworkConfig, RecurrentCell, ServedNetwork, UpAttLLSTM
from training.simulate.grids import axial_grid

Float32 = np.ndarray
TINY = NetworkConfig(channels=(4, 8), hidden=4)


class TorchPredictor:
    """The network itself as a predictor."""

    def __init__(self, network: UpAttLLSTM) -> None:
        self._served = ServedNetwork(network).eval()

    def predict(
        self, sequences: Float32, presence: Float32, forward: Float32, backward: Float32
    ) -> Prediction:
        values = [torch.from_numpy(part) for part in (sequences, presence, forward, backward)]
        with torch.no_grad():
            probability, up, down = self._served(*values)
        return Prediction(probability.numpy(), up.numpy(), down.numpy())


@pytest.mark.parametrize("cell", ["logic", "conv"])
@pytest.mark.parametrize("gates", [True, False])
def test_shapes_and_deep_supervision(cell: CellKind, gates: bool) -> None:
    config = NetworkConfig(channels=(4, 8, 8, 8), hidden=4, cell=cell, gates=gates)
    network = UpAttLLSTM(config)
    output = network.train()(torch.randn(2, 3, 6, 32, 40), torch.ones(2, 6))
    assert [tuple(level.shape) for level in output.logits] == [
        (2, 3, 32, 40),
        (2, 3, 16, 20),
        (2, 3, 8, 10),
    ]
    assert output.forward_state.shape == output.backward_state.shape == (2, 2, 4, 4, 5)
    assert len(network.eval()(torch.randn(1, 1, 6, 32, 32), torch.ones(1, 6)).logits) == 1


def test_untrained_network_expects_the_prior() -> None:
    torch.manual_seed(0)
    network = UpAttLLSTM(NetworkConfig(channels=(4, 8), hidden=4, prior=1e-3)).eval()
    probability = torch.sigmoid(network(torch.randn(1, 2, 6, 16, 16), torch.ones(1, 6)).logits[0])
    assert probability.mean() < 0.02


def test_logic_cell_keeps_evidence_between_nothing_and_certainty() -> None:
    torch.manual_seed(0)
    cell = RecurrentCell(3, 5, "logic")
    hidden = memory = torch.zeros(1, 5, 4, 4)
    for _ in range(50):
        former = memory
        hidden, memory = cell(torch.randn(1, 20, 4, 4) * 5, hidden, memory)
        assert memory.min() >= 0
        assert memory.max() <= 1
        assert (hidden <= memory + 1e-6).all()
    # Gates wide open: new evidence is never less than the old (OR).
    certain = torch.full((1, 20, 4, 4), 20.0)
    _, more = cell(certain, torch.zeros_like(hidden), former)
    assert (more >= former - 1e-6).all()


def test_presence_flag_changes_the_answer() -> None:
    torch.manual_seed(0)
    network = UpAttLLSTM(TINY).eval()
    sequences = torch.randn(1, 2, 6, 16, 16)
    one = network(sequences, torch.ones(1, 6)).logits[0]
    other = network(sequences, torch.tensor([[1.0, 1, 1, 1, 1, 0]])).logits[0]
    assert not torch.allclose(one, other)


def test_recurrence_carries_information_both_ways() -> None:
    torch.manual_seed(0)
    network = UpAttLLSTM(TINY).eval()
    sequences = torch.randn(1, 5, 6, 16, 16)
    changed = sequences.clone()
    changed[:, 2] += 1
    before = network(sequences, torch.ones(1, 6)).logits[0]
    after = network(changed, torch.ones(1, 6)).logits[0]
    moved = (before - after).abs().amax(dim=(0, 2, 3))
    assert (moved > 0).all()


@pytest.mark.parametrize("cell", ["logic", "conv"])
@pytest.mark.parametrize("chunk", [1, 3, 4, 7])
def test_chunks_equal_the_whole(cell: CellKind, chunk: int) -> None:
    torch.manual_seed(0)
    network = UpAttLLSTM(NetworkConfig(channels=(4, 8), hidden=4, cell=cell))
    sequences, presence, _, _ = random_input(network, (7, 8, 9))
    grid = axial_grid((0, 0, 0), (2.0, 0.9, 0.9), (7, 16, 18))
    values = NetworkInput(sequences.numpy(), presence.numpy(), grid, grid, (0.0, 0.0, 0.0))
    predictor = TorchPredictor(network)
    whole = run_model(values, predictor, _spec(network))
    parts = run_model(values, predictor, _spec(network), chunk_slices=chunk)
    np.testing.assert_allclose(parts.voxels, whole.voxels, atol=1e-5)


def _spec(network: UpAttLLSTM) -> ModelSpec:
    return ModelSpec(
        name="test",
        version="0",
        sha256="0" * 64,
        input=InputSpec(roles=tuple(Role), divisor=network.config.divisor),
        state_channels=network.config.hidden,
        threshold=0.5,
        min_volume_mm3=0,
        intended_use="tests",
        training_data="none",
    )
