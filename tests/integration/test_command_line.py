"""Commands as a user types them, over real DICOM files and a network whose answer is known."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.domain.report import RESEARCH_USE_NOTICE
from service.entrypoints.cli.app import app
from service.stages.sequence_rules import RULES
from tests.strategies import mr_series, uid, write_instances
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
        "structured_report.dcm",
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
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"report.json", "structured_report.dcm"}
    assert "insufficient_input" in outcome.output


def classified(run: Command, study: Path, *options: str | Path) -> dict[str, Any]:
    outcome = run("classify", study, "--json", *options)
    assert outcome.exit_code == 0, outcome.output
    document: dict[str, Any] = json.loads(outcome.stdout)
    return document


def cut_pixels(study: Path) -> None:
    """End every file of the folder in the middle of its pixels."""
    for path in study.rglob("*.dcm"):
        path.write_bytes(path.read_bytes()[:-200])


def test_classify_shows_labels_roles_and_reasons(run: Command, study: Path) -> None:
    shown = run("classify", study)
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert f"Study {uid('study')}" in lines
    assert any("SWI" in line and "SUSC" in line for line in lines)
    assert any("t1_mprage" in line and "T1" in line and "NOT" in line for line in lines)
    assert "Missing roles: PHASE, DWI, ADC, FLAIR, TOF" in lines
    assert "Headers only" not in shown.output
    assert "Research use only" in shown.output


def test_classify_gives_json(run: Command, study: Path) -> None:
    document = classified(run, study)
    series = document.pop("series")
    assert document == {
        "study_instance_uid": uid("study"),
        "studies": [
            {
                "study_instance_uid": uid("study"),
                "missing_roles": ["PHASE", "DWI", "ADC", "FLAIR", "TOF"],
                "derived_roles": {},
                "duplicate_instances": 0,
            }
        ],
        "pixels_read": True,
        "ignored_files": 1,
        "damaged_files": [],
        "research_use_notice": RESEARCH_USE_NOTICE,
    }
    assert [each["series_instance_uid"] for each in series] == [uid("t1"), uid("swi")]
    (t1,), (swi,) = (each["volumes"] for each in series)
    assert (t1["label"], t1["role"], t1["reason_code"]) == ("T1", None, "NOT_AN_INPUT")
    assert (swi["label"], swi["role"], swi["reason"]) == ("SWI", "SUSC", None)
    for volume in (t1, swi):
        assert 0.5 < volume["confidence"] <= 1
        assert volume["evidence"][0]["label"]


def test_classify_shows_every_study_of_a_folder(run: Command, tmp_path: Path) -> None:
    for name in ("1.2.30", "1.2.4"):
        own = {"StudyInstanceUID": name, "SeriesInstanceUID": f"{name}.1"}
        write_instances(mr_series(small_head(clot=True), **SWI | own), tmp_path / "disk" / name)
    document = classified(run, tmp_path / "disk")
    assert document["study_instance_uid"] is None
    assert [study["study_instance_uid"] for study in document["studies"]] == ["1.2.30", "1.2.4"]
    assert [
        (each["study_instance_uid"], each["volumes"][0]["role"]) for each in document["series"]
    ] == [("1.2.30", "SUSC"), ("1.2.4", "SUSC")]
    shown = run("classify", tmp_path / "disk").output
    assert [line for line in shown.splitlines() if line.startswith("Study")] == [
        "Study 1.2.30",
        "Study 1.2.4",
    ]
    assert shown.count("SWI_Images") == 2


def test_classify_of_a_folder_without_dicom_is_an_answer(run: Command, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("hello")
    document = classified(run, tmp_path / "letters")
    assert document["study_instance_uid"] is None
    assert (document["studies"], document["series"]) == ([], [])
    assert document["ignored_files"] == 1
    shown = run("classify", tmp_path / "letters")
    assert shown.exit_code == 0
    assert "No DICOM instance; files that are not DICOM: 1" in shown.stdout.splitlines()


def test_classify_without_pixels_reads_none(run: Command, study: Path) -> None:
    cut_pixels(study)
    document = classified(run, study, "--no-pixels")
    assert (document["pixels_read"], document["damaged_files"]) == (False, [])
    labels = [each["volumes"][0]["label"] for each in document["series"]]
    assert labels == ["T1", "SWI"]
    assert "Headers only" in run("classify", study, "--no-pixels").output


def test_classify_with_pixels_names_what_is_damaged(run: Command, study: Path) -> None:
    cut_pixels(study / "swi")
    document = classified(run, study)
    assert len(document["damaged_files"]) == 17
    assert uid(uid("swi"), 0) in " ".join(document["damaged_files"])
    assert [each["instances"] for each in document["series"]] == [17, 17]
    shown = run("classify", study)
    assert shown.exit_code == 0
    assert shown.output.count("DAMAGED_FILE: instance") == 17


OVERRIDES = """
version: 1
overrides:
- {id: t1-is-tof, match: {SeriesDescription: T1_MPRAGE_SAG}, label: TOF}
- {id: no-swi, match: {ImageType: SWI}, role: NEVER}
"""


def test_classify_obeys_overrides_of_a_file_or_of_the_settings(
    run: Command, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, usual = tmp_path / "given.yaml", tmp_path / "usual.yaml"
    given.write_text(OVERRIDES)
    usual.write_text("version: 1\noverrides: [{id: usual, match: {EchoTime: 20}, label: T2STAR}]")
    monkeypatch.setenv("THROMBOLENS_SEQUENCE_OVERRIDES", str(usual))

    def found(*options: str | Path) -> list[tuple[str | None, str, str | None]]:
        return [
            (volume["override_id"], volume["label"], volume["role"] or volume["reason_code"])
            for series in classified(run, study, *options)["series"]
            for volume in series["volumes"]
        ]

    assert found() == [(None, "T1", "NOT_AN_INPUT"), ("usual", "T2STAR", "SUSC")]
    assert found("--overrides", given) == [
        ("t1-is-tof", "TOF", "TOF"),
        ("no-swi", "SWI", "SITE_OVERRIDE"),
    ]


@pytest.mark.parametrize("content", [None, OVERRIDES.replace("TOF", "TOFF")])
def test_bad_overrides_are_named(
    run: Command, study: Path, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "bad.yaml"
    if content is not None:
        path.write_text(content)
    outcome = run("classify", study, "--overrides", path)
    assert outcome.exit_code == 1
    assert "INVALID_OVERRIDES" in outcome.stderr
    assert str(path) in outcome.stderr
    assert outcome.stdout == ""
    if content is not None:
        assert "t1-is-tof" in outcome.stderr
        assert "'TOFF'" in outcome.stderr


def test_rules_are_a_table_in_markdown(run: Command) -> None:
    outcome = run("rules")
    assert outcome.exit_code == 0
    rows = [re.split(r"(?<!\\)\|", line) for line in outcome.output.splitlines()]
    assert [cell.strip() for cell in rows[0][1:-1]] == [
        *("rule", "votes for", "weight", "when", "source")
    ]
    assert {len(row) for row in rows} == {7}
    assert [row[1].strip() for row in rows[2:]] == [rule.rule_id for rule in RULES]
    for row, rule in zip(rows[2:], RULES, strict=True):
        assert row[2].strip() == rule.label
        assert float(row[3]) == rule.weight
        assert all(cell.strip() for cell in row[1:-1])


def test_what_is_not_dicom_is_named_and_nothing_is_written(run: Command, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("hello")
    outcome = run("segment", tmp_path / "letters", "--out", tmp_path / "out")
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
