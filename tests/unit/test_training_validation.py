"""What is noted, while a network is trained, of cases that it is not trained on."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tiny_training import noisy_case, tiny_config
from training.architectures import build
from training.cohort_errors import CohortError
from training.config import TrainConfig
from training.dataset import Mask, PreparedCase, load_cohort, save
from training.network import NetworkConfig, Output
from training.train import train
from training.validation import Validation


class Darkness(nn.Module):
    """Calls dark voxels of the first sequence a clot, or nothing."""

    def __init__(self, *, sees: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(-10.0 if sees else 0.0))

    def forward(self, sequences: Tensor, presence: Tensor) -> Output:
        """Return one level, as networks do that are not trained."""
        assert not self.training
        assert bool(presence.all())
        nothing = sequences.new_zeros(0)
        return Output([self.weight * (sequences[:, :, 0] + 2) - 1e-3], nothing, nothing)


def clear_case(*, with_clot: bool) -> PreparedCase:
    """Return a case with nothing but its clot to be seen."""
    case = noisy_case(1, with_clot=with_clot)
    sequences = np.where(case.target[:, None], np.float32(-4), np.float32(0))
    shown = np.broadcast_to(sequences, case.network_input.sequences.shape)
    return replace(case, network_input=replace(case.network_input, sequences=shown))


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    config = replace(tiny_config(tmp_path), validation=tmp_path / "validation")
    for seed in range(2):
        save(noisy_case(seed), tmp_path / "cohort" / f"{seed:04d}")
        save(noisy_case(10 + seed, with_clot=seed == 0), tmp_path / "validation" / f"{seed:04d}")
    return config


def noted(config: TrainConfig) -> dict[int, dict[str, float]]:
    lines = (config.output / "log.jsonl").read_text().splitlines()
    return {line["step"]: line for line in map(json.loads, lines)}


def test_validation_is_noted_at_every_checkpoint_and_changes_no_weight(
    config: TrainConfig, tmp_path: Path
) -> None:
    run = train(config)
    steps = noted(config)
    assert [step for step in steps if "validation_loss" in steps[step]] == [3, 6]
    validation = Validation(load_cohort(tmp_path / "validation"), config)
    # Of the averaged weights, which are the ones released.
    averaged = validation.measure(run.average.module)
    assert {name: steps[6][name] for name in averaged} == averaged
    assert validation.measure(run.network) != averaged
    without = train(replace(config, validation=None, output=tmp_path / "without"))
    assert not any("validation_loss" in line for line in noted(without.config).values())
    for name, tensor in without.average.state_dict().items():
        assert torch.equal(run.average.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    "slabs", [((2, 0, 0),), ((8, 48, 48),), ((1, 16, 16),)], ids=["planes", "larger", "thin"]
)
@pytest.mark.parametrize("neighbours", [0, 1])
def test_every_slab_shows_its_clot_whatever_its_size(
    config: TrainConfig, slabs: tuple[tuple[int, int, int], ...], neighbours: int
) -> None:
    network = NetworkConfig(channels=(4, 8), hidden=4, neighbours=neighbours)
    for seed in range(8):
        changed = replace(config, slabs=slabs, network=network, seed=seed)
        case = replace(clear_case(with_clot=True), target=one_slice())
        measured = Validation([case], changed).measure(build(network))
        assert all(map(math.isfinite, measured.values()))


def one_slice() -> Mask:
    target = np.zeros((6, 32, 32), bool)
    target[3, 10:14, 20:24] = True
    return target


def test_dice_is_of_the_cases_that_have_a_clot(config: TrainConfig) -> None:
    cases = [clear_case(with_clot=True), clear_case(with_clot=False)]
    validation = Validation(cases, config)
    right, wrong = Darkness(sees=True), Darkness(sees=False)
    perfect, nothing = validation.measure(right), validation.measure(wrong)
    assert perfect["validation_dice"] == 1
    assert nothing["validation_dice"] == 0
    assert perfect["validation_loss"] < nothing["validation_loss"]
    assert right.training
    right.eval()
    # The same slabs, and the mode is left as it was.
    assert validation.measure(right) == perfect
    assert not right.training


def test_cases_that_can_show_nothing_are_refused(config: TrainConfig) -> None:
    with pytest.raises(CohortError, match=r"none of the 1 cases in .*validation has a label"):
        Validation([clear_case(with_clot=False)], config)
    with pytest.raises(CohortError, match=r"there are no cases in .*absent"):
        train(replace(config, validation=Path("absent")))
    for folder in (config.cohort, Path("further")):
        with pytest.raises(ValueError, match=f"validation, {folder}, are trained on as well"):
            replace(config, further_cohorts=(Path("further"),), validation=folder)
