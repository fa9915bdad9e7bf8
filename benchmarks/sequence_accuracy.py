"""How often the sequence detector is right on labelled series, and what it takes for what.

``python -m benchmarks.sequence_accuracy FOLDER`` reads ``FOLDER/labels.csv`` with the columns
``path`` (a series folder below FOLDER) and ``labels`` (its right labels, separated by ``;``), and
prints a report in Markdown. Your own cases can be measured the same way.

A series is right if its volumes have just the labels that were given. Raw diffusion directions may
have their b0 volumes as a second label, and a map of anisotropy in colour may be no image.
"""

import argparse
import csv
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from service.bootstrap.local_study import classify_folder
from service.domain.classification_report import ClassificationReport, ListedSeries
from service.settings import Settings

ALSO_RIGHT = {"DWI_DIRECTIONAL": {"DWI_B0"}, "DIFFUSION_DERIVED": {"NON_IMAGE"}}
NAMES = ("SeriesDescription", "ProtocolName")

HEAD = """# How often the sequence detector is right

Printed by `python -m benchmarks.sequence_accuracy FOLDER`. A series is right if its volumes have
just the labels that were given; raw diffusion directions may have their b0 volumes as a second
label, and stand then in both columns. Numbers in brackets are confidences.

"""


@dataclass(frozen=True)
class Outcome:
    """One series: what it is, and what its volumes were taken for, with the best confidence."""

    path: str
    expected: frozenset[str]
    found: dict[str, float]

    @property
    def is_right(self) -> bool:
        """Whether the labels are those that were given."""
        allowed = self.expected.union(*(ALSO_RIGHT.get(label, set()) for label in self.expected))
        return self.expected <= self.found.keys() <= allowed


def measure(
    folder: Path, *, headers_only: bool = False, alone: bool = False, stripped: bool = False
) -> list[Outcome]:
    """Classify all labelled series.

    Parameters
    ----------
    folder : Path
        Holds ``labels.csv`` and the series.
    headers_only : bool
        Read no pixels.
    alone : bool
        Classify every series by itself, not in the folder around it, which is its study.
    stripped : bool
        Remove names and private elements first.
    """
    with (folder / "labels.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    with tempfile.TemporaryDirectory() as place:
        if stripped:
            for row in rows:
                strip(folder / row["path"], Path(place) / row["path"])
            folder = Path(place)
        # A study is classified once, not once for each of its series.
        classified = cache(partial(_classified, headers_only=headers_only))
        return [_outcome(folder, row, alone, classified) for row in rows]


def strip(series: Path, target: Path) -> None:
    """Copy a series without names and private elements, at every depth."""
    target.mkdir(parents=True)
    with disable_value_validation():
        for path in sorted(series.iterdir()):
            dataset = dcmread(path, force=True)
            dataset.walk(_remove_what_archives_drop)
            for tag in [tag for tag in dataset.keys() if tag.group == 0]:  # noqa: SIM118 - iterating a data set reads its values
                del dataset[tag]
            dataset.save_as(target / path.name, enforce_file_format=False)


def _remove_what_archives_drop(dataset: Dataset, element: DataElement) -> None:
    if element.tag.is_private or element.keyword in NAMES:
        del dataset[element.tag]


def _outcome(
    folder: Path,
    row: dict[str, str],
    alone: bool,
    classified: Callable[[Path], ClassificationReport],
) -> Outcome:
    series = folder / row["path"]
    uid = str(dcmread(min(series.iterdir()), stop_before_pixels=True, force=True).SeriesInstanceUID)
    report = classified(series if alone else _study(series))
    found: dict[str, float] = defaultdict(float)
    for volume in _members(report, uid).volumes:
        found[volume.label] = max(found[volume.label], volume.confidence)
    return Outcome(row["path"], frozenset(row["labels"].split(";")), dict(found))


def _study(series: Path) -> Path:
    """Return the folder around a series, unless series beside it repeat the same instances."""
    beside = [min(each.iterdir()) for each in series.parent.iterdir() if each.is_dir()]
    uids = [dcmread(path, stop_before_pixels=True, force=True).SOPInstanceUID for path in beside]
    return series.parent if len(set(uids)) == len(uids) else series


def _classified(folder: Path, headers_only: bool) -> ClassificationReport:
    return classify_folder(Settings.load(), folder, (), with_pixels=not headers_only)


def _members(report: ClassificationReport, series_uid: str) -> ListedSeries:
    return next(each for each in report.series if each.series_instance_uid == series_uid)


def confusion(outcomes: Sequence[Outcome]) -> str:
    """Return the confusion matrix: one row a right label, one column a label that was given."""
    counts: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        counts.update(_pairs(outcome))
    rows = sorted({right for right, _ in counts})
    columns = sorted({given for _, given in counts})
    head = ["| is \\ taken for |", *(f" {label} |" for label in columns)]
    lines = ["".join(head), "|---" * (len(columns) + 1) + "|"]
    for right in rows:
        cells = (f" {counts[right, given] or '.'} |" for given in columns)
        lines.append("".join([f"| **{right}** |", *cells]))
    return "\n".join(lines)


def _pairs(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """Yield each right label with what was found for it: itself, or everything that is wrong."""
    wrong = sorted(outcome.found.keys() - outcome.expected)
    allowed = set().union(*(ALSO_RIGHT.get(label, set()) for label in outcome.expected))
    for right in sorted(outcome.expected):
        if right in outcome.found:
            yield right, right
        yield from ((right, given) for given in wrong if right not in outcome.found)
        yield from (
            (right, given) for given in wrong if right in outcome.found and given in allowed
        )


def told(outcomes: Sequence[Outcome], title: str) -> str:
    """Return one section of the report."""
    right = sum(outcome.is_right for outcome in outcomes)
    share = 100 * right / len(outcomes)
    lines = [f"## {title}", "", f"**{right} of {len(outcomes)} series right ({share:.0f} %).**", ""]
    for outcome in outcomes:
        if not outcome.is_right:
            found = ", ".join(f"{label} ({sure:.2f})" for label, sure in outcome.found.items())
            lines.append(f"- `{outcome.path}` is {', '.join(sorted(outcome.expected))}: {found}")
    return "\n".join([*lines, "", confusion(outcomes), ""])


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    sections: tuple[tuple[str, dict[str, bool]], ...] = (
        ("In their studies, with pixels", {}),
        ("Each series alone, headers only", {"alone": True, "headers_only": True}),
        ("Without descriptions, protocol names and private elements", {"stripped": True}),
        (
            "The same, each series alone, headers only",
            {"stripped": True, "alone": True, "headers_only": True},
        ),
    )
    sys.stdout.write(HEAD)
    for title, options in sections:
        sys.stdout.write(told(measure(folder, **options), title) + "\n")


if __name__ == "__main__":
    main()
