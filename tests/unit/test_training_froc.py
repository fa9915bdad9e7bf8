"""Curves of sensitivity against false positives worked out by hand."""

from dataclasses import replace
from typing import Any

import pytest

from tests.evaluated import CLOT, ELSEWHERE, SPEC, case, probability, result
from training.froc import FALSE_POSITIVES, froc
from training.metrics import Subject, measure

# One clot found at 0.9 after a false alarm at 0.95; two clots of which one is found at 0.6; nothing
# to find and a false alarm at 0.7; a clot that is missed.
CASES = [
    result(scores=(0.95, 0.9), hits=(False, True), clot_scores=(0.9,), seed=1),
    result(scores=(0.6,), hits=(True,), clot_scores=(0.0, 0.6), seed=2),
    result(scores=(0.7,), hits=(False,), clot_scores=(), seed=3),
    result(scores=(), hits=(), clot_scores=(0.0,), seed=4),
]


def _points(curve: dict[str, Any]) -> list[tuple[float, float]]:
    return list(zip(curve["false_positives_per_case"], curve["sensitivity"], strict=True))


def test_curve_over_cases() -> None:
    curve = froc(CASES, "target")["cases"]
    assert curve["targets"] == 3
    # From the lowest score to the highest: 0.6, 0.7, 0.9, 0.95, and above it.
    assert curve["false_positives_per_case"] == [0.5, 0.5, 0.25, 0.25, 0.0]
    assert curve["sensitivity"] == pytest.approx([2 / 3, 1 / 3, 1 / 3, 0.0, 0.0])


def test_curve_over_clots_counts_each() -> None:
    curve = froc(CASES, "target")["clots"]
    assert curve["targets"] == 4
    assert curve["sensitivity"][0] == pytest.approx(0.5)


def test_sensitivity_at_false_positives_and_beyond_the_end() -> None:
    at = froc(CASES, "lumen")["cases"]["sensitivity_at"]
    assert list(at) == [*(f"{rate:g}" for rate in FALSE_POSITIVES), "mean"]
    assert at["0.125"]["value"] == 0.0
    assert at["0.5"]["value"] == pytest.approx(2 / 3)
    low, high = at["0.5"]["interval"]
    assert 0 <= low <= 2 / 3 <= high <= 1
    # Nothing was ever measured at more than half a false positive a case.
    assert at["1"] == at["4"] == at["mean"] == {"value": None, "interval": None}


def test_the_curve_goes_on_below_the_peak_of_the_model() -> None:
    clot, other = CLOT, ELSEWHERE
    strict = replace(SPEC, peak=0.95)
    maps = [
        (clot, probability(clot, values=(0.97,))),
        (clot, probability(clot, other, values=(0.9, 0.8))),
        (clot, probability(other, values=(0.99,))),
    ]
    results = [
        measure(Subject.of(case(box, seed=seed), strict, "cohort"), seen, strict)
        for seed, (box, seen) in enumerate(maps)
    ]
    curve = froc(results, "target")["cases"]
    assert curve["reported"] == pytest.approx(
        {"false_positives_per_case": 1 / 3, "sensitivity": 1 / 3}
    )
    assert _points(curve)[0] == pytest.approx((2 / 3, 2 / 3))
    assert curve["sensitivity_at"]["0.5"]["value"] == pytest.approx(2 / 3)


def test_a_perfect_reader_has_no_false_positive_and_misses_nothing() -> None:
    found = [result(scores=(0.8,), hits=(True,), clot_scores=(0.8,), seed=n) for n in range(3)]
    curve = froc(found, "target")["cases"]
    # The lowest score counts too, although nothing was missed.
    assert _points(curve) == [(0.0, 1.0), (0.0, 0.0)]
    assert curve["reported"] == {"false_positives_per_case": 0.0, "sensitivity": 1.0}


def test_equal_scores_fall_together() -> None:
    tied = [
        result(scores=(0.5,), hits=(True,), clot_scores=(0.5,)),
        result(scores=(0.5,), hits=(False,), clot_scores=()),
    ]
    assert _points(froc(tied, "target")["cases"]) == [(0.5, 1.0), (0.0, 0.0)]


def test_nothing_found_at_all() -> None:
    missed = [result(scores=(), hits=(), clot_scores=(0.0,))]
    assert _points(froc(missed, "target")["cases"]) == [(0.0, 0.0)]


def test_without_any_clot_there_is_no_curve() -> None:
    silent = [result(scores=(0.7,), hits=(False,), clot_scores=())]
    assert froc(silent, "target") == {"cases": None, "clots": None}
