"""The command that prepares a cohort: parts, restarts, failures."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from service.domain.model_spec import InputSpec
from tests.bids import SUBJECT, add, add_label, ball, grid, head
from training.bids_cohort import Reading, prepare_examination
from training.bids_layout import LabelName, examinations
from training.dataset import load_cohort
from training.prepare_cohort import main
from training.split_cohort import read_part

GRID = grid()
app = typer.Typer()
app.command()(main)


def _prepare(root: Path, out: Path, *options: str) -> Result:
    command = [str(root), "--label", "clot", "--out", str(out), "--processes", "1", *options]
    return CliRunner().invoke(app, command)


def _told(result: Result) -> str:
    """Return what was said: messages stand in a frame that breaks their lines."""
    return " ".join(result.output.replace("│", " ").split())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One patient with a mask at two visits of which one has no usable image, and another."""
    folder = tmp_path / "bids"
    for session in ("ses-a", "ses-b"):
        add(folder, "dwi/trace" if session == "ses-a" else "anat/FLAIR", head(GRID), None, session)
        label = add_label(folder, ball(GRID, (20.0, 0.0, 0.0), 9.0), f"{session}_desc-clot")
        place = label.parents[1] / session / "anat"
        place.mkdir(parents=True)
        label.rename(place / f"{SUBJECT}_{session}_desc-clot_mask.nii.gz")
    (folder / "participants.tsv").write_text(f"participant_id\tcentre\n{SUBJECT}\tNorth\n")
    return folder


def test_good_cases_are_there_and_the_others_are_named(root: Path, tmp_path: Path) -> None:
    done = _prepare(root, tmp_path / "cohort")
    assert done.exit_code == 1
    assert "sub-one_ses-b failed: BAD_INPUT: neither a susceptibility" in done.output
    assert "1 cases are there, 1 failed" in done.output
    (case,) = load_cohort(tmp_path / "cohort")
    exam = examinations(root)[0]
    expected = prepare_examination(exam, "North", Reading(LabelName("clot")), InputSpec())
    assert dict(case.parameters) == dict(expected.parameters)
    np.testing.assert_array_equal(case.target, expected.target)
    np.testing.assert_allclose(
        case.network_input.sequences, expected.network_input.sequences, atol=4e-3
    )
    assert case.parameters["site"] == "North"


def test_restart_keeps_what_is_there_and_refuses_other_options(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "cohort"
    _prepare(root, out)
    before = (out / "sub-one_ses-a" / "case.json").stat()
    add(root, "dwi/trace", head(GRID), None, "ses-b")
    again = _prepare(root, out)
    assert again.exit_code == 0
    assert "2 cases are there, 0 failed" in again.output
    assert (out / "sub-one_ses-a" / "case.json").stat().st_mtime_ns == before.st_mtime_ns
    other = _prepare(root, out, "--allow-empty")
    assert other.exit_code == 2
    assert "made with allow empty false, not true" in _told(other)


def test_part_of_a_split_alone_is_prepared(root: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"parts": {"train": [], "test": [SUBJECT]}}))
    assert read_part(split, "test", [SUBJECT]) == {SUBJECT}
    done = _prepare(root, tmp_path / "train", "--split", str(split), "--part", "train")
    assert done.exit_code == 2
    assert "no patients" in done.output
    done = _prepare(root, tmp_path / "test", "--split", str(split), "--part", "test")
    assert "1 cases are there, 1 failed" in done.output
    both = _prepare(root, tmp_path / "test")
    assert both.exit_code == 2
    assert 'made with part "test", not null' in _told(both)


def test_misspelt_label_and_unknown_centre_are_said_before_anything(
    root: Path, tmp_path: Path
) -> None:
    command = [str(root), "--label", "clod", "--out", str(tmp_path / "cohort")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "labels there: clot" in " ".join(done.output.split())
    (root / "participants.tsv").unlink()
    done = _prepare(root, tmp_path / "cohort")
    assert "--centre" in done.output
    assert not (tmp_path / "cohort").exists()
