"""Metrics on probability maps whose right answer is known."""

import numpy as np
import pytest

from service.domain.model_spec import InputSpec, ModelSpec
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.preprocess import NetworkInput
from service.stages.run_model import Float32, Prediction
from training.choose_threshold import choose, score
from training.dataset import PreparedCase
from training.evaluate import SUBSETS, dice, document, evaluate, measure, summarise, without
from training.simulate.grids import axial_grid
from training.write_card import render

GRID = axial_grid((0, 0, 0), (2.0, 0.9, 0.9), (8, 32, 32))
SPEC = ModelSpec(
    name="test",
    version="0",
    sha256="0" * 64,
    input=InputSpec(),
    state_channels=1,
    threshold=0.5,
    min_volume_mm3=5.0,
    intended_use="tests",
    training_data="none",
)


def _case(*, with_clot: bool = True) -> PreparedCase:
    target = np.zeros(GRID.shape, bool)
    if with_clot:
        target[3:5, 10:14, 20:24] = True
    values = NetworkInput(
        np.ones((8, 6, 32, 32), np.float32), np.ones(6, np.float32), GRID, GRID, (14.0, 0.0, 0.0)
    )
    return PreparedCase(values, target, target, {"seed": 1, "site": "A"})


def _map(*boxes: tuple[slice, slice, slice], value: float = 0.9) -> Volume:
    probability = np.zeros(GRID.shape, np.float32)
    for box in boxes:
        probability[box] = value
    return Volume(probability, GRID)


CLOT = (slice(3, 5), slice(10, 14), slice(20, 24))
SHIFTED = (slice(3, 5), slice(10, 14), slice(22, 26))
ELSEWHERE = (slice(0, 2), slice(0, 4), slice(0, 4))


def test_perfect_answer() -> None:
    result = measure(_case(), _map(CLOT), SPEC)
    assert (result.found, result.touched, result.overlapped, result.centred) == (True,) * 4
    assert result.dice == 1
    assert (result.findings, result.false_positives) == (1, 0)


def test_half_shifted_answer() -> None:
    result = measure(_case(), _map(SHIFTED), SPEC)
    assert result.touched
    assert result.dice == pytest.approx(0.5)


def test_more_probable_false_alarm_comes_first_but_hides_nothing() -> None:
    probability = _map(CLOT).voxels.copy()
    probability[ELSEWHERE] = 0.99
    result = measure(_case(), Volume(probability, GRID), SPEC)
    assert (result.found, result.touched) == (True, False)
    assert (result.findings, result.false_positives) == (2, 1)
    assert result.dice == pytest.approx(2 / 3)


def test_small_components_are_no_findings() -> None:
    speck = (slice(0, 1), slice(0, 1), slice(0, 2))
    assert measure(_case(), _map(speck), SPEC).findings == 0


def test_summary_separates_cases_with_and_without_a_clot() -> None:
    results = [
        measure(_case(), _map(CLOT), SPEC),
        measure(_case(), _map(), SPEC),
        measure(_case(with_clot=False), _map(), SPEC),
        measure(_case(with_clot=False), _map(ELSEWHERE), SPEC),
    ]
    summary = summarise(results)
    assert (summary["cases_with_clot"], summary["cases_without_clot"]) == (2, 2)
    assert summary["detection_rate"] == summary["detection_rate_any"] == 0.5
    assert summary["dice_all"] == 0.5
    assert summary["dice_detected"] == 1.0
    assert summary["false_alarm_rate_without_clot"] == 0.5
    assert summary["false_positives_per_case"] == 0.25
    assert summarise(results[:1])["false_alarm_rate_without_clot"] is None
    assert document({"all": results})["sites"]["A"] == summary


def test_taking_sequences_away_zeroes_them_and_their_flags() -> None:
    left = without(_case().network_input, {Role.DWI, Role.ADC}, SPEC)
    kept = [list(Role).index(role) for role in (Role.DWI, Role.ADC)]
    assert left.presence.sum() == 2
    assert (left.sequences[:, kept] == 1).all()
    assert (np.delete(left.sequences, kept, axis=1) == 0).all()


def test_threshold_that_silences_a_weak_false_alarm_is_chosen() -> None:
    probability = _map(CLOT).voxels.copy()
    probability[ELSEWHERE] = 0.65
    maps = [
        (_case(), Volume(probability, GRID)),
        (_case(with_clot=False), _map(ELSEWHERE, value=0.65)),
    ]
    chosen, best = choose(maps, SPEC)
    assert 0.65 < chosen.threshold < 0.9
    assert best == 1.0
    assert score([measure(case, values, SPEC) for case, values in maps]) < 1.0


def test_dice_of_two_empty_masks_is_one() -> None:
    empty = np.zeros(3, bool)
    assert dice(empty, empty) == 1.0
    assert dice(empty, ~empty) == 0.0


class SeesOnSusceptibility:
    """Finds the clot if the first sequence is there, and only then."""

    def predict(
        self, sequences: Float32, presence: Float32, forward_state: Float32, backward_state: Float32
    ) -> Prediction:
        slices, _, rows, columns = sequences.shape
        probability = np.zeros((slices, rows, columns), np.float32)
        if presence[list(Role).index(Role.SUSC)]:
            probability[CLOT] = 0.9
        return Prediction(probability, forward_state, backward_state)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_case_is_measured_for_every_subset(threads: int) -> None:
    cases = [_case(), _case(with_clot=False), _case()]
    results = evaluate(cases, SeesOnSusceptibility(), SPEC, threads=threads)
    assert list(results) == list(SUBSETS)
    for name, rows in results.items():
        assert [row.with_clot for row in rows] == [True, False, True]
        found = Role.SUSC in SUBSETS[name]
        assert [row.findings for row in rows] == [found] * 3
        assert [row.touched for row in rows] == [found, False, found]


def test_card_gives_what_was_measured_and_its_limits() -> None:
    measured = document({"all": [measure(_case(), _map(CLOT), SPEC)]})
    card = render(SPEC, measured, "A network.", ["Sees ghosts."])
    assert "| all | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 0 | 0 | - |" in card
    assert "simulated studies only" in card
    assert card.endswith("- Sees ghosts.\n")
