"""An evaluation for people: Markdown tables and plots, every one marked with what it is of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluation_plots import draw_plots
from training.froc import FALSE_POSITIVES
from training.metrics import REAL, SIMULATED
from training.summary import METRIC_OF, SIZE_LIMITS_MM3

COUNTS = {"cases_with_clot": "with clot", "cases_without_clot": "without"}
MAIN = (
    "detection_rate",
    "detection_rate_any",
    "detection_rate_iou_0.1",
    "detection_rate_centre_5mm",
    "dice_all",
    "dice_detected",
    "false_positives_per_case",
    "false_alarm_rate_without_clot",
)
GEOMETRY = (
    "hd95_mm",
    "volume_error_mm3",
    "volume_error_absolute_mm3",
    "volume_error_relative",
    "length_error_mm",
    "length_error_absolute_mm",
)
SUBSET = (
    "detection_rate",
    "detection_rate_any",
    "dice_all",
    "dice_detected",
    "false_positives_per_case",
)
GROUPS = {
    "cohort": "cohort",
    "site": "site",
    "occlusion": "occluded artery",
    "clot_size": "clot size",
    "visibility": "visibility",
    "missing": "number of missing sequences",
    "sequences": "sequences",
}
CONDITIONS = {
    "all": "All sequences of each case.",
    "natural": "Without the sequences that the archive of each site would lack.",
}
# What the cases are, and what follows from it.
MEANING = {
    SIMULATED: "Simulated data: the numbers say nothing about patients.",
    REAL: "Real cases of one's own: the numbers say nothing about other hospitals. Research only.",
}
INTRODUCTION = """# Evaluation of {name} {version} on {data} cases

**{meaning}** {condition} Threshold {threshold:g},
peak {peak:g}, smallest finding {min_volume_mm3:g} mm3. Cases by cohort: {cohorts}.

Numbers are means over cases with their 95 % interval [low, high] by percentile bootstrap over
cases. The interval of a rate of exactly 0 or 1 has no width; with n cases it excludes only rates
more than 3 / n away. Groups of few cases have wide intervals: differences inside them mean nothing.

- **detection**: the most probable finding touches the label; **by any finding**: any of them does.
  IoU and centre are of the most probable finding with the clots that it touches, else the nearest.
- **Dice, all** is of all findings together and counts misses as 0 or nearly so; **detected** are
  the cases whose most probable finding touches the label.
- **HD95**, volume and length errors are of detected cases; the misses are counted beside them.
  HD95 and volume are of all findings together, length (largest Feret diameter) of the most
  probable one and the longest clot that it touches.
- **target** is what the network learns: the dark region that the clot causes, or its lumen where
  that is not visible; **lumen** is the true clot.
"""


def write_report(measured: Mapping[str, Any], folder: Path, stem: str) -> Path:
    """Write the plots and the Markdown report; return the report's file."""
    data = measured["data"]
    plots = draw_plots(measured, folder, stem)
    sections = [
        _introduction(measured),
        _overall(measured),
        *(
            f"## By {title}\n\n{table(title, measured['breakdown'][key], MAIN, data)}\n"
            for key, title in GROUPS.items()
        ),
        f"Clot sizes are of the true lumen; the limits are fixed at {SIZE_LIMITS_MM3[0]:g} and "
        f"{SIZE_LIMITS_MM3[1]:g} mm3.\n",
        _froc(measured["froc"], data),
        _calibration(measured["calibration"], data),
        _subsets(measured["subsets"], data),
        "## Plots\n",
        *(f"![{title} ({data})]({file.name})\n" for title, file in plots.items()),
    ]
    report = folder / f"{stem}.md"
    report.write_text("\n".join(sections))
    return report


def number(value: float | None, interval: Sequence[float] | None = None) -> str:
    """Return ``value [low, high]``, the value alone, or a dash."""
    if value is None:
        return "-"
    text = f"{value:.3g}"
    return text if interval is None else f"{text} [{interval[0]:.3g}, {interval[1]:.3g}]"


def cell(summary: Mapping[str, Any], key: str) -> str:
    """Return a metric of a summary with its interval."""
    return number(summary[key], summary["intervals"].get(key))


def lines(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    head = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    return "\n".join([*head, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def table(
    title: str, summaries: Mapping[str, Any], keys: Sequence[str], data: str = SIMULATED
) -> str:
    """Return a Markdown table of summaries, one a row."""
    header = [f"{title} ({data})", *COUNTS.values(), *(METRIC_OF[key].title for key in keys)]
    rows = [
        [name, *(summary[key] for key in COUNTS), *(cell(summary, key) for key in keys)]
        for name, summary in summaries.items()
    ]
    return lines(header, rows)


def _introduction(measured: Mapping[str, Any]) -> str:
    cohorts = ", ".join(f"{name} {count}" for name, count in measured["cohorts"].items())
    condition = CONDITIONS[measured["condition"]]
    return INTRODUCTION.format(
        **measured["model"],
        data=measured["data"],
        meaning=MEANING[measured["data"]],
        condition=condition,
        cohorts=cohorts,
    )


def _overall(measured: Mapping[str, Any]) -> str:
    labels = measured["labels"]
    rows = [
        [label, summary["detected"], summary["missed"], *(cell(summary, key) for key in GEOMETRY)]
        for label, summary in labels.items()
    ]
    titles = [METRIC_OF[key].title for key in GEOMETRY]
    data = measured["data"]
    geometry = lines([f"label ({data})", "detected", "missed", *titles], rows)
    return f"## All cases\n\n{table('label', labels, MAIN, data)}\n\n{geometry}\n"


def _froc(curves: Mapping[str, Any], data: str) -> str:
    rows = [
        [
            f"{unit}, {label}",
            curve["targets"],
            number(curve["reported"]["false_positives_per_case"]),
            number(curve["reported"]["sensitivity"]),
            *(number(at["value"], at["interval"]) for at in curve["sensitivity_at"].values()),
        ]
        for label, units in curves.items()
        for unit, curve in units.items()
        if curve is not None
    ]
    rates = [f"{rate:g}" for rate in FALSE_POSITIVES]
    header = [f"found ({data})", "number", "reported at", "reported", *rates, "mean"]
    return (
        "## Sensitivity at false positives per case\n\nAs the peak that a finding must have falls; "
        "*reported* is the model's own. A dash: with no peak at all there are fewer false "
        "positives than that. *clots*: a label that falls apart, as on thick slices, counts as "
        f"several.\n\n{lines(header, rows)}\n"
    )


def _calibration(calibration: Mapping[str, Any], data: str) -> str:
    voxels, cases = calibration["voxels"], calibration["cases"]
    entropy = calibration["entropy_and_dice"]
    rows = [
        ["voxels within 10 mm, pooled: calibration error", number(voxels["pooled_error"])],
        ["voxels, mean over cases: calibration error", _mean(voxels["expected_calibration_error"])],
        ["voxels, mean over cases: Brier score", _mean(voxels["brier"])],
        ["cases, clot present: calibration error", number(cases["expected_calibration_error"])],
        ["cases, clot present: Brier score", number(cases["brier"])],
        ["cases, clot present: area under ROC", number(cases["area_under_roc"])],
        [
            f"entropy of findings and Dice, rank correlation ({entropy['pairs']} cases)",
            number(entropy["rho"], entropy["interval"]),
        ],
    ]
    return f"## Calibration and uncertainty\n\n{lines([data, 'value'], rows)}\n"


def _mean(mean: Mapping[str, Any] | None) -> str:
    return "-" if mean is None else number(mean["value"], mean["interval"])


def _subsets(subsets: Mapping[str, Any] | None, data: str) -> str:
    if subsets is None:
        return "## Combinations of sequences\n\nNot measured.\n"
    header = [f"sequences ({data})", *COUNTS.values(), *(METRIC_OF[key].title for key in SUBSET)]
    rows = [
        [
            f"{name} ({row['odd']})" if row["odd"] else name,
            *(row[key] for key in COUNTS),
            *(cell(row, key) for key in SUBSET),
        ]
        for name, row in subsets["rows"].items()
    ]
    return (
        f"## Combinations of sequences\n\nCases measured: {subsets['cases']}; a case counts in a "
        "combination only if it has all of it. In brackets: physically odd, as one sequence is "
        "computed from the scan of the other; the means leave these out. Lowest Dice: "
        f"{subsets['worst'] or 'not known'}.\n\n{lines(header, rows)}\n\n"
        f"{missing_table(subsets, data)}\n\n{_means(subsets, data)}\n"
    )


def missing_table(subsets: Mapping[str, Any], data: str = SIMULATED) -> str:
    """Return a Markdown table by the number of missing sequences."""
    keys = ("detection_rate", "dice_all", "false_positives_per_case")
    header = [f"missing sequences ({data})", "combinations"]
    rows = [
        [count, row["combinations"], *(_mean(row[key]) for key in keys)]
        for count, row in subsets["by_missing"].items()
    ]
    return lines([*header, *(METRIC_OF[key].title for key in keys)], rows)


def _means(subsets: Mapping[str, Any], data: str) -> str:
    keys = ("detection_rate", "dice_all", "false_positives_per_case")
    header = [f"mean over combinations ({data})", "combinations"]
    rows = [
        [name, row["combinations"], *(number(row[key]) for key in keys)]
        for name, row in subsets["mean"].items()
    ]
    return lines([*header, *(METRIC_OF[key].title for key in keys)], rows)
