"""Intervals that cover what they should, and corrections worked out by hand."""

import numpy as np
import pytest

from training.intervals import Estimate, holm, mean_interval, paired_difference


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = [
        estimate.low is not None
        and estimate.high is not None
        and estimate.low <= 0.8 <= estimate.high
        for estimate in (mean_interval(rng.binomial(1, 0.8, 80).tolist()) for _ in range(200))
    ]
    # 0.95, less what a percentile interval of 80 cases loses, within the noise of 200 repetitions.
    assert 0.89 <= np.mean(covered) <= 0.99


def test_width_is_that_of_a_standard_error() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 400)
    estimate = mean_interval(values.tolist())
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * 0.2 / 20, rel=0.15)
    assert estimate.value == pytest.approx(values.mean())


def test_same_values_give_the_same_interval_and_another_seed_another() -> None:
    values = [0.0, 0.25, 1.0, 0.5, 0.75, 0.125]
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values) != mean_interval(values, seed=1)


def test_constant_values_have_no_width_and_a_single_one_no_interval() -> None:
    assert mean_interval([1.0, 1.0, 1.0]) == Estimate(1.0, 1.0, 1.0, 3)
    assert mean_interval([0.5]) == Estimate(0.5, None, None, 1)


@pytest.mark.parametrize("values", [[], [0.5, float("nan")], [float("inf"), 1.0]])
def test_nothing_and_what_is_no_number_cannot_be_averaged(values: list[float]) -> None:
    with pytest.raises(ValueError, match="values"):
        mean_interval(values)


def test_estimates_are_printed_with_their_interval() -> None:
    assert str(Estimate(0.8333, 0.7, 0.94567, 30)) == "0.833 [0.7, 0.946]"
    assert str(Estimate(0.5, None, None, 1)) == "0.5"


def test_pairing_sees_a_small_difference_between_cases_that_differ_much() -> None:
    rng = np.random.default_rng(2)
    hard = rng.uniform(0, 1, 40)
    better = hard + 0.02 + rng.normal(0, 0.01, 40)
    paired = paired_difference(better.tolist(), hard.tolist())
    assert paired.value == pytest.approx(0.02, abs=0.005)
    assert paired.low is not None
    assert paired.low > 0
    assert paired.p_value < 0.01
    # The same values of cases that do not belong together show nothing.
    shuffled = paired_difference(better.tolist(), hard[rng.permutation(40)].tolist())
    assert shuffled.low is not None
    assert shuffled.high is not None
    assert shuffled.low < 0 < shuffled.high
    assert shuffled.p_value > 0.05


def test_difference_changes_its_sign_with_its_order() -> None:
    one, other = [0.9, 0.8, 0.7, 1.0], [0.5, 0.6, 0.7, 0.4]
    forth, back = paired_difference(one, other), paired_difference(other, one)
    assert forth.value == pytest.approx(0.3)
    assert forth.value == pytest.approx(-back.value)
    assert forth.p_value == back.p_value
    # Three of four differ: 2 of the 2**3 sign patterns are as extreme.
    assert forth.p_value == pytest.approx(0.25)


def test_equal_models_do_not_differ() -> None:
    same = paired_difference([0.1, 0.5, 0.9], [0.1, 0.5, 0.9])
    assert (same.value, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_pairs_must_be_complete() -> None:
    with pytest.raises(ValueError, match="got 2 and 3"):
        paired_difference([0.1, 0.2], [0.1, 0.2, 0.3])


def test_holm_by_hand() -> None:
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5})
    assert list(adjusted) == ["a", "b", "c", "d"]
    # 4 x 0.01, 3 x 0.03, then 2 x 0.04 = 0.08, which may not fall below 0.09, then 0.5.
    assert adjusted == pytest.approx({"a": 0.04, "b": 0.09, "c": 0.09, "d": 0.5})


def test_holm_never_exceeds_one_and_keeps_ties() -> None:
    assert holm({"a": 0.6, "b": 0.6}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
    with pytest.raises(ValueError, match=r"-0\.1"):
        holm({"a": -0.1})
