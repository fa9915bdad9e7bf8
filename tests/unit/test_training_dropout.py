"""Gradual modality dropout: degree, rate, keep-at-least-one, flags."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import DropoutConfig
from training.dataset import Slab
from training.modality_dropout import degree, draw_gains, drop_modalities

ALL = np.ones(6, np.float32)


@pytest.mark.parametrize(
    ("progress", "taken"),
    [(0.0, 0.25), (0.24, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0), (0.99, 1.0), (1.0, 1.0)],
)
def test_degree_climbs_in_quarters(progress: float, taken: float) -> None:
    assert degree(progress) == taken


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
