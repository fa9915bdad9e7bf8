"""Measurements of one case whose right answer is known by construction."""

import numpy as np
import pytest

from service.domain.sequence import Role
from tests.evaluated import (
    CLOT,
    ELSEWHERE,
    SECOND,
    SHIFTED,
    SPEC,
    Box,
    case,
    probability,
    subject,
)
from training.metrics import NO_CLOT, NOT_STATED, Subject, dice, hd95, measure

VOXEL_MM3 = 2.0 * 0.9 * 0.9


def test_perfect_answer() -> None:
    result = measure(subject(CLOT), probability(CLOT), SPEC)
    target = result.target
    assert (target.found, target.touched, target.overlapped, target.centred) == (True,) * 4
    assert (target.dice, target.iou, target.hd95_mm) == (1.0, 1.0, 0.0)
    assert target.centre_mm == pytest.approx(0.0, abs=1e-9)
    assert (target.hits, target.false_positives) == ((True,), 0)
    assert target.label_mm3 == pytest.approx(32 * VOXEL_MM3)
    assert target.volume_error_mm3 == pytest.approx(0.0)
    assert target.length_error_mm == pytest.approx(0.0)
    assert result.scores == target.clot_scores == pytest.approx((0.9,))


def test_the_lumen_is_measured_beside_the_target() -> None:
    lumen = measure(subject(CLOT), probability(CLOT), SPEC).lumen
    assert lumen.dice == pytest.approx(2 / 3)
    assert lumen.iou == pytest.approx(0.5)
    assert lumen.centre_mm == pytest.approx(1.0)
    assert lumen.volume_error_relative == pytest.approx(1.0)
    long, short = np.linalg.norm([4.0, 3.6, 3.6]), np.linalg.norm([2.0, 3.6, 3.6])
    assert lumen.length_error_mm == pytest.approx(long - short)
    # Every voxel of the finding's second slice is as far from the lumen as slices are apart.
    assert lumen.hd95_mm == pytest.approx(2.0)


def test_half_shifted_answer() -> None:
    target = measure(subject(CLOT), probability(SHIFTED), SPEC).target
    assert target.touched
    assert target.dice == pytest.approx(0.5)
    assert target.iou == pytest.approx(1 / 3)
    assert target.centre_mm == pytest.approx(1.8)
    assert target.hd95_mm == pytest.approx(1.8)
    assert target.volume_error_mm3 == pytest.approx(0.0)


@pytest.mark.parametrize(("columns", "overlapped"), [(19, True), (20, False)])
def test_iou_must_be_above_a_tenth(columns: int, overlapped: bool) -> None:
    narrow: Box = (slice(3, 5), slice(10, 14), slice(22, 24))
    wide: Box = (slice(3, 5), slice(10, 14), slice(24 - columns, 24))
    target = measure(subject(narrow), probability(wide), SPEC).target
    assert target.iou == pytest.approx(2 / columns)
    assert target.touched
    assert target.overlapped is overlapped


def test_a_found_edge_of_a_clot_is_touched_but_neither_overlapped_nor_centred() -> None:
    long: Box = (slice(3, 5), slice(10, 14), slice(0, 32))
    edge: Box = (slice(3, 5), slice(10, 14), slice(30, 32))
    target = measure(subject(long), probability(edge), SPEC).target
    assert target.touched
    assert target.iou == pytest.approx(2 / 32)
    assert not target.overlapped
    assert target.centre_mm == pytest.approx(15 * 0.9)
    assert not target.centred


def test_near_without_touching_is_centred_only() -> None:
    beside: Box = (slice(3, 5), slice(10, 14), slice(25, 29))
    target = measure(subject(CLOT), probability(beside), SPEC).target
    assert target.centre_mm == pytest.approx(4.5)
    assert (target.found, target.touched, target.overlapped, target.centred) == (
        False,
        False,
        False,
        True,
    )
    assert (target.iou, target.hd95_mm, target.length_error_mm) == (0.0, None, None)


def test_a_more_probable_false_alarm_comes_first_but_hides_nothing() -> None:
    found = probability(CLOT, ELSEWHERE, values=(0.9, 0.99))
    result = measure(subject(CLOT), found, SPEC)
    target = result.target
    assert (target.found, target.touched) == (True, False)
    assert (target.hits, target.false_positives) == ((False, True), 1)
    assert result.scores == pytest.approx((0.99, 0.9))
    assert target.clot_scores == pytest.approx((0.9,))
    assert target.dice == pytest.approx(2 / 3)
    assert target.volume_error_relative == pytest.approx(1.0)


def test_of_two_equally_probable_findings_the_larger_is_the_first() -> None:
    smaller: Box = (slice(0, 2), slice(0, 4), slice(0, 3))
    target = measure(subject(CLOT), probability(smaller, CLOT), SPEC).target
    assert target.touched
    assert target.hits == (True, False)


def test_nothing_found_is_a_miss() -> None:
    target = measure(subject(CLOT), probability(), SPEC).target
    assert (target.with_clot, target.found, target.dice) == (True, False, 0.0)
    assert (target.iou, target.centre_mm, target.hd95_mm) == (None, None, None)
    assert target.clot_scores == (0.0,)
    assert target.volume_error_relative == pytest.approx(-1.0)


def test_without_a_clot_silence_is_right_and_every_finding_false() -> None:
    silent = measure(subject(), probability(), SPEC).target
    assert (silent.with_clot, silent.dice, silent.hits) == (False, 1.0, ())
    assert silent.volume_error_relative is None
    alarmed = measure(subject(), probability(ELSEWHERE), SPEC).target
    assert (alarmed.dice, alarmed.false_positives, alarmed.clot_scores) == (0.0, 1, ())
    assert (alarmed.touched, alarmed.centred, alarmed.iou) == (False, False, None)


def test_one_of_two_clots_found() -> None:
    result = measure(subject(CLOT, SECOND), probability(SECOND), SPEC)
    target = result.target
    # The most probable finding is compared with the clot that it touches, not with both.
    assert (target.touched, target.overlapped, target.centred) == (True, True, True)
    assert target.iou == 1.0
    assert target.length_error_mm == pytest.approx(0.0)
    assert target.dice == pytest.approx(2 / 3)
    assert sorted(target.clot_scores) == pytest.approx([0.0, 0.9])
    assert target.volume_error_relative == pytest.approx(-0.5)


def test_both_clots_found_with_their_own_scores() -> None:
    found = probability(CLOT, SECOND, values=(0.7, 0.8))
    target = measure(subject(CLOT, SECOND), found, SPEC).target
    assert target.dice == 1.0
    assert target.hits == (True, True)
    assert sorted(target.clot_scores) == pytest.approx([0.7, 0.8])


def test_one_finding_over_two_clots_is_compared_with_both_together() -> None:
    left: Box = (slice(3, 5), slice(10, 14), slice(10, 14))
    right: Box = (slice(3, 5), slice(10, 14), slice(16, 20))
    across: Box = (slice(3, 5), slice(10, 14), slice(10, 20))
    target = measure(subject(left, right), probability(across), SPEC).target
    assert target.iou == pytest.approx(0.8)
    assert target.centre_mm == pytest.approx(0.0, abs=1e-9)
    assert target.clot_scores == pytest.approx((0.9, 0.9))
    assert (target.hits, target.false_positives) == ((True,), 0)


def test_small_components_are_no_findings_but_small_clots_are_clots() -> None:
    speck: Box = (slice(0, 1), slice(0, 1), slice(0, 2))
    assert measure(subject(CLOT), probability(speck), SPEC).scores == ()
    assert measure(subject(speck), probability(speck), SPEC).target.with_clot


def test_a_case_says_what_the_network_saw_and_where_the_clot_is() -> None:
    whole = case(CLOT, presence=(1, 1, 1, 1, 0, 0), patient={"clot": {"site": "M2"}})
    kept = frozenset({Role.DWI, Role.ADC, Role.TOF})
    result = measure(Subject.of(whole, SPEC, "held out"), probability(CLOT), SPEC, kept)
    assert (result.sequences, result.missing) == ("ADC+DWI", 4)
    assert (result.cohort, result.site, result.occlusion) == ("held out", "A", "M2")
    assert measure(subject(CLOT), probability(), SPEC).occlusion == NOT_STATED
    assert measure(subject(), probability(), SPEC).occlusion == NO_CLOT


def test_score_of_a_case_does_not_need_a_finding() -> None:
    weak = measure(subject(CLOT), probability(CLOT, values=(0.4,)), SPEC)
    assert weak.score == pytest.approx(0.4)
    assert weak.scores == ()


def test_voxels_are_calibrated_only_where_asked_for() -> None:
    assert measure(subject(CLOT), probability(CLOT), SPEC).voxels is None
    voxels = measure(subject(CLOT), probability(CLOT, values=(1.0,)), SPEC, voxels=True).voxels
    assert voxels is not None
    assert (voxels.expected_error, voxels.brier, voxels.entropy_bits) == (0.0, 0.0, 0.0)


def test_dice_of_two_empty_masks_is_one() -> None:
    empty = np.zeros((2, 3, 4), bool)
    assert dice(empty, empty) == 1.0
    assert dice(empty, ~empty) == dice(~empty, empty) == 0.0


def test_surface_distance_knows_the_spacing() -> None:
    one, other = np.zeros((2, 20, 10, 10), bool)
    one[5, 4:6, 4:6] = True
    other[9, 4:6, 4:6] = True
    assert hd95(one, other, (2.5, 0.9, 0.9)) == pytest.approx(10.0)
    assert hd95(other, one, (1.0, 0.9, 0.9)) == pytest.approx(4.0)
