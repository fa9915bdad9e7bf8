"""Sensitivity against false positives per case, as the score that a finding must have falls.

The curve ends where the service stops to report findings: at the model's threshold and smallest
volume. Beyond its end the last sensitivity counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from monai.metrics.froc import compute_froc_curve_data

from training.intervals import LEVEL, SEED
from training.metrics import CaseResult, LabelName

FALSE_POSITIVES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
# Each resample is a whole curve.
RESAMPLES = 500

Float64 = npt.NDArray[np.float64]
Unit = Literal["cases", "clots"]
UNITS: tuple[Unit, ...] = ("cases", "clots")


@dataclass(frozen=True)
class _Scores:
    """Scores of one case.

    Attributes
    ----------
    wrong : tuple of float
        Of findings that touch no clot.
    right : tuple of float
        For everything that is to be found the best score that found it, or 0.
    """

    wrong: tuple[float, ...]
    right: tuple[float, ...]


def froc(results: Sequence[CaseResult], label: LabelName) -> dict[str, Any]:
    """Return the curves that count cases with a clot, and that count every clot.

    Each has the number of targets, the points of the curve, and under ``sensitivity_at`` for
    each of FALSE_POSITIVES, and for their ``mean``, ``value`` and bootstrap ``interval`` over
    cases. It is None if no case has a clot.
    """
    return {unit: _described([_scores(case, label, unit) for case in results]) for unit in UNITS}


def _scores(result: CaseResult, label: LabelName, unit: Unit) -> _Scores:
    agreement = result.against(label)
    hits = zip(result.scores, agreement.hits, strict=True)
    best = agreement.clot_scores
    return _Scores(
        wrong=tuple(score for score, hit in hits if not hit),
        right=best if unit == "clots" else tuple(sorted(best)[-1:]),
    )


def _described(cases: list[_Scores]) -> dict[str, Any] | None:
    targets = sum(len(case.right) for case in cases)
    if not targets:
        return None
    false_positives, sensitivity = _curve(cases)
    values = _sensitivities(cases)
    lows, highs = _interval(cases)
    names = [*(f"{rate:g}" for rate in FALSE_POSITIVES), "mean"]
    return {
        "targets": targets,
        "false_positives_per_case": false_positives.tolist(),
        "sensitivity": sensitivity.tolist(),
        "sensitivity_at": {
            name: {"value": value, "interval": [low, high]}
            for name, value, low, high in zip(
                names, values.tolist(), lows.tolist(), highs.tolist(), strict=True
            )
        },
    }


def _curve(cases: Sequence[_Scores]) -> tuple[Float64, Float64]:
    """Return false positives per case and sensitivity, both falling to 0."""
    wrong = np.array([score for case in cases for score in case.wrong], np.float64)
    right = np.array([score for case in cases for score in case.right], np.float64)
    # MONAI leaves out the lowest score, taking it for that of a target which nothing has found.
    false_positives, sensitivity = compute_froc_curve_data(
        wrong, np.append(right, 0.0), len(right), len(cases)
    )
    return false_positives, sensitivity


def _sensitivities(cases: Sequence[_Scores]) -> Float64:
    """Return the sensitivity at each of FALSE_POSITIVES, and the mean of these."""
    false_positives, sensitivity = _curve(cases)
    at = np.interp(FALSE_POSITIVES, false_positives[::-1], sensitivity[::-1])
    return np.append(at, at.mean())


def _interval(cases: list[_Scores]) -> tuple[Float64, Float64]:
    """Bootstrap over cases; draws without any clot say nothing about sensitivity."""
    rng = np.random.default_rng(SEED)
    drawn = [
        [cases[number] for number in numbers]
        for numbers in rng.integers(len(cases), size=(RESAMPLES, len(cases)))
    ]
    values = [_sensitivities(draw) for draw in drawn if any(case.right for case in draw)]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail], axis=0)
    return low, high
