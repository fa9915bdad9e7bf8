"""Commands as a user types them, over real DICOM files and a network whose answer is known."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.entrypoints.cli.app import app
from tests.strategies import mr_series, write_instances
from tests.tiny_model import NAME, install_tiny_model, small_head
from tests.unit.test_analyse_study import SWI, T1


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Command":
    install_tiny_model(tmp_path / "models")
    monkeypatch.setenv("THROMBOLENS_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("THROMBOLENS_DEFAULT_MODEL", NAME)
    return Command()


class Command:
    def __call__(self, *words: str | Path) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_instances(mr_series(small_head(clot=True), **SWI), tmp_path / "study" / "swi")
    write_instances(mr_series(small_head(clot=True), **T1), tmp_path / "study" / "t1")
    (tmp_path / "study" / "README.txt").write_text("not DICOM")
    return tmp_path / "study"


def test_segment_writes_all_results(run: Command, study: Path, tmp_path: Path) -> None:
    outcome = run("segment", study, "--out", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.json",
        "segmentation.dcm",
        "mask.nii.gz",
        "preview.png",
    }
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["result"] == "thrombus_found"
    assert "thrombus_found" in outcome.output
    assert "Research use only" in outcome.output
    assert "IGNORED_FILES" in {warning["code"] for warning in report["warnings"]}


def test_a_zip_gives_the_same_objects_as_its_folder(
    run: Command, study: Path, tmp_path: Path
) -> None:
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", study)
    run("segment", study, "--out", tmp_path / "a")
    outcome = run("segment", archive, "--out", tmp_path / "b")
    assert outcome.exit_code == 0, outcome.output
    first, second = (tmp_path / name / "segmentation.dcm" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_a_negative_study_after_a_positive_one_leaves_no_old_segmentation(
    run: Command, study: Path, tmp_path: Path
) -> None:
    run("segment", study, "--out", tmp_path / "out")
    write_instances(mr_series(small_head(clot=False), **SWI), tmp_path / "negative")
    outcome = run("segment", tmp_path / "negative", "--out", tmp_path / "out")
    assert outcome.exit_code == 0
    assert not (tmp_path / "out" / "segmentation.dcm").exists()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["result"] == "no_thrombus_found"


def test_insufficient_input_is_a_result_not_a_failure(
    run: Command, study: Path, tmp_path: Path
) -> None:
    shutil.rmtree(study / "swi")
    outcome = run("segment", study, "--out", tmp_path / "out")
    assert outcome.exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]
    assert "insufficient_input" in outcome.output


def test_classify_shows_labels_and_gives_json(run: Command, study: Path) -> None:
    shown = run("classify", study)
    assert shown.exit_code == 0
    assert "SWI" in shown.output
    document = json.loads(run("classify", study, "--json").output)
    assert {volume["label"] for volume in document["volumes"]} == {"SWI", "T1"}
    assert all(volume["evidence"] for volume in document["volumes"])
    assert "PHASE" in document["missing_roles"]


@pytest.mark.parametrize("command", ["segment", "classify"])
def test_what_is_not_dicom_is_named_and_nothing_is_written(
    run: Command, tmp_path: Path, command: str
) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("hello")
    out: list[str | Path] = ["--out", tmp_path / "out"] if command == "segment" else []
    outcome = run(command, tmp_path / "letters", *out)
    assert outcome.exit_code == 1
    assert "NOT_DICOM" in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_unknown_model_is_named(run: Command, study: Path, tmp_path: Path) -> None:
    outcome = run("segment", study, "--out", tmp_path / "out", "--model", "nothing:9")
    assert outcome.exit_code == 1
    assert "UNKNOWN_MODEL" in outcome.stderr
    assert NAME in outcome.stderr


def test_bad_setting_is_named(run: Command, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THROMBOLENS_MAX_SLICES", "many")
    outcome = run("classify", study)
    assert outcome.exit_code == 1
    assert "THROMBOLENS_MAX_SLICES" in outcome.stderr
