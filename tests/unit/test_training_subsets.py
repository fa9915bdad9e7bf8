"""Combinations of sequences: which there are, which are odd, and what their rows say."""

from dataclasses import replace

import pytest

from service.domain.sequence import Role
from tests.evaluated import result
from training.metrics import CaseResult
from training.subsets import all_subsets, choose_cases, oddity, tabulate

ROLES = (Role.SUSC, Role.PHASE, Role.DWI)


def scored(dice: float | None, *, seed: int = 1, false: int = 0) -> CaseResult:
    """Return a case with this Dice, detected if above 0, or one without a clot."""
    known = dice is not None
    found = bool(dice)
    one = result(
        scores=(0.9,) * (found + false),
        hits=(True,) * found + (False,) * false,
        clot_scores=(0.9 * found,) if known else (),
        seed=seed,
    )
    return replace(one, target=replace(one.target, dice=dice or 0.0))


def test_six_sequences_have_63_combinations_of_which_35_are_plain() -> None:
    subsets = all_subsets(tuple(Role))
    assert len(subsets) == len(set(subsets)) == 63
    assert subsets[0] == frozenset(Role)
    assert [len(subset) for subset in subsets] == sorted(map(len, subsets), reverse=True)
    # SUSC and PHASE, DWI and ADC in three ways each, FLAIR and TOF in two, without the empty one.
    assert sum(oddity(subset) is None for subset in subsets) == 3 * 3 * 2 * 2 - 1


@pytest.mark.parametrize(
    ("roles", "odd"),
    [
        ({Role.SUSC, Role.PHASE}, None),
        ({Role.SUSC, Role.DWI}, None),
        ({Role.PHASE, Role.DWI}, "PHASE without SUSC"),
        ({Role.ADC}, "ADC without DWI"),
        ({Role.PHASE, Role.ADC}, "PHASE without SUSC, ADC without DWI"),
    ],
)
def test_what_is_computed_from_a_missing_sequence_is_odd(roles: set[Role], odd: str | None) -> None:
    assert oddity(frozenset(roles)) == odd


def test_cases_are_drawn_once_and_from_everywhere() -> None:
    chosen = choose_cases(40, 12)
    assert len(set(chosen)) == 12
    assert chosen == sorted(chosen) == choose_cases(40, 12)
    # Sites are taken in turn, so a fixed step could meet only one of them.
    assert {number % 4 for number in chosen} == {0, 1, 2, 3}
    assert choose_cases(3, 10) == [0, 1, 2]
    assert choose_cases(3, 0) == []


SUSC, PHASE, DWI = (frozenset({role}) for role in ROLES)
RESULTS = {
    SUSC | PHASE | DWI: [scored(0.8), scored(0.6, seed=2), scored(None, seed=3, false=1)],
    SUSC | PHASE: [scored(0.6), scored(0.4, seed=2), scored(None, seed=3)],
    SUSC | DWI: [scored(0.4), scored(0.2, seed=2), scored(None, seed=3)],
    PHASE | DWI: [scored(0.0), scored(0.0, seed=2), scored(None, seed=3)],
    SUSC: [scored(0.5)],
    PHASE: [],
    DWI: [scored(0.0), scored(0.1, seed=2), scored(None, seed=3, false=2)],
}


def test_rows_are_named_by_sorted_roles_and_count_their_cases() -> None:
    table = tabulate(RESULTS, ROLES)
    assert table["cases"] == 3
    assert list(table["rows"]) == [
        "DWI+PHASE+SUSC",
        "PHASE+SUSC",
        "DWI+SUSC",
        "DWI+PHASE",
        "SUSC",
        "PHASE",
        "DWI",
    ]
    row = table["rows"]["DWI+PHASE+SUSC"]
    assert (row["cases_with_clot"], row["cases_without_clot"]) == (2, 1)
    assert (row["detection_rate"], row["dice_all"]) == (1.0, 0.7)
    assert row["false_positives_per_case"] == pytest.approx(1 / 3, abs=1e-4)
    low, high = row["intervals"]["dice_all"]
    assert 0.6 <= low <= 0.7 <= high <= 0.8
    assert table["rows"]["DWI+PHASE"]["odd"] == "PHASE without SUSC"
    assert table["rows"]["PHASE"]["dice_all"] is None


def test_odd_combinations_are_in_no_mean() -> None:
    table = tabulate(RESULTS, ROLES)
    plain = table["mean"]["all"]
    assert plain["combinations"] == 5
    assert plain["dice_all"] == pytest.approx((0.7 + 0.5 + 0.3 + 0.5 + 0.05) / 5)
    assert table["mean"]["with SUSC"]["combinations"] == 4
    assert table["mean"]["without SUSC"]["dice_all"] == pytest.approx(0.05)
    assert table["worst"] == "DWI"


def test_robustness_averages_within_a_case_before_it_averages_cases() -> None:
    by_missing = tabulate(RESULTS, ROLES)["by_missing"]
    assert list(by_missing) == ["0", "1", "2"]
    assert by_missing["1"]["combinations"] == 2
    assert by_missing["1"]["dice_all"]["value"] == pytest.approx((0.5 + 0.3) / 2)
    # The first case has SUSC 0.5 and DWI 0.0, the second only DWI 0.1.
    two = by_missing["2"]
    assert two["dice_all"]["value"] == pytest.approx((0.25 + 0.1) / 2)
    assert two["dice_all"]["cases"] == 2
    assert two["detection_rate"]["value"] == pytest.approx((0.5 + 1) / 2)
    assert two["false_positives_per_case"]["value"] == pytest.approx(2 / 3, abs=1e-4)


def test_without_cases_nothing_is_worst() -> None:
    table = tabulate({SUSC: [], DWI: []}, ROLES)
    assert table["worst"] is None
    assert table["by_missing"]["2"]["dice_all"] is None
    assert table["mean"]["all"]["dice_all"] is None
