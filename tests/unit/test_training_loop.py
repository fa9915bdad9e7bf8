"""Training: data, loss, schedule, and a killed run that ends like one that was not."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from tests.tiny_training import noisy_case, tiny_config
from training.architectures import AnyNetworkConfig, build
from training.baselines import AnisotropicUnetConfig, AttentionUnetConfig
from training.batches import draw_batch
from training.cohort_errors import CohortError
from training.config import AimConfig, ConfigError, TrainConfig
from training.dataset import draw_slab, load_cohort, save
from training.losses import SegmentationLoss
from training.network import NetworkConfig
from training.place import Place
from training.train import DivergedError, ResumeError, Run, learning_rate, main, train
from training.weights import averaged_network, save_weights


def _log(config: TrainConfig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (config.output / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def cohort(tmp_path: Path) -> TrainConfig:
    config = tiny_config(tmp_path)
    config.cohort.mkdir()
    for seed in range(3):
        save(noisy_case(seed, with_clot=seed != 2), config.cohort / f"{seed:04d}")
    return config


def test_prepared_case_comes_back_from_disk(cohort: TrainConfig) -> None:
    (cohort.cohort / "0009.partial").mkdir()
    cases = load_cohort(cohort.cohort)
    assert len(cases) == 3
    wanted = noisy_case(1)
    np.testing.assert_array_equal(cases[1].target, wanted.target)
    np.testing.assert_allclose(
        cases[1].network_input.sequences, wanted.network_input.sequences, atol=4e-3
    )
    assert cases[1].network_input.grid.same_grid(wanted.network_input.grid)
    assert cases[1].parameters == {"seed": 1, "site": "A"}


def test_killed_and_resumed_run_ends_with_the_same_weights(
    cohort: TrainConfig, tmp_path: Path
) -> None:
    whole = train(cohort)
    other = replace(cohort, output=tmp_path / "other")
    # Killed after step 4: the checkpoint is of step 3, so step 4 is made again.
    train(other, stop_after=4)
    resumed = train(other, resume=True)
    assert resumed.step == whole.step == 6
    for name, tensor in whole.average.state_dict().items():
        assert torch.equal(resumed.average.state_dict()[name], tensor), name
    steps = [record["step"] for record in _log(other)]
    assert steps == [1, 2, 3, 4, 4, 5, 6]


def test_a_step_whose_gradient_is_no_number_spoils_no_weights(cohort: TrainConfig) -> None:
    run = Run(cohort)
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    sequences, presence, target = draw_batch(load_cohort(cohort.cohort), 0, cohort)
    with pytest.raises(DivergedError, match=r"step 1: .* nan.*lower learning_rate"):
        run.advance((sequences * float("nan"), presence, target))
    for name, tensor in run.network.state_dict().items():
        assert torch.equal(before[name], tensor), name
    assert run.step == 0


def test_a_run_can_start_from_released_weights(cohort: TrainConfig, tmp_path: Path) -> None:
    torch.manual_seed(5)
    released = build(cohort.network)
    save_weights(released, tmp_path / "weights.pt")
    start = Run(replace(cohort, initial=tmp_path / "weights.pt"))
    for name, tensor in released.state_dict().items():
        assert torch.equal(start.network.state_dict()[name], tensor)
        assert torch.equal(start.average.module.state_dict()[name], tensor)
    other = replace(cohort, initial=tmp_path / "weights.pt", network=NetworkConfig(hidden=8))
    with pytest.raises(ValueError, match="of another network"):
        Run(other)


def test_a_run_is_not_resumed_under_another_configuration(cohort: TrainConfig) -> None:
    train(cohort, stop_after=3)
    with pytest.raises(ResumeError, match="another steps, learning_rate"):
        train(replace(cohort, steps=7, learning_rate=1e-4), resume=True)
    other = Run(cohort)
    other.place = Place(0, 2, torch.device("cpu"))
    with pytest.raises(ResumeError, match="written by 1 processes, not by 2"):
        other.resume(cohort.output / "checkpoint.pt")
    # Threads change the speed alone.
    assert train(replace(cohort, threads=2), resume=True).step == 6


def test_a_case_that_is_still_being_written_is_not_read(cohort: TrainConfig) -> None:
    whole = load_cohort(cohort.cohort)
    half = cohort.cohort / "0009-A.partial"
    half.mkdir()
    (half / "case.json").write_text("{}")
    assert len(load_cohort(cohort.cohort)) == len(whole)
    shutil.rmtree(half)


@pytest.mark.parametrize(
    "network",
    [
        NetworkConfig(channels=(4, 8), hidden=4),
        AttentionUnetConfig("attention_unet_2d", channels=(4, 8)),
        AnisotropicUnetConfig("unet_3d", channels=(4, 8, 8, 16)),
    ],
    ids=lambda network: network.kind,
)
def test_training_learns_a_dark_box(cohort: TrainConfig, network: AnyNetworkConfig) -> None:
    longer = replace(cohort, steps=60, slabs=((4, 32, 32),), learning_rate=1e-2, network=network)
    run = train(longer)
    losses = [record["loss"] for record in _log(longer)]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert run.step == 60


def test_learning_rate_warms_up_and_decays(tmp_path: Path) -> None:
    config = replace(tiny_config(tmp_path), steps=1000, warmup_steps=100, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) in (99, 100)
    assert rates[-1] == pytest.approx(0.02, abs=1e-3)
    assert all(later <= earlier for earlier, later in pairwise(rates[100:]))


def test_slabs_are_mostly_around_the_clot() -> None:
    rng = np.random.default_rng(0)
    case = noisy_case(0)
    hits = [draw_slab(case, (2, 8, 8), rng).target.any() for _ in range(400)]
    assert 0.6 < np.mean(hits) < 0.9
    assert draw_slab(case, (2, 8, 8), rng).sequences.shape == (2, 6, 8, 8)


def test_slabs_are_cut_around_mimics_as_often_as_aimed() -> None:
    rng = np.random.default_rng(0)
    case = replace(noisy_case(0), mimics=np.array([[5, 30, 2]]))
    aim = AimConfig(clots=0.3, mimics=0.6)
    at_mimic = np.float32(case.network_input.sequences[5, 0, 30, 2])
    slabs = [draw_slab(case, (3, 12, 12), rng, aim=aim) for _ in range(400)]
    assert 0.25 < np.mean([slab.target.any() for slab in slabs]) < 0.45
    assert 0.55 < np.mean([(slab.sequences == at_mimic).any() for slab in slabs]) < 0.75


def test_where_nothing_was_taken_for_a_clot_slabs_lie_anywhere() -> None:
    rng = np.random.default_rng(0)
    case = noisy_case(0, with_clot=False)
    starts = {
        draw_slab(case, (1, 8, 8), rng, aim=AimConfig(0.0, 1.0)).sequences[0, 0, 0, 0]
        for _ in range(60)
    }
    assert len(starts) > 40


def test_training_reads_the_mimics_of_its_cohort(tmp_path: Path) -> None:
    for number in range(2):
        save(noisy_case(number), tmp_path / "cohort" / f"{number}")
    file = tmp_path / "mimics.json"
    aim = AimConfig(clots=0.5, mimics=0.5)
    config = replace(tiny_config(tmp_path), aim=aim, mimics=file, steps=2)
    file.write_text('{"0": [[1, 2, 3]], "1": []}')
    aimed = train(config)
    plain = train(replace(config, output=tmp_path / "plain", aim=AimConfig(0.5), mimics=None))
    assert not _same_weights(aimed, plain)
    file.write_text('{"0": [[1, 2, 3]]}')
    with pytest.raises(CohortError, match="nothing about case '1'"):
        train(replace(config, output=tmp_path / "other"))


def _same_weights(one: Run, other: Run) -> bool:
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    return all(torch.equal(mine, yours) for mine, yours in pairs)


@pytest.mark.parametrize(
    "lines",
    ["[aim]\nmimics = 0.2", 'mimics = "mimics.json"', "[aim]\nclots = 0.7\nmimics = 0.4"],
)
def test_an_aim_that_cannot_be_is_refused(tmp_path: Path, lines: str) -> None:
    file = tmp_path / "aim.toml"
    base = Path(__file__).parents[2] / "training/configs/release.toml"
    file.write_text(f'base = "{base}"\n{lines}\n')
    with pytest.raises(ConfigError, match=r"mimics|more than all"):
        TrainConfig.read(file)


def test_slab_larger_than_the_case_is_padded_with_zeros() -> None:
    slab = draw_slab(noisy_case(0), (8, 40, 40), np.random.default_rng(0))
    assert slab.sequences.shape == (8, 6, 40, 40)
    assert (slab.sequences[6:] == 0).all()
    assert slab.target.sum() == 32


def test_slices_beside_a_slab_are_those_of_the_case_and_zeros_beyond_it() -> None:
    case = noisy_case(0)
    whole = np.asarray(case.network_input.sequences, np.float32)
    count = len(case.target)
    starts = set()
    for seed in range(40):
        slab = draw_slab(
            case, (2, *case.target.shape[1:]), np.random.default_rng(seed), neighbours=2
        )
        assert slab.target.shape[0] == 2
        padded = np.pad(whole, ((2, 2), (0, 0), (0, 0), (0, 0)))
        (start,) = [n for n in range(count - 1) if (padded[n : n + 6] == slab.sequences).all()]
        assert (case.target[start : start + 2] == slab.target).all()
        starts.add(start)
    assert {0, count - 2} <= starts


def test_case_smaller_than_the_slab_has_zeros_beside_it() -> None:
    slab = draw_slab(noisy_case(0), (8, 40, 40), np.random.default_rng(0), neighbours=1)
    assert slab.sequences.shape == (10, 6, 40, 40)
    assert not slab.sequences[0].any()
    assert slab.sequences[1].any()
    assert not slab.sequences[7:].any()


def test_loss_prefers_the_truth_and_punishes_false_alarms() -> None:
    loss = SegmentationLoss()
    target = torch.zeros(1, 2, 16, 16)
    target[0, 1, 4:7, 4:7] = 1
    right = 20 * (target - 0.5)
    shifted = right.roll(2, dims=-1)
    assert loss([right], target) < 0.02
    assert loss([shifted], target) > 0.5
    empty = torch.zeros_like(target)
    assert loss([right], empty) > loss([torch.full_like(right, -10.0)], empty) + 0.5


def test_coarse_levels_are_compared_with_the_pooled_target() -> None:
    loss = SegmentationLoss()
    target = torch.zeros(1, 1, 8, 8)
    target[0, 0, 3, 3] = 1
    fine = 20 * (target - 0.5)
    coarse = torch.full((1, 1, 4, 4), -10.0)
    coarse[0, 0, 1, 1] = 10.0
    assert loss([fine, coarse], target) < 0.02
    assert loss([fine, -coarse], target) > 0.3


def test_config_file_is_read_and_unknown_keys_are_refused(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "training/configs/release.toml").read_text()
    config = TrainConfig.read(Path(__file__).parents[2] / "training/configs/release.toml")
    assert isinstance(config.network, NetworkConfig)
    assert config.network.cell == "logic"
    assert set(config.expected) == {"dice", "cost"}
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("learningrate = 1.0\n" + text)
    with pytest.raises(ConfigError, match=r"wrong.toml: learningrate: Unexpected"):
        TrainConfig.read(wrong)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("steps = 0", "steps: Input should be greater than 0"),
        ("[dropout]\nrate = 1.0", "rate 1.0 would always hit SUSC: below 1"),
        ("[dropout]\ndegree_course = 'slow'", "dropout.degree_course"),
        ("[network]\nkind = 'unet_4d'", "unet_4d"),
        ("[network]\nkind = 'unet_3d'\ncell = 'logic'", r"cell: Unexpected"),
        ("base = 'other.toml'", "other.toml cannot be read"),
        ("base = 'changed.toml'", "is its own base"),
    ],
)
def test_wrong_values_are_named(line: str, message: str, tmp_path: Path) -> None:
    complete = "cohort = 'c'\noutput = 'o'\nseed = 1\nsteps = 5\nslabs = [[1, 16, 16]]\n"
    (tmp_path / "base.toml").write_text(complete)
    changed = tmp_path / "changed.toml"
    changed.write_text(line if line.startswith("base") else f"base = 'base.toml'\n{line}\n")
    with pytest.raises(ConfigError, match=message):
        TrainConfig.read(changed)


def test_file_changes_values_of_its_base_table_by_table(tmp_path: Path) -> None:
    complete = "cohort = 'c'\noutput = 'o'\nseed = 1\nsteps = 5\nslabs = [[1, 16, 16]]\n"
    (tmp_path / "base.toml").write_text(
        complete + "[dropout]\nrate = 0.4\nnoise = 0.2\n[network]\nhidden = 8\n"
    )
    (tmp_path / "arms").mkdir()
    arm = tmp_path / "arms" / "arm.toml"
    arm.write_text("base = '../base.toml'\nsteps = 7\n[dropout]\nrate = 0.1\n")
    config = TrainConfig.read(arm)
    assert (config.steps, config.seed) == (7, 1)
    assert (config.dropout.rate, config.dropout.noise) == (0.1, 0.2)
    assert config.network == NetworkConfig(hidden=8)
    # Another kind of network keeps nothing of the former.
    arm.write_text("base = '../base.toml'\n[network]\nkind = 'unet_3d'\n")
    assert TrainConfig.read(arm).network == AnisotropicUnetConfig("unet_3d")
    arm.write_text("base = '../base.toml'\n[network]\nkind = 'unet_3d'\nchannels = [4, 8, 16]\n")
    with pytest.raises(ConfigError, match="supervised_levels: 3 of 3 channels"):
        TrainConfig.read(arm)


def test_loaders_change_nothing_but_the_time(cohort: TrainConfig, tmp_path: Path) -> None:
    one = train(cohort)
    three = train(replace(cohort, loaders=3, output=tmp_path / "three"))
    for name, tensor in one.average.state_dict().items():
        assert torch.equal(three.average.state_dict()[name], tensor), name


def test_course_of_a_run_is_on_tensorboard(cohort: TrainConfig) -> None:
    train(cohort, stop_after=4)
    # Files of curves are read in the order of their seconds.
    time.sleep(1.1)
    train(cohort, resume=True)
    curves = EventAccumulator(str(cohort.output / "curves"))
    curves.Reload()
    noted = {event.step: event.value for event in curves.Scalars("loss")}
    assert list(noted) == [1, 2, 3, 4, 5, 6]
    assert noted[6] == pytest.approx(_log(cohort)[-1]["loss"])


def test_two_processes_of_torchrun_end_with_the_same_weights(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    config.cohort.mkdir()
    for seed in range(2):
        save(noisy_case(seed), config.cohort / f"{seed:04d}")
    save(noisy_case(5), tmp_path / "validation" / "0005")
    file = tmp_path / "run.toml"
    file.write_text(
        f"cohort = '{config.cohort}'\noutput = '{config.output}'\nseed = 3\nsteps = 4\n"
        "slabs = [[3, 16, 16]]\nthreads = 1\nbfloat16 = false\ncheckpoint_steps = 2\n"
        f"validation = '{tmp_path / 'validation'}'\n"
        "[network]\nchannels = [4, 8]\nhidden = 4\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*command, "-m", "training.train", str(file)], env=environment, check=True, timeout=240
    )
    together = averaged_network(config.output / "checkpoint.pt").state_dict()
    # Gradients are averaged: two processes end where one does with the slabs of both.
    alone = _train_on_both(TrainConfig.read(file))
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, atol=1e-5, rtol=1e-4)
    assert [record["step"] for record in _log(config)] == [1, 2, 3, 4]
    assert ["validation_loss" in record for record in _log(config)] == [False, True] * 2


def _train_on_both(config: TrainConfig) -> dict[str, torch.Tensor]:
    """Train in one process on the slabs of two."""
    torch.set_num_threads(1)
    cases = load_cohort(config.cohort)
    run = Run(config)
    for step in range(config.steps):
        first, second = (draw_batch(cases, step, config, rank) for rank in (0, 1))
        sequences, presence, target = (torch.cat(pair) for pair in zip(first, second, strict=True))
        run.advance((sequences, presence, target))
    return dict(run.average.module.state_dict())


def test_a_cohort_without_anything_to_find_is_refused(cohort: TrainConfig) -> None:
    shutil.rmtree(cohort.cohort)
    for seed in range(2):
        save(noisy_case(seed, with_clot=False), cohort.cohort / f"{seed:04d}")
    with pytest.raises(CohortError, match="none of the 2 cases"):
        train(cohort)


def test_wrong_configuration_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    command = typer.Typer()
    command.command()(main)
    refused = CliRunner().invoke(command, [str(tmp_path / "absent.toml")])
    assert refused.exit_code == 2
    assert "cannot be read" in " ".join(refused.output.replace("│", " ").split())
