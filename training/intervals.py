"""Intervals over cases by percentile bootstrap, paired differences, and Holm's correction.

A mean over n cases is a statement about other cases only with its interval. All draws are seeded:
the same values give the same interval. The interval of a rate of exactly 0 or 1 has no width; by
the rule of three it only excludes rates further away than 3 / n.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

LEVEL = 0.95
RESAMPLES = 2000
SEED = 20_260

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over cases and its interval.

    Attributes
    ----------
    low, high : float or None
        None for a single case.
    cases : int
        How many were averaged.
    """

    value: float
    low: float | None
    high: float | None
    cases: int

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3g}"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Difference(Estimate):
    """Mean of paired differences.

    Attributes
    ----------
    p_value : float
        Two-sided, of the paired permutation test, which swaps the two values of a case.
    """

    p_value: float


def mean_interval(values: Sequence[float], *, seed: int = SEED) -> Estimate:
    """Return the mean over cases with its 95 % interval.

    Raises
    ------
    ValueError
        If there are no values, or one of them is not finite.
    """
    known = _checked(values)
    low, high = _interval(known, seed)
    return Estimate(float(known.mean()), low, high, len(known))


def paired_difference(
    values_a: Sequence[float], values_b: Sequence[float], *, seed: int = SEED
) -> Difference:
    """Return the mean of ``a - b`` over the same cases, with interval and p-value.

    Parameters
    ----------
    values_a, values_b : sequence of float
        A metric of two models, in the same order of cases.

    Raises
    ------
    ValueError
        If the numbers of values differ, there are none, or one of them is not finite.
    """
    one, other = _checked(values_a), _checked(values_b)
    if len(one) != len(other):
        raise ValueError(f"paired values need equal numbers, got {len(one)} and {len(other)}")
    difference = one - other
    low, high = _interval(difference, seed)
    p_value = _permutation_p(difference, seed)
    return Difference(float(difference.mean()), low, high, len(difference), p_value)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values corrected for the number of comparisons (Holm 1979), by name.

    Raises
    ------
    ValueError
        If one lies outside 0..1.
    """
    wrong = {name: p for name, p in p_values.items() if not 0 <= p <= 1}
    if wrong:
        raise ValueError(f"p-values must lie in 0..1, got {wrong}")
    highest = 0.0
    adjusted = {}
    for rank, name in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def _checked(values: Sequence[float]) -> Float64:
    known = np.asarray(values, np.float64)
    if known.size == 0:
        raise ValueError("there are no values to average")
    if not np.isfinite(known).all():
        raise ValueError(f"values must be finite, got {known[~np.isfinite(known)].tolist()}")
    return known


def _interval(values: Float64, seed: int) -> tuple[float | None, float | None]:
    if len(values) == 1:
        return None, None
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _permutation_p(difference: Float64, seed: int) -> float:
    """Share of the sign flips whose mean is at least as far from 0."""
    tested = stats.permutation_test(
        (difference, np.zeros_like(difference)),
        lambda one, other, axis: np.mean(one - other, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(seed),
    )
    return float(tested.pvalue)
