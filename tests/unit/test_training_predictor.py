"""A PyTorch network behind the interface of the served one."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from service.stages.run_model import run_model
from tests.evaluated import GRID, SPEC, case
from training.network import NetworkConfig, UpAttLLSTM
from training.torch_predictor import TorchPredictor


class Answer(NamedTuple):
    logits: list[Tensor]


class Weighted(nn.Module):
    """Adds up the sequences that are there; noisy while it is trained."""

    def __init__(self, change: Callable[[Tensor], Tensor] = lambda logits: logits) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.dropout = nn.Dropout(0.9)
        self.change = change

    def forward(self, sequences: Tensor, presence: Tensor) -> Answer:
        summed = (sequences * presence[:, None, :, None, None]).sum(2)
        return Answer([self.change(self.dropout(self.weight * summed)), summed[:, :, ::2, ::2]])


def test_answer_is_the_sigmoid_of_the_finest_logits_and_states_pass_through() -> None:
    rng = np.random.default_rng(0)
    sequences = rng.normal(size=(5, 6, 8, 12)).astype(np.float32)
    presence = np.array([1, 0, 1, 1, 0, 0], np.float32)
    up, down = (np.full((2, 1, 1, 1), value, np.float32) for value in (3, 4))
    network = Weighted().train()
    prediction = TorchPredictor(network).predict(sequences, presence, up, down)
    logits = 0.5 * (sequences * presence[:, None, None]).sum(1)
    np.testing.assert_allclose(prediction.probability, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    assert prediction.probability.dtype == np.float32
    assert prediction.forward_state is up
    assert prediction.backward_state is down
    assert not network.training


def test_no_gradient_is_kept() -> None:
    answers: list[Tensor] = []

    def watched(logits: Tensor) -> Tensor:
        answers.append(logits)
        return logits

    run_model(case().network_input, TorchPredictor(Weighted(watched)), SPEC)
    assert [answer.requires_grad for answer in answers] == [False]


def test_it_runs_in_the_served_path() -> None:
    probability = run_model(case().network_input, TorchPredictor(Weighted()), SPEC)
    assert probability.geometry is GRID
    # Six sequences of ones at a weight of one half.
    np.testing.assert_allclose(probability.voxels, 1 / (1 + np.exp(-3.0)), rtol=1e-6)


def test_bfloat16_is_near_and_answers_in_float32() -> None:
    network = UpAttLLSTM(NetworkConfig(channels=(4, 8), hidden=4))
    sequences = np.random.default_rng(0).normal(size=(5, 6, 16, 12)).astype(np.float32)
    presence, state = np.ones(6, np.float32), np.zeros((2, 4, 8, 6), np.float32)
    exact, near = (
        TorchPredictor(network, bfloat16=chosen).predict(sequences, presence, state, state)
        for chosen in (False, True)
    )
    assert near.probability.dtype == np.float32
    assert 0 < np.abs(exact.probability - near.probability).max() < 0.05


@pytest.mark.parametrize(
    "change", [lambda logits: logits[:, :-1], lambda logits: logits[:, None]], ids=["short", "axis"]
)
def test_an_answer_of_another_shape_is_refused(change: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match=r"logits have the shape .* expected \(1, 8, 32, 32\)"):
        run_model(case().network_input, TorchPredictor(Weighted(change)), SPEC)
