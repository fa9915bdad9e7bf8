"""Plots of an evaluation; every one says whether the data are simulated."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

SIZE_INCHES = (6.0, 4.2)
PER_CASE_LIMIT = 8.0
BLUE, ORANGE, GREY = "tab:blue", "tab:orange", "0.6"


def draw_plots(measured: Mapping[str, Any], folder: Path, stem: str) -> dict[str, Path]:
    """Write all plots that the measurements allow; return their files by title."""
    plots: dict[str, tuple[str, Callable[[Axes, Mapping[str, Any]], None]]] = {
        "Sensitivity against false positives": ("froc", _froc),
        "Calibration": ("calibration", _calibration),
        "Dice of cases with a clot": ("dice", _dice),
    }
    if measured["subsets"] is not None:
        plots["Dice and detection by missing sequences"] = ("robustness", _robustness)
    files = {}
    for title, (name, draw) in plots.items():
        file = folder / f"{stem}-{name}.png"
        figure = Figure(SIZE_INCHES, layout="constrained")
        axes = figure.subplots()
        draw(axes, measured)
        axes.set_title(f"{title} ({measured['data']} data)")
        figure.savefig(file, dpi=100)
        files[title] = file
    return files


def _froc(axes: Axes, measured: Mapping[str, Any]) -> None:
    for label, colour in (("target", BLUE), ("lumen", ORANGE)):
        for unit, style in (("cases", "-"), ("clots", "--")):
            curve = measured["froc"][label][unit]
            if curve is not None:
                axes.plot(
                    curve["false_positives_per_case"],
                    curve["sensitivity"],
                    style,
                    color=colour,
                    label=f"{unit}, {label}",
                )
                # The point is what the service reports.
                reported = curve["reported"]
                place = reported["false_positives_per_case"], reported["sensitivity"]
                axes.plot(*place, "o", color=colour)
    axes.set(xlabel="false positives per case", ylabel="sensitivity", ylim=(0, 1.02))
    axes.set_xlim(-0.02, min(PER_CASE_LIMIT, max(1.0, axes.get_xlim()[1])))
    if axes.lines:
        axes.legend(loc="lower right")


def _calibration(axes: Axes, measured: Mapping[str, Any]) -> None:
    axes.plot([0, 1], [0, 1], ":", color=GREY, label="perfect")
    calibration = measured["calibration"]
    for name, title, colour in (
        ("voxels", "voxels within 10 mm", BLUE),
        ("cases", "cases: clot present", ORANGE),
    ):
        bins = calibration[name]["bins"]
        if bins is not None:
            points = [
                (confidence, frequency)
                for count, confidence, frequency in zip(
                    bins["count"], bins["confidence"], bins["frequency"], strict=True
                )
                if count
            ]
            axes.plot(*zip(*points, strict=True), "o-", color=colour, label=title)
    axes.set(xlabel="probability", ylabel="share that is true", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="upper left")


def _dice(axes: Axes, measured: Mapping[str, Any]) -> None:
    values = [
        [case[label]["dice"] for case in measured["cases"] if case[label]["with_clot"]]
        for label in ("target", "lumen")
    ]
    axes.hist(values, bins=20, range=(0, 1), color=[BLUE, ORANGE], label=["target", "lumen"])
    axes.set(xlabel="Dice", ylabel="cases")
    axes.legend(loc="upper left")


def _robustness(axes: Axes, measured: Mapping[str, Any]) -> None:
    by_missing = measured["subsets"]["by_missing"]
    for key, title, colour in (
        ("dice_all", "Dice, all", BLUE),
        ("detection_rate", "detection", ORANGE),
    ):
        points = [(int(n), row[key]) for n, row in by_missing.items() if row[key] is not None]
        if not points:
            continue
        missing = [n for n, _ in points]
        axes.plot(missing, [mean["value"] for _, mean in points], "o-", color=colour, label=title)
        spans = [mean["interval"] or [mean["value"]] * 2 for _, mean in points]
        lows, highs = zip(*spans, strict=True)
        axes.fill_between(missing, lows, highs, color=colour, alpha=0.2)
    axes.set(xlabel="missing sequences", ylabel="mean over cases", ylim=(0, 1.02))
    axes.set_xticks([int(n) for n in by_missing])
    if axes.lines:
        axes.legend(loc="lower left")
