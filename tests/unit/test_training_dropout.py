"""Gradual modality dropout: degree, rate, keep-at-least-one, flags."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.sequence import Role
from training.config import ConfigError, Course, DropoutConfig, Event, TrainConfig
from training.dataset import Float32, Slab
from training.modality_dropout import along, draw_gains, drop_modalities, staircase
from training.network import NetworkConfig

ALL = np.ones(6, np.float32)
ARMS = Path(__file__).parents[2] / "training" / "configs" / "arms"


@pytest.mark.parametrize(
    ("progress", "taken"),
    [(0.0, 0.25), (0.24, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0), (0.99, 1.0), (1.0, 1.0)],
)
def test_staircase_climbs_in_quarters(progress: float, taken: float) -> None:
    assert staircase(progress) == taken


@pytest.mark.parametrize(
    ("course", "values"),
    [
        (Course.CONSTANT, [1, 1, 1, 1]),
        (Course.STAIRCASE, [0.25, 0.5, 0.75, 1]),
        (Course.REVERSED, [1, 0.75, 0.5, 0.25]),
    ],
)
def test_courses_by_quarter(course: Course, values: list[float]) -> None:
    rng = np.random.default_rng(0)
    assert [along(course, at, rng) for at in (0.1, 0.3, 0.6, 0.9)] == values


def test_linear_course_rises_from_nothing_to_all_before_the_end() -> None:
    rng = np.random.default_rng(0)
    found = [along(Course.LINEAR, at, rng) for at in (0, 0.05, 0.325, 0.6, 0.9)]
    np.testing.assert_allclose(found, [0, 0, 0.5, 1, 1])


def test_shuffled_course_has_the_values_of_the_staircase_at_any_time() -> None:
    rng = np.random.default_rng(0)
    for progress in (0.0, 0.5, 1.0):
        drawn = [along(Course.SHUFFLED, progress, rng) for _ in range(4000)]
        values, counts = np.unique(drawn, return_counts=True)
        np.testing.assert_array_equal(values, [0.25, 0.5, 0.75, 1])
        np.testing.assert_allclose(counts / 4000, 0.25, atol=0.03)


def _gains(config: DropoutConfig, progress: float, count: int = 4000) -> Float32:
    rng = np.random.default_rng(0)
    return np.array([draw_gains(ALL, progress, config, rng).gain for _ in range(count)])


def _arm(name: str) -> DropoutConfig:
    return TrainConfig.read(ARMS / f"{name}.toml").dropout


@pytest.mark.parametrize(
    ("arm", "hits", "gains"),
    [
        # Rate of hits and mean gain of hit sequences in the four quarters.
        ("a1-plain", [0.3, 0.3, 0.3, 0.3], [0, 0, 0, 0]),
        ("a2-gradual-degree", [0.3, 0.3, 0.3, 0.3], [0.75, 0.5, 0.25, 0.05]),
        ("a3-gradual-rate", [0.075, 0.15, 0.225, 0.3], [0, 0, 0, 0]),
        ("a4-gradual-both", [0.075, 0.15, 0.225, 0.3], [0.75, 0.5, 0.25, 0.05]),
        ("control-reversed", [0.3, 0.3, 0.3, 0.3], [0.05, 0.25, 0.5, 0.75]),
        ("control-shuffled", [0.3, 0.3, 0.3, 0.3], [0.38, 0.38, 0.38, 0.38]),
        ("control-no-noise", [0.3, 0.3, 0.3, 0.3], [0.75, 0.5, 0.25, 0]),
    ],
)
def test_arms_draw_what_they_say(arm: str, hits: list[float], gains: list[float]) -> None:
    for at, share, gain in zip((0.1, 0.4, 0.6, 0.9), hits, gains, strict=True):
        drawn = _gains(_arm(arm), at)
        hit = drawn != 1
        assert hit.mean() == pytest.approx(share, abs=0.012)
        assert drawn[hit].mean() == pytest.approx(gain, abs=0.025)


def test_arm_without_dropout_changes_nothing() -> None:
    assert (_gains(_arm("a0-none"), 0.9, 200) == 1).all()


def test_plain_arms_take_all_or_nothing() -> None:
    for arm in ("a1-plain", "a3-gradual-rate", "a5-subset"):
        assert set(np.unique(_gains(_arm(arm), 0.1))) == {0.0, 1.0}


def test_subset_arm_keeps_every_number_of_sequences_alike_often() -> None:
    kept = (_gains(_arm("a5-subset"), 0.1, 6000) > 0).astype(int)
    numbers, counts = np.unique(kept.sum(axis=1), return_counts=True)
    np.testing.assert_array_equal(numbers, [1, 2, 3, 4, 5, 6])
    np.testing.assert_allclose(counts / 6000, 1 / 6, atol=0.02)
    # No sequence is preferred.
    np.testing.assert_allclose(kept.mean(axis=0), 3.5 / 6, atol=0.03)


def test_arms_differ_in_dropout_and_flags_alone() -> None:
    runs = {file.stem: TrainConfig.read(file) for file in sorted(ARMS.glob("*.toml"))}
    assert {name[:2] for name in runs if name.startswith("a")} == {f"a{n}" for n in range(7)}
    plain = next(iter(runs.values()))
    for name, run in runs.items():
        assert run.output.name == name
        same = replace(run, dropout=plain.dropout, output=plain.output, network=plain.network)
        assert same == replace(plain, expected=run.expected), name
        assert isinstance(run.network, NetworkConfig)
        assert run.network.presence_flags == (name == "a6-flags")


def test_rate_and_gain_at_every_quarter() -> None:
    config = DropoutConfig(rate=0.3, noise=0.1)
    rng = np.random.default_rng(0)
    for progress, left in ((0.1, 0.75), (0.4, 0.5), (0.6, 0.25)):
        gains = np.array([draw_gains(ALL, progress, config, rng).gain for _ in range(4000)])
        hit = gains != 1
        assert hit.mean() == pytest.approx(0.3, abs=0.01)
        expected = np.maximum(0, left + 0.1 * np.random.default_rng(1).standard_normal(100_000))
        expected[expected <= 0.05] = 0
        assert gains[hit].mean() == pytest.approx(expected.mean(), abs=0.01)
        assert gains[hit].std() == pytest.approx(expected.std(), abs=0.01)


def test_in_the_last_quarter_a_hit_sequence_is_mostly_gone() -> None:
    rng = np.random.default_rng(0)
    gains = np.array(
        [draw_gains(ALL, 0.9, DropoutConfig(rate=0.3, noise=0.0), rng).gain for _ in range(2000)]
    )
    assert set(np.unique(gains)) == {0.0, 1.0}


@given(
    presence=st.lists(st.sampled_from([0.0, 1.0]), min_size=6, max_size=6).filter(any),
    progress=st.floats(0, 1),
    rate=st.floats(0, 0.95),
    seed=st.integers(0, 2**32 - 1),
)
def test_one_sequence_is_always_left_untouched(
    presence: list[float], progress: float, rate: float, seed: int
) -> None:
    before = np.array(presence, np.float32)
    gains = draw_gains(before, progress, DropoutConfig(rate=rate), np.random.default_rng(seed))
    assert (gains.gain == 1).any()
    # Missing stays missing, and flags say exactly what is left.
    assert (gains.gain[before == 0] == 0).all()
    np.testing.assert_array_equal(gains.presence, (gains.gain > 0.05).astype(np.float32))


def test_dropped_sequence_is_exactly_zero_and_the_target_stays() -> None:
    rng = np.random.default_rng(0)
    slab = Slab(
        rng.normal(size=(3, 6, 4, 5)).astype(np.float32), ALL, np.ones((3, 4, 5), np.float32)
    )
    dropped = drop_modalities(slab, 1.0, DropoutConfig(rate=0.9, noise=0.0), rng)
    gone = dropped.presence == 0
    assert gone.any()
    assert (dropped.sequences[:, gone] == 0).all()
    np.testing.assert_array_equal(dropped.sequences[:, ~gone], slab.sequences[:, ~gone])
    np.testing.assert_array_equal(dropped.target, slab.target)


def test_noise_leaves_some_of_the_hit_sequences_in_the_last_quarter() -> None:
    drawn = _gains(_arm("a2-gradual-degree"), 0.9, 8000)
    hit = drawn != 1
    left = drawn[hit] > 0
    assert left.mean() == pytest.approx(0.31, abs=0.02)
    assert drawn[hit].max() < 0.6


def test_sequences_can_be_hit_more_or_less_often_than_the_others() -> None:
    config = DropoutConfig(rate=0.2, rates={Role.SUSC: 0.6, Role.TOF: 0.0}, noise=0.0)
    hit = _gains(config, 0.9) == 0
    np.testing.assert_allclose(hit.mean(axis=0), [0.6, 0.2, 0.2, 0.2, 0.2, 0.0], atol=0.025)


def test_scans_take_phase_and_adc_along() -> None:
    config = DropoutConfig(rate=0.25, event=Event.SCAN, degree_course=Course.CONSTANT, noise=0.0)
    susc, phase, dwi, adc, flair, tof = (_gains(config, 0.1) == 0).T
    assert phase[susc].all()
    assert adc[dwi].all()
    for alone in (susc, dwi, flair, tof):
        assert alone.mean() == pytest.approx(0.25, abs=0.025)
    for computed in (phase, adc):
        assert computed.mean() == pytest.approx(1 - 0.75**2, abs=0.025)


def test_scans_never_leave_nothing_where_phase_alone_is_there_besides() -> None:
    rng = np.random.default_rng(0)
    pair = np.array([1, 1, 0, 0, 0, 0], np.float32)
    config = DropoutConfig(rate=0.5, event=Event.SCAN, degree_course=Course.CONSTANT, noise=0.0)
    gains = np.array([draw_gains(pair, 0.1, config, rng).gain for _ in range(500)])
    assert set(map(tuple, np.unique(gains[:, :2], axis=0))) == {(1, 0), (1, 1)}


@pytest.mark.parametrize(
    ("dropout", "message"),
    [
        ("rate = 0.3\nrates = {SUSC = 1.5}", "less than or equal to 1"),
        ("rate = 0.3\nrates = {T1 = 0.5}", "'SUSC'"),
        ("rate = 1.0", "rate 1.0 would always hit SUSC"),
        ("rate = 0.3\nrates = {TOF = 1.0}", "rate 1.0 would always hit TOF"),
        ("rate = 0.3\nevent = 'subset'\nrates = {SUSC = 0.5}", "prefers none"),
    ],
)
def test_rates_that_cannot_be_are_refused(dropout: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(f"base = '{ARMS / 'a0-none.toml'}'\n[dropout]\n{dropout}\n")
    with pytest.raises(ConfigError, match=message):
        TrainConfig.read(file)
