"""How a training run starts, goes on after it was killed, and what it says if it cannot."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from tests.tiny_model import NAME, VERSION, install_tiny_model
from tests.tiny_training import noisy_case, tiny_config
from training.architectures import build
from training.batches import draw_batch
from training.cohort_errors import CohortError
from training.config import ConfigError, TrainConfig
from training.dataset import save
from training.export_onnx import export, servable
from training.train import CHECKPOINT, ResumeError, Run, main, train
from training.weights import averaged_network, load_weights, save_weights

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    for seed in range(2):
        save(noisy_case(seed), tmp_path / "cohort" / f"{seed:04d}")
    # Long enough to be killed in the middle.
    return replace(
        tiny_config(tmp_path), steps=200, slabs=((3, 16, 16),), batch=1, checkpoint_steps=5
    )


def _written(config: TrainConfig, file: Path) -> Path:
    """Write a configuration as somebody would."""
    file.write_text(
        f"cohort = '{config.cohort}'\noutput = '{config.output}'\nseed = {config.seed}\n"
        f"steps = {config.steps}\nslabs = [[3, 16, 16]]\nthreads = 1\nbfloat16 = false\n"
        f"warmup_steps = 2\ncheckpoint_steps = {config.checkpoint_steps}\n"
        "[network]\nchannels = [4, 8]\nhidden = 4\n"
    )
    return file


def _same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name, tensor in one.items():
        assert torch.equal(other[name], tensor), name


def test_a_run_that_was_killed_by_the_system_goes_on_to_the_same_weights(
    config: TrainConfig, tmp_path: Path
) -> None:
    whole = train(replace(config, output=tmp_path / "whole"))
    command = [sys.executable, "-m", "training.train", str(_written(config, tmp_path / "run.toml"))]
    run = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})
    checkpoint = config.output / CHECKPOINT
    end = time.monotonic() + 120
    while not checkpoint.exists():
        assert run.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert torch.load(checkpoint, weights_only=True)["step"] < config.steps
    # What was half written does not count.
    checkpoint.with_suffix(".partial").write_bytes(b"half a checkpoint")
    resumed = train(TrainConfig.read(tmp_path / "run.toml"), resume=True)
    assert resumed.step == config.steps
    _same(whole.average.state_dict(), resumed.average.state_dict())


def test_a_second_start_does_not_overwrite_a_run(config: TrainConfig) -> None:
    train(config, stop_after=5)
    before = averaged_network(config.output / CHECKPOINT).state_dict()
    with pytest.raises(ResumeError, match=r"is that of another run.*--resume"):
        train(config)
    _same(before, averaged_network(config.output / CHECKPOINT).state_dict())
    with pytest.raises(ResumeError, match=r"there is no .*elsewhere.*start without --resume"):
        train(replace(config, output=config.output / "elsewhere"), resume=True)


def test_a_model_is_trained_on_from_the_weights_beside_it(tmp_path: Path) -> None:
    torch.manual_seed(5)
    config = tiny_config(tmp_path)
    released = build(config.network)
    export(servable(released), tmp_path / "model.onnx")
    save_weights(released, tmp_path / "weights.pt")
    # The heads of coarser levels, which model.onnx has not, too.
    started = Run(replace(config, initial=tmp_path)).network
    _same(dict(released.state_dict()), dict(started.state_dict()))


def test_weights_that_do_not_fit_are_named_with_what_does(
    config: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"initial = .*absent.pt: "):
        Run(replace(config, initial=tmp_path / "absent.pt"))
    (tmp_path / "half.pt").write_bytes(b"half of some weights")
    with pytest.raises(ConfigError, match=r"initial = .*half.pt: holds no weights"):
        Run(replace(config, initial=tmp_path / "half.pt"))
    install_tiny_model(tmp_path)
    with pytest.raises(ConfigError, match=r"initial = .*: .*of another network"):
        Run(replace(config, initial=tmp_path / NAME / VERSION))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"initial = .*empty: "):
        Run(replace(config, initial=tmp_path / "empty"))


def test_what_is_lacking_is_one_line_and_no_traceback(config: TrainConfig, tmp_path: Path) -> None:
    command = typer.Typer()
    command.command()(main)
    gone = replace(config, cohort=tmp_path / "absent")
    refused = CliRunner().invoke(command, [str(_written(gone, tmp_path / "run.toml"))])
    assert refused.exit_code == 2
    assert "there are no cases in" in " ".join(refused.output.replace("│", " ").split())
    with pytest.raises(CohortError, match="absent: make or prepare the cohort first"):
        train(replace(config, further_cohorts=(tmp_path / "absent",)))


def test_whole_planes_of_several_cases_make_one_batch(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is turned may reach beyond its own plane.
    monkeypatch.setattr("training.batches.augment", lambda slab, _: slab)
    cases = [noisy_case(0), noisy_case(1, (24, 40))]
    drawn = replace(config, slabs=((2, 0, 0),), batch=8)
    sequences, presence, target = draw_batch(cases, 0, drawn)
    assert sequences.shape == (8, 2, 6, 32, 40)
    assert presence.shape == (8, 6)
    narrow = (sequences[..., 32:] == 0).all(dim=(1, 2, 3, 4))
    low = (sequences[..., 24:, :] == 0).all(dim=(1, 2, 3, 4))
    # Each is one of the two, and the draw has both.
    assert (narrow ^ low).all()
    assert narrow.any()
    assert low.any()
    assert not target[narrow][..., 32:].any()
    assert Run(drawn).advance((sequences, presence, target))["loss"] > 0


def test_slabs_that_the_network_cannot_halve_are_refused(config: TrainConfig) -> None:
    with pytest.raises(ValueError, match="must be multiples of 2, or 0"):
        replace(config, slabs=((3, 16, 15),))


def test_the_configuration_for_ones_own_patients_starts_from_what_is_shipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    config = TrainConfig.read(Path("training/configs/own-cohort.toml"))
    assert config.initial is not None
    shipped = load_weights(config.initial / "weights.pt")
    _same(dict(shipped.state_dict()), dict(Run(config).network.state_dict()))
