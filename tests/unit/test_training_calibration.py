"""Calibration of probabilities whose errors are known."""

import numpy as np
import pytest

from training.calibration import (
    NEAR_MM,
    Bins,
    brier,
    calibrate_voxels,
    case_reliability,
    rank_correlation,
)

SPACING = (2.0, 1.0, 1.0)


def test_calibrated_probabilities_have_no_error() -> None:
    probability = np.repeat([0.25, 0.75], 100)
    truth = np.concatenate([np.arange(100) < 25, np.arange(100) < 75])
    bins = Bins.of(probability, truth)
    assert bins.expected_error == pytest.approx(0.0, abs=1e-6)
    assert (bins.count[2], bins.count[7], sum(bins.count)) == (100, 100, 200)
    assert brier(probability, truth) == pytest.approx(0.25 * 0.75)


def test_error_is_weighted_by_how_many_there_are() -> None:
    probability = np.repeat([0.95, 0.05], [30, 10])
    truth = np.zeros(40, bool)
    bins = Bins.of(probability, truth)
    assert bins.expected_error == pytest.approx((30 * 0.95 + 10 * 0.05) / 40)


def test_pooled_bins_are_those_of_all_together() -> None:
    rng = np.random.default_rng(3)
    probability, truth = rng.uniform(0, 1, 500), rng.random(500) < 0.3
    parts = [Bins.of(probability[:70], truth[:70]), Bins.of(probability[70:], truth[70:])]
    whole, pooled = Bins.of(probability, truth), Bins.pooled(parts)
    assert pooled.count == whole.count
    assert pooled.confidence == pytest.approx(whole.confidence)
    assert pooled.frequency == pytest.approx(whole.frequency)


def test_only_voxels_near_a_clot_or_a_finding_count() -> None:
    label, predicted = np.zeros((2, 41, 61, 61), bool)
    label[20, 30, 30] = True
    probability = np.zeros(label.shape)
    probability[20, 30, 30] = 0.8
    found = calibrate_voxels(probability, predicted, label, SPACING)
    offsets = np.argwhere(np.ones(label.shape)) - (20, 30, 30)
    near = int((np.linalg.norm(offsets * SPACING, axis=1) <= NEAR_MM).sum())
    assert found.bins is not None
    assert sum(found.bins.count) == near
    assert found.brier == pytest.approx(0.2**2 / near)
    assert found.expected_error == pytest.approx(0.2 / near, rel=1e-4)
    far = probability.copy()
    far[0, 0, 0] = 1.0
    assert calibrate_voxels(far, predicted, label, SPACING) == found


def test_at_the_edge_of_the_image_there_is_less_to_count() -> None:
    label, predicted = np.zeros((2, 9, 9, 9), bool)
    label[0, 0, 0] = True
    found = calibrate_voxels(np.zeros(label.shape), predicted, label, (5.0, 5.0, 5.0))
    assert found.bins is not None
    # Steps of at most two voxels' length along the axes of one octant.
    assert sum(found.bins.count) == 11
    assert found.entropy_bits is None


def test_without_finding_and_label_nothing_is_measured() -> None:
    nothing = np.zeros((3, 4, 5), bool)
    found = calibrate_voxels(np.full(nothing.shape, 0.2), nothing, nothing, SPACING)
    assert (found.bins, found.expected_error, found.brier, found.entropy_bits) == (None,) * 4


@pytest.mark.parametrize(("value", "bits"), [(0.5, 1.0), (1.0, 0.0), (0.75, 0.811278)])
def test_entropy_is_that_of_the_findings(value: float, bits: float) -> None:
    predicted = np.zeros((3, 4, 5), bool)
    predicted[1, 1, 1:3] = True
    probability = np.where(predicted, value, 0.3)
    found = calibrate_voxels(probability, predicted, ~predicted, SPACING)
    assert found.entropy_bits == pytest.approx(bits, abs=1e-6)


def test_cases_are_ranked_by_their_highest_probability() -> None:
    told = case_reliability([0.9, 0.8, 0.3, 0.1], [True, True, False, False])
    assert told["area_under_roc"] == 1.0
    assert told["brier"] == pytest.approx((0.01 + 0.04 + 0.09 + 0.01) / 4)
    assert told["expected_calibration_error"] == pytest.approx((0.1 + 0.2 + 0.3 + 0.1) / 4)
    assert case_reliability([0.5, 0.5], [True, False])["area_under_roc"] == 0.5
    assert case_reliability([0.1, 0.9], [True, False])["area_under_roc"] == 0.0


@pytest.mark.parametrize("truth", [True, False])
def test_there_is_no_ranking_of_cases_of_one_kind(truth: bool) -> None:
    assert case_reliability([0.9, 0.2], [truth, truth])["area_under_roc"] is None


def test_rank_correlation_sees_order_alone() -> None:
    falling = rank_correlation([0.1, 0.2, 0.3, 5.0, 6.0], [1.0, 0.9, 0.5, 0.4, 0.1])
    assert falling["rho"] == pytest.approx(-1.0)
    # Ranks 1 2 3 4 5 and 2 1 4 3 5: rho = 1 - 6 * 4 / (5 * 24).
    mixed = rank_correlation([1, 2, 3, 4, 5], [2, 1, 4, 3, 5])
    assert mixed["rho"] == pytest.approx(0.8)
    low, high = mixed["interval"]
    assert low < 0.8 < high <= 1


def test_ties_share_their_rank() -> None:
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4.
    tied = rank_correlation([1, 2, 2, 3], [1, 2, 3, 4])
    assert tied["rho"] == pytest.approx(4.5 / np.sqrt(4.5 * 5))


@pytest.mark.parametrize("one", [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5, 0.5]])
def test_too_few_or_constant_values_have_no_correlation(one: list[float]) -> None:
    told = rank_correlation(one, list(range(len(one))))
    assert (told["pairs"], told["rho"], told["interval"]) == (len(one), None, None)
