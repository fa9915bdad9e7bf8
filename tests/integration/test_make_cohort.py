"""A simulated cohort on disk, and the options that decide what is in it."""

from pathlib import Path

import typer
from typer.testing import CliRunner

from training.dataset import load_cohort
from training.make_cohort import main

OPTIONS = ["--site", "D", "--count", "1", "--seed", "7", "--processes", "1"]


def test_a_cohort_is_written_once_and_never_mixed_with_another(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    command = [*OPTIONS, "--out", str(tmp_path), "--without-clot", "--even-occlusions"]
    made = CliRunner().invoke(app, command)
    assert made.exit_code == 0, made.output
    (case,) = load_cohort(tmp_path)
    assert case.parameters["site"] == "D"
    assert case.network_input.presence.all()
    assert not case.target.any()

    other = CliRunner().invoke(app, command[:-1])
    assert other.exit_code == 2
    assert "even-occlusions" in other.output
