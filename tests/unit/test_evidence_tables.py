"""Tables of documents are what the committed numbers say."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.evaluated import CLOT, ELSEWHERE, SPEC, case, probability
from training.compare_runs import compare, read
from training.evaluate import document
from training.evidence_tables import EvidenceError, filled, main
from training.metrics import Subject, measure

DOCUMENT = """# Evidence

<!-- not run: takes hours -->
```
command
```

<!-- evaluation {evaluation} cohort -->
stale
<!-- end -->

Between.

<!-- comparison {comparison} -->
<!-- end -->
"""


@pytest.fixture
def text(tmp_path: Path) -> str:
    cases = [Subject.of(case(CLOT, seed=seed), SPEC, "cohort") for seed in (1, 2, 3)]
    measured = {
        name: document([measure(one, probability(box), SPEC) for one in cases], None, SPEC, "all")
        for name, box in (("first", CLOT), ("second", ELSEWHERE))
    }
    evaluation, comparison = tmp_path / "evaluation.json", tmp_path / "comparison.json"
    evaluation.write_text(json.dumps(measured["first"]))
    comparison.write_text(json.dumps(compare(measured)))
    return DOCUMENT.format(evaluation=evaluation, comparison=comparison)


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(main)
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "300"})
    return done.exit_code, done.output


def test_tables_are_filled_and_the_text_around_them_stays(text: str) -> None:
    made = filled(text)
    assert "stale" not in made
    assert "\nBetween.\n" in made
    assert "<!-- not run: takes hours -->\n```\ncommand\n```\n" in made
    assert "| first | 1.000 [1.000, 1.000] |  |  |  |" in made
    assert "| second | 0.000 [0.000, 0.000] | -1.000" in made
    assert "| cohort (simulated) | with clot | without |" in made
    assert filled(made) == made


def test_a_stale_table_is_found_and_mended(text: str, tmp_path: Path) -> None:
    file = tmp_path / "evidence.md"
    file.write_text(text)
    code, output = run(str(file), "--check")
    assert code != 0
    assert "stale" in output
    assert file.read_text() == text
    assert run(str(file))[0] == 0
    assert run(str(file), "--check")[0] == 0


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("<!-- riddle a.json -->\n<!-- end -->", "no kind of table"),
        ("<!-- comparison missing.json -->\n<!-- end -->", "missing.json"),
        ("<!-- subsets {evaluation} -->\n<!-- end -->", "were not measured"),
        ("<!-- evaluation {evaluation} colour -->\n<!-- end -->", "colour"),
    ],
)
def test_what_cannot_be_made_is_named(block: str, message: str, text: str, tmp_path: Path) -> None:
    assert "evaluation.json" in text
    with pytest.raises(EvidenceError, match=message):
        filled(block.format(evaluation=tmp_path / "evaluation.json"))


def test_the_tables_that_are_published_are_as_their_files_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    text = (root / "docs/evidence.md").read_text()
    assert text.count("<!-- end -->") >= 7
    assert filled(text) == text


EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence"


@pytest.mark.parametrize("file", sorted(EVIDENCE.glob("*.json")), ids=lambda file: file.stem)
def test_published_comparisons_are_what_the_kept_evaluations_give(file: Path) -> None:
    published = json.loads(file.read_text())
    names = published["metrics"]["dice"]
    runs = {
        name: read(EVIDENCE / "runs" / f"{name}-{published['condition']}.json") for name in names
    }
    assert compare(runs) == published
