"""Sensitivity against false positives per case, as the peak that a finding must have falls.

The curve goes on below the model's own peak, where the service reports no findings any more, and
ends where every region above the threshold, of the smallest volume and more, counts.
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
        Of regions that touch no clot.
    right : tuple of float
        For everything that is to be found the best score that found it, or 0.
    false_positives, found : int
        By the findings that are reported.
    """

    wrong: tuple[float, ...]
    right: tuple[float, ...]
    false_positives: int
    found: int


def froc(results: Sequence[CaseResult], label: LabelName) -> dict[str, Any]:
    """Return the curves that count cases with a clot, and that count every clot.

    Each has the number of targets, the points of the curve, the one that is ``reported`` (with the
    model's peak), and under ``sensitivity_at`` for each of FALSE_POSITIVES, and for their ``mean``,
    ``value`` and bootstrap ``interval`` over cases; both None where the curve has ended before. It
    is None if no case has a clot.
    """
    return {unit: _described([_scores(case, label, unit) for case in results]) for unit in UNITS}


def _scores(result: CaseResult, label: LabelName, unit: Unit) -> _Scores:
    agreement = result.against(label)
    best, reported = agreement.clot_regions, agreement.clot_scores
    if unit == "cases":
        best, reported = tuple(sorted(best)[-1:]), tuple(sorted(reported)[-1:])
    return _Scores(
        wrong=agreement.wrong_regions,
        right=best,
        false_positives=agreement.false_positives,
        found=sum(score > 0 for score in reported),
    )


def _described(cases: list[_Scores]) -> dict[str, Any] | None:
    targets = sum(len(case.right) for case in cases)
    if not targets:
        return None
    false_positives, sensitivity = _curve(cases)
    values = _sensitivities(cases, beyond=np.nan)
    lows, highs = _interval(cases)
    names = [*(f"{rate:g}" for rate in FALSE_POSITIVES), "mean"]
    return {
        "targets": targets,
        "reported": {
            "false_positives_per_case": sum(each.false_positives for each in cases) / len(cases),
            "sensitivity": sum(each.found for each in cases) / targets,
        },
        "false_positives_per_case": false_positives.tolist(),
        "sensitivity": sensitivity.tolist(),
        "sensitivity_at": {
            name: _at(value, low, high)
            for name, value, low, high in zip(
                names, values.tolist(), lows.tolist(), highs.tolist(), strict=True
            )
        },
    }


def _at(value: float, low: float, high: float) -> dict[str, Any]:
    if np.isnan(value):
        return {"value": None, "interval": None}
    return {"value": value, "interval": [low, high]}


def _curve(cases: Sequence[_Scores]) -> tuple[Float64, Float64]:
    """Return false positives per case and sensitivity, both falling to 0."""
    wrong = np.array([score for case in cases for score in case.wrong], np.float64)
    right = np.array([score for case in cases for score in case.right], np.float64)
    # MONAI leaves out the lowest score, taking it for that of a target which nothing has found.
    false_positives, sensitivity = compute_froc_curve_data(
        wrong, np.append(right, 0.0), len(right), len(cases)
    )
    return false_positives, sensitivity


def _sensitivities(cases: Sequence[_Scores], beyond: float | None = None) -> Float64:
    """Return the sensitivity at each of FALSE_POSITIVES, and the mean of these.

    Parameters
    ----------
    beyond : float, optional
        What counts past the end of the curve; its last sensitivity, if not given.
    """
    false_positives, sensitivity = _curve(cases)
    rising = false_positives[::-1], sensitivity[::-1]
    at = np.interp(FALSE_POSITIVES, *rising, right=beyond)
    return np.append(at, at.mean())


def _interval(cases: list[_Scores]) -> tuple[Float64, Float64]:
    """Bootstrap over cases; draws without any clot say nothing about sensitivity.

    A draw's curve may end a little before that of all cases: its last sensitivity counts then.
    """
    rng = np.random.default_rng(SEED)
    drawn = [
        [cases[number] for number in numbers]
        for numbers in rng.integers(len(cases), size=(RESAMPLES, len(cases)))
    ]
    values = [_sensitivities(draw) for draw in drawn if any(case.right for case in draw)]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail], axis=0)
    return low, high
