"""A simulated cohort on disk, and the options that decide what is in it."""

from pathlib import Path

import typer
from typer.testing import CliRunner

from training.dataset import load_cohort
from training.make_cohort import main

# Its clot lies in an M3 where all arteries are drawn alike, in an M1 where they are not.
SEED = 8
OPTIONS = ["--site", "D", "--count", "1", "--seed", str(SEED), "--processes", "1"]


def test_a_cohort_is_written_once_and_never_mixed_with_another(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    command = [*OPTIONS, "--out", str(tmp_path), "--even-occlusions"]
    made = CliRunner().invoke(app, [*command, "--with-clot"])
    assert made.exit_code == 0, made.output
    (case,) = load_cohort(tmp_path)
    assert case.parameters["site"] == "D"
    assert case.network_input.presence.all()
    assert case.target.any()
    assert case.parameters["patient"]["clot"]["site"] == "M3"

    for difference, options in {
        "with-clot": [*command, "--without-clot"],
        "even-occlusions": [*command[:-1], "--with-clot"],
    }.items():
        other = CliRunner().invoke(app, options)
        assert other.exit_code == 2
        assert difference in other.output
