"""Numbers below the normal ones are zero while networks are trained or measured, and only then."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tiny_training import noisy_case, tiny_config
from training.batches import Batch
from training.dataset import save
from training.denormals import DENORMAL, denormals_are_zero
from training.network import Output
from training.torch_predictor import TorchPredictor
from training.train import Run, train


def doubled() -> float:
    return float(torch.tensor(DENORMAL) * torch.tensor(2.0))


def test_what_was_before_is_restored() -> None:
    assert doubled() > 0
    with denormals_are_zero():
        assert doubled() == 0
        with denormals_are_zero():
            assert doubled() == 0
        assert doubled() == 0
    assert doubled() > 0
    with pytest.raises(RuntimeError, match="broken"), denormals_are_zero():
        raise RuntimeError("broken")
    assert doubled() > 0


def test_steps_of_a_training_are_made_without_denormals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(noisy_case(1), tmp_path / "cohort" / "0001")
    seen = []

    def advance(run: Run, batch: Batch) -> dict[str, float]:
        seen.append(doubled())
        return step(run, batch)

    step = Run.advance
    monkeypatch.setattr(Run, "advance", advance)
    config = tiny_config(tmp_path)
    train(config)
    assert seen == [0.0] * config.steps
    assert doubled() > 0


class Smallness(nn.Module):
    """Answers one where denormal numbers are not zero."""

    def forward(self, sequences: Tensor, presence: Tensor) -> Output:
        """Return one level."""
        assert bool(presence.all())
        nothing = sequences.new_zeros(0)
        left = float(doubled() > 0)
        return Output([torch.full_like(sequences[:, :, 0], left)], nothing, nothing)


def test_a_network_is_measured_without_denormals() -> None:
    ones = np.ones((2, 6, 4, 4), np.float32)
    answer = TorchPredictor(Smallness()).predict(ones, np.ones(6, np.float32), ones, ones)
    assert np.all(answer.probability == 0.5)
    assert doubled() > 0
