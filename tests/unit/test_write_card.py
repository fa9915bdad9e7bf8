"""What was measured goes into model.json and the model card, and nothing else does."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.evaluated import COHORT, SPEC, SeesOnSusceptibility, case, sources_for
from training.evaluate import (
    EVALUATION,
    EvaluationError,
    document,
    evaluate,
    evaluate_subsets,
    write,
)
from training.metrics import CaseResult
from training.write_card import LEAST_CASES, performance, read_evaluation, render


@pytest.fixture(scope="module")
def results() -> list[CaseResult]:
    return evaluate(COHORT, SeesOnSusceptibility(), SPEC)


@pytest.fixture
def two_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.write_card.LEAST_CASES", 2)


@pytest.mark.usefixtures("two_are_enough")
def test_model_json_gets_every_combination_of_enough_cases(results: list[CaseResult]) -> None:
    subsets = evaluate_subsets(COHORT[:2], SeesOnSusceptibility(), SPEC)
    told = performance(document(results, subsets, SPEC, "all"))
    assert (told["data"], told["detection_rate"]) == ("simulated", 1.0)
    assert told["dice_lumen_all"] == pytest.approx(2 / 3, abs=1e-4)
    # One of both cases has no more than these, the other has everything.
    assert set(told["subsets"]) == {
        "ADC+DWI+FLAIR+PHASE+SUSC+TOF",
        *("DWI+PHASE+SUSC", "PHASE+SUSC", "DWI+SUSC", "DWI+PHASE", "DWI", "PHASE", "SUSC"),
    }
    assert told["subsets"]["DWI+SUSC"] == {
        "cohorts": ["cohort"],
        "cases_with_clot": 2,
        "cases_without_clot": 0,
        "detection_rate": 1.0,
        "dice_all": 1.0,
        "false_positives_per_case": 0.0,
        "intervals": {
            "detection_rate": [1.0, 1.0],
            "dice_all": [1.0, 1.0],
            "false_positives_per_case": [0.0, 0.0],
        },
    }
    # All cases that had everything count, not only those of the combinations.
    complete = told["subsets"]["ADC+DWI+FLAIR+PHASE+SUSC+TOF"]
    assert (complete["cases_with_clot"], complete["cases_without_clot"]) == (1, 1)


def test_a_combination_measured_without_any_clot_is_not_told() -> None:
    silent = sources_for(case())
    results = evaluate(silent, SeesOnSusceptibility(), SPEC)
    subsets = evaluate_subsets(silent, SeesOnSusceptibility(), SPEC)
    assert performance(document(results, subsets, SPEC, "all"))["subsets"] == {}


def test_without_combinations_only_complete_cases_are_told(results: list[CaseResult]) -> None:
    told = performance(document(results, None, SPEC, "all"))
    assert list(told["subsets"]) == ["ADC+DWI+FLAIR+PHASE+SUSC+TOF"]
    assert performance(document(results[1:2], None, SPEC, "all"))["subsets"] == {}


def test_combinations_are_told_that_enough_cases_have_where_archives_lack_some(
    results: list[CaseResult],
) -> None:
    with_clot = next(result for result in results if result.target.with_clot)
    often = [
        replace(with_clot, seed=seed, sequences="DWI+SUSC", missing=4)
        for seed in range(LEAST_CASES)
    ]
    seldom = [
        replace(with_clot, seed=seed, sequences="FLAIR", missing=5)
        for seed in range(LEAST_CASES - 1)
    ]
    natural = document([*often, *seldom], None, SPEC, "natural")
    told = performance(document(results, None, SPEC, "all"), natural)
    assert list(told["subsets"]) == ["ADC+DWI+FLAIR+PHASE+SUSC+TOF", "DWI+SUSC"]
    assert told["subsets"]["DWI+SUSC"]["cases_with_clot"] == LEAST_CASES
    card = render(SPEC, document(results, None, SPEC, "all"), "A network.", natural=natural)
    assert f"| DWI+SUSC | {LEAST_CASES} | 0 |" in card
    assert "| FLAIR |" not in card
    subsets = evaluate_subsets(COHORT[:2], SeesOnSusceptibility(), SPEC)
    told = performance(document(results, subsets, SPEC, "all"), natural)
    # Two clots are not enough.
    assert list(told["subsets"]) == ["ADC+DWI+FLAIR+PHASE+SUSC+TOF", "DWI+SUSC"]
    both = render(SPEC, document(results, subsets, SPEC, "all"), "A network.", natural=natural)
    assert "| DWI and ADC |" in both
    assert f"| DWI+SUSC | {LEAST_CASES} | 0 |" in both


@pytest.mark.usefixtures("two_are_enough")
@pytest.mark.parametrize(("count", "cohort"), [(3, "archives"), (2, "cohort")])
def test_of_a_combination_is_told_what_was_measured_on_most_clots(
    count: int, cohort: str, results: list[CaseResult]
) -> None:
    with_clot = next(result for result in results if result.target.with_clot)
    lacking = replace(with_clot, cohort="archives", sequences="DWI+SUSC", missing=4)
    natural = document([lacking] * count, None, SPEC, "natural")
    subsets = evaluate_subsets(COHORT[:2], SeesOnSusceptibility(), SPEC)
    told = performance(document(results, subsets, SPEC, "all"), natural)["subsets"]["DWI+SUSC"]
    assert (told["cases_with_clot"], told["cohorts"]) == (count, [cohort])


def test_card_gives_what_was_measured_and_its_limits(results: list[CaseResult]) -> None:
    subsets = evaluate_subsets(COHORT[:1], SeesOnSusceptibility(), SPEC)
    natural = evaluate(COHORT, SeesOnSusceptibility(), SPEC, condition="natural")
    card = render(
        SPEC,
        document(results, subsets, SPEC, "all"),
        "A network.",
        ["Sees ghosts."],
        document(natural, None, SPEC, "natural"),
    )
    assert "| target | 2 | 1 | 1 [1, 1] |" in card
    assert "| natural | 2 | 1 | 0.5 [0, 1] |" in card
    assert "| DWI and ADC | 1 | 0 | 0 | 0 | 0 | - | 0 |" in card
    assert "simulated studies only" in card
    assert card.endswith("- Sees ghosts.\n")
    assert "| all, cohort |" not in card
    other = [replace(result, cohort="other") for result in results[:1]]
    both = document([*results, *other], None, SPEC, "all")
    card = render(SPEC, both, "A network.", natural=document(natural, None, SPEC, "natural"))
    assert "| all, cohort | 2 | 1 |" in card
    assert "| all, other | 1 | 0 | 1 |" in card
    assert "| natural, cohort |" not in card
    plain = render(SPEC, document(results, None, SPEC, "all"), "A network.")
    assert "Other combinations of sequences were not measured." in plain
    assert "| natural |" not in plain


def test_an_evaluation_of_another_form_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    with pytest.raises(EvaluationError, match="is missing"):
        read_evaluation(file, SPEC)
    file.write_text(json.dumps({"data": "simulated", "subsets": {}}))
    with pytest.raises(EvaluationError, match=r"schema_version None, not 2\.1"):
        read_evaluation(file, SPEC)


def test_card_refuses_what_was_measured_of_another_model(
    results: list[CaseResult], tmp_path: Path
) -> None:
    write(document(results, None, SPEC, "all"), tmp_path)
    file = tmp_path / EVALUATION
    assert read_evaluation(file, SPEC)["model"]["name"] == SPEC.name
    for other in (replace(SPEC, sha256="1" * 64), replace(SPEC, threshold=0.25)):
        with pytest.raises(EvaluationError, match=r"run training\.evaluate"):
            read_evaluation(file, other)
