"""The acceptance table: what was measured on simulated cases beside what was published."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.simulator_measures import READER_RATIOS

VOLUMETRIC = ("A", "B", "C")
PLANAR = "D"
# The threshold reader of the table; the others stand in the data.
READER_RATIO = 0.7
RESAMPLES = 1000

Row = dict[str, Any]
Statistic = Callable[[npt.NDArray[np.float64]], Any]


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes
    ----------
    quantity : str
    values : sequence of float
        One for every thrombus, patient or body; percentages are means of 0 and 100.
    statistic : callable
        Mean or median.
    unit : str
    low, high : float
        Limits of what was published.
    published : str
        The values and where they are from.
    """

    quantity: str
    values: Sequence[float]
    statistic: Statistic
    unit: str
    low: float
    high: float
    published: str

    @property
    def measured(self) -> float:
        """The statistic of all values; NaN without any."""
        return float(self.statistic(np.array(self.values))) if self.values else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the statistic, by resampling with replacement."""
        if not self.values:
            return float("nan"), float("nan")
        rng = np.random.default_rng(0)
        drawn = rng.choice(np.array(self.values), (RESAMPLES, len(self.values)))
        low, high = np.percentile([self.statistic(sample) for sample in drawn], [2.5, 97.5])
        return float(low), float(high)

    @property
    def inside(self) -> str:
        """Whether the measured value lies inside the published limits, or its interval reaches."""
        if self.low <= self.measured <= self.high:
            return "yes"
        low, high = self.interval
        return "within error" if low <= self.high and high >= self.low else "**no**"


def table(rows: Sequence[Row]) -> list[Line]:
    """Compare everything that was measured with what was published."""
    clots = [row for row in rows if "occlusion" in row]
    spatial = [row for row in clots if row["site"] in VOLUMETRIC]
    planar = [row for row in clots if row["site"] == PLANAR]
    return [
        *_visibility(clots, spatial, planar),
        *_reader(rows, spatial, planar),
        *_shape(spatial),
        *_phases(spatial),
        *_others(rows),
    ]


def _percent(flags: Sequence[Any]) -> list[float]:
    return [100.0 * bool(flag) for flag in flags]


def _visibility(clots: list[Row], spatial: list[Row], planar: list[Row]) -> list[Line]:
    groups = {f"site {s}": [row for row in clots if row["site"] == s] for s in VOLUMETRIC}
    published = "SWI 93 (Radbruch 2013), 95.5 (Weisstanner 2014), 78 (Kang 2017)"
    lines = [
        Line(
            f"visible thrombi (SVS), {name}",
            _percent([row["visible"] for row in chosen]),
            *(np.mean, "%", 75, 95.5, published),
        )
        for name, chosen in {**groups, "3D sites together": spatial}.items()
    ]
    published = "2D T2* 54 (Hodel 2014), 76 (Stroke 2019), 67 to 78 (Raj)"
    flags = _percent([row["visible"] for row in planar])
    name = f"visible thrombi (SVS), site {PLANAR}, 2D"
    return [*lines, Line(name, flags, np.mean, "%", 54, 78, published)]


def _reader(rows: Sequence[Row], spatial: list[Row], planar: list[Row]) -> list[Line]:
    """Sensitivity of one reader on both kinds of images, and his false calls."""
    level = READER_RATIOS.index(READER_RATIO)
    found = {row["seed"]: row["found"][level] for row in spatial}
    flat = {row["seed"]: row["found"][level] for row in planar}
    gained = [100.0 * found[s] - 100.0 * flat[s] for s in found if s in flat]
    false = [row["healthy_dark"][level] for row in rows if row["site"] in VOLUMETRIC]
    return [
        Line(
            "threshold reader finds, 3D",
            _percent(list(found.values())),
            *(np.mean, "%", 83, 96, "83 to 96 (Hodel 2014)"),
        ),
        Line(
            "threshold reader finds, 2D, same patients",
            _percent(list(flat.values())),
            *(np.mean, "%", 54, 67, "54 (Hodel 2014), 67 (Raj)"),
        ),
        Line(
            "3D finds more than 2D by",
            gained,
            *(np.mean, "points", 29, 42, "29 to 42 (Hodel 2014)"),
        ),
        Line(
            "reader calls a healthy M1 dark, 3D",
            _percent(false),
            *(np.mean, "%", 0, 9, "specificity 91 to 100 (Hodel 2014, Raj)"),
        ),
    ]


def _shape(spatial: list[Row]) -> list[Line]:
    m1, ica, basilar = (
        [row for row in spatial if row["occlusion"] == site] for site in ("M1", "ICA", "BA")
    )
    bloom = {
        name: [row["dark_section"] for row in chosen if row["visible"]]
        for name, chosen in (("M1", m1), ("BA", basilar))
    }
    return [
        Line(
            "SVS diameter of M1 thrombi, median",
            [row["svs_width_mm"] for row in m1 if row["visible"]],
            *(np.median, "mm", 4, 6, "4 to 6; cut-off of cardio-embolism 5.5 (Kang 2017)"),
        ),
        Line(
            "M1 blooms: dark over true cross-section, median",
            bloom["M1"],
            *(np.median, "x", 1.4, 4, "1.4 to 4, closed form across the field"),
        ),
        Line(
            "basilar does not: the same",
            bloom["BA"],
            *(np.median, "x", 1.0, 1.3, "1.0 to 1.3, closed form along the field"),
        ),
        Line(
            "length of all thrombi, median",
            [row["length_mm"] for row in spatial],
            *(np.median, "mm", 9.9, 16.1, "9.9 (MR, n = 34), 16.1 (CT, Kamalian 2013)"),
        ),
        Line(
            "length of M1 thrombi, mean",
            [row["length_mm"] for row in m1],
            *(np.mean, "mm", 8.2, 18.5, "8.2 +/- 4.6 (MR), 18.5 +/- 14.2 (CT)"),
        ),
        Line(
            "volume of ICA and M1 thrombi, mean",
            [row["true_mm3"] for row in m1 + ica],
            *(np.mean, "mm3", 107.5, 173.7, "107.5 and 173.7 (CT, Baek 2017)"),
        ),
        Line(
            "patients with fragments",
            _percent([row["pieces"] > 1 for row in spatial]),
            *(np.mean, "%", 7.4, 11.2, "7.4 (Gratz 2015), 11.2"),
        ),
    ]


def _phases(spatial: list[Row]) -> list[Line]:
    clots = [row["clot_phase"] > 0 for row in spatial if row["visible"]]
    calcium = [sign < 0 for row in spatial for sign in row["calcium_phase"] if sign]
    return [
        Line(
            "thrombi whose phase is that of a raised susceptibility",
            _percent(clots),
            *(np.mean, "%", 95, 100, "paramagnetic: all"),
        ),
        Line(
            "calcifications whose phase is the opposite",
            _percent(calcium),
            *(np.mean, "%", 95, 100, "diamagnetic: all"),
        ),
    ]


def _others(rows: Sequence[Row]) -> list[Line]:
    bleeds = [pair for row in rows for pair in row.get("microbleeds", ()) if pair[0] > 0]
    ratios = [row["adc_ratio"] for row in rows if row.get("adc_ratio") is not None]
    return [
        Line(
            "microbleeds grow from TE 20 to 40 ms, median",
            [long / short for short, long in bleeds],
            *(np.median, "x", 2.1, 2.5, "2.30 (Liu 2012), taken as +/- 0.2"),
        ),
        Line(
            "ADC of the infarct over that of other brain, mean",
            ratios,
            *(np.mean, "", 0.55, 0.85, "0.74 (Nagesh 1998), 0.77 at admission; 0.55 to 0.85"),
        ),
        Line(
            "patients without a thrombus",
            _percent([not row["with_clot"] for row in rows if row["site"] == PLANAR]),
            *(np.mean, "%", 15, 15, "15, as specified"),
        ),
    ]


HEAD = """# Simulated against published

Printed by `python -m benchmarks.simulator_acceptance --cases {cases}`: {cases} simulated cases,
patients each at one of the three-dimensional sites and at the two-dimensional one. **All images are
simulated.** In brackets: 95 % interval by resampling. "Within error" means that the value lies
outside of what was published and its interval does not.

| quantity | simulated | published limits | inside | n | published |
|---|---|---|---|---|---|
"""


def markdown(lines: Sequence[Line], cases: int) -> str:
    """Return the table as Markdown."""
    body = []
    for line in lines:
        low, high = line.interval
        measured = f"{line.measured:.3g} [{low:.3g}, {high:.3g}] {line.unit}".strip()
        limits = f"{line.low:g} to {line.high:g}" if line.low < line.high else f"{line.low:g}"
        cells = (line.quantity, measured, limits, line.inside, len(line.values), line.published)
        body.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return HEAD.format(cases=cases) + "\n".join(body) + "\n"
