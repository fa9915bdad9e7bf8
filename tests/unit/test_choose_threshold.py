"""Threshold and smallest volume are chosen on validation cases."""

from service.domain.volume import Volume
from tests.evaluated import CLOT, ELSEWHERE, SECOND, SPEC, probability, subject
from training.choose_threshold import agree, choose, score
from training.metrics import Label


def test_threshold_that_silences_a_weak_false_alarm_is_chosen() -> None:
    maps: list[tuple[Label, Volume]] = [
        (
            subject(CLOT, SECOND).target,
            probability(CLOT, SECOND, ELSEWHERE, values=(0.9, 0.9, 0.65)),
        ),
        (subject().target, probability(ELSEWHERE, values=(0.65,))),
    ]
    chosen, best = choose(maps, SPEC)
    assert 0.65 < chosen.threshold < 0.9
    assert best == 1.0
    assert score([agree(label, found, SPEC) for label, found in maps]) < 1.0
