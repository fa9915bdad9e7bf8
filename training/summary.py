"""Means over cases, each with its interval, of all cases and of groups of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from training.intervals import Estimate, mean_interval
from training.metrics import NO_CLOT, VISIBILITIES, Agreement, CaseResult, LabelName

Among = Literal["with clot", "without clot", "detected", "all"]
# Limits of clot size in mm3 of true lumen: about an M2 clot of median length, and an M1 clot of
# median length. Fixed, so that cohorts can be compared.
SIZE_LIMITS_MM3 = (30.0, 100.0)
SIZE_NAMES = ("under 30 mm3", "30 to 100 mm3", "100 mm3 and more")


@dataclass(frozen=True)
class Metric:
    """One number of a case, and the cases over which it is averaged.

    Attributes
    ----------
    key : str
        Under which its mean stands in a summary.
    title : str
        For tables.
    among : str
        "detected" are cases whose most probable finding touches the label.
    value : callable
        Takes the agreement of a case with a label. Defined wherever ``among`` holds.
    """

    key: str
    title: str
    among: Among
    value: Callable[[Agreement], float]


def _known(value: float | None) -> float:
    """Return a number that every detected case has."""
    if value is None:
        raise ValueError("a detected case lacks a measurement")
    return value


METRICS = (
    Metric("detection_rate", "detection", "with clot", lambda a: a.touched),
    Metric("detection_rate_any", "by any finding", "with clot", lambda a: a.found),
    Metric("detection_rate_iou_0.1", "IoU > 0.1", "with clot", lambda a: a.overlapped),
    Metric("detection_rate_centre_5mm", "centre within 5 mm", "with clot", lambda a: a.centred),
    Metric("dice_all", "Dice, all", "with clot", lambda a: a.dice),
    Metric("dice_detected", "Dice, detected", "detected", lambda a: a.dice),
    Metric(
        "false_positives_per_case", "false positives per case", "all", lambda a: a.false_positives
    ),
    Metric(
        "false_alarm_rate_without_clot",
        "false alarms without a clot",
        "without clot",
        lambda a: a.false_positives > 0,
    ),
    Metric("hd95_mm", "HD95, mm", "detected", lambda a: _known(a.hd95_mm)),
    Metric("volume_error_mm3", "volume error, mm3", "detected", lambda a: a.volume_error_mm3),
    Metric(
        "volume_error_absolute_mm3",
        "absolute volume error, mm3",
        "detected",
        lambda a: abs(a.volume_error_mm3),
    ),
    Metric(
        "volume_error_relative",
        "absolute volume error, share",
        "detected",
        lambda a: abs(_known(a.volume_error_relative)),
    ),
    Metric("length_error_mm", "length error, mm", "detected", lambda a: _known(a.length_error_mm)),
    Metric(
        "length_error_absolute_mm",
        "absolute length error, mm",
        "detected",
        lambda a: abs(_known(a.length_error_mm)),
    ),
)
METRIC_OF = {metric.key: metric for metric in METRICS}


def belongs(agreement: Agreement, among: Among) -> bool:
    """Say whether a case is one of those over which a metric is averaged."""
    return {
        "with clot": agreement.with_clot,
        "without clot": not agreement.with_clot,
        "detected": agreement.touched,
        "all": True,
    }[among]


def estimate(metric: Metric, agreements: Sequence[Agreement]) -> Estimate | None:
    """Average a metric over the cases it is meant for; None if there are none."""
    values = [metric.value(a) for a in agreements if belongs(a, metric.among)]
    return mean_interval(values) if values else None


def summarise(results: Sequence[CaseResult], label: LabelName = "target") -> dict[str, Any]:
    """Return counts, the mean of every metric under its key, and ``intervals`` by the same keys.

    A mean without cases is None; an interval is None for fewer than two cases.
    """
    agreements = [result.against(label) for result in results]
    with_clot = sum(agreement.with_clot for agreement in agreements)
    detected = sum(agreement.touched for agreement in agreements)
    found = {metric.key: estimate(metric, agreements) for metric in METRICS}
    return {
        "cases_with_clot": with_clot,
        "cases_without_clot": len(agreements) - with_clot,
        "detected": detected,
        "missed": with_clot - detected,
        **{key: mean and round(mean.value, 4) for key, mean in found.items()},
        "intervals": {key: limits(mean) for key, mean in found.items()},
    }


def limits(mean: Estimate | None) -> list[float] | None:
    """Return the interval as JSON holds it."""
    if mean is None or mean.low is None or mean.high is None:
        return None
    return [round(mean.low, 4), round(mean.high, 4)]


# What sorts the groups, and their name.
GroupKey = tuple[int, str]


def _size(result: CaseResult) -> GroupKey:
    volume = result.lumen.label_mm3
    if not result.target.with_clot:
        return len(SIZE_NAMES), NO_CLOT
    number = sum(volume >= limit for limit in SIZE_LIMITS_MM3)
    return number, SIZE_NAMES[number]


GROUPINGS: dict[str, Callable[[CaseResult], GroupKey]] = {
    "cohort": lambda result: (0, result.cohort),
    "site": lambda result: (0, result.site),
    "occlusion": lambda result: (result.occlusion == NO_CLOT, result.occlusion),
    "clot_size": _size,
    "visibility": lambda result: (VISIBILITIES.index(result.visibility), result.visibility),
    "missing": lambda result: (result.missing, str(result.missing)),
    "sequences": lambda result: (result.missing, result.sequences),
}


def breakdown(results: Sequence[CaseResult]) -> dict[str, dict[str, Any]]:
    """Summarise the cases by each of GROUPINGS, against the training label."""
    return {name: _groups(results, key) for name, key in GROUPINGS.items()}


def _groups(results: Sequence[CaseResult], key: Callable[[CaseResult], GroupKey]) -> dict[str, Any]:
    groups = sorted({key(result) for result in results})
    return {
        group[1]: summarise([result for result in results if key(result) == group])
        for group in groups
    }
