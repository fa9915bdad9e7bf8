"""What commands show: progress, findings, volumes."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from service.domain.classification_report import (
    ClassificationReport,
    ListedSeries,
    ListedVolume,
)
from service.domain.report import RESEARCH_USE_NOTICE

SHOWN_VOTES = 3


class StageBar:
    """A progress bar that moves from stage to stage; takes the place of ``Progress``."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<12}"), BarColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._progress.add_task("start", total=1.0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.stage("done", 1.0)
        self._progress.stop()

    def stage(self, stage: str, fraction: float) -> None:
        """Show the stage and how far the whole is, 0..1."""
        self._progress.update(self._task, description=str(stage), completed=fraction)


def show_findings(console: Console, report: Mapping[str, Any]) -> None:
    """Print result, findings and warnings of a report as JSON gives it."""
    console.print(f"Result: {report['result']}", style="bold")
    if report["insufficiency"]:
        console.print(report["insufficiency"], markup=False)
    if report["findings"]:
        console.print(_findings_table(report["findings"]))
    if report["missing_roles"]:
        console.print(f"Missing sequences: {', '.join(report['missing_roles'])}")
    for warning in report["warnings"]:
        console.print(f"{warning['code']}: {warning['detail']}", markup=False, style="yellow")
    console.print(RESEARCH_USE_NOTICE, style="bold yellow")


def _findings_table(findings: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(
        "no", "probability", "volume mm3", "length mm", "width mm", "side", "centroid LPS"
    )
    for found in findings:
        table.add_row(
            str(found["number"]),
            f"{found['probability']:.2f}",
            f"{found['volume_mm3']:.0f}",
            f"{found['length_mm']:.1f}",
            f"{found['width_mm']:.1f}",
            found["side"],
            ", ".join(f"{value:.1f}" for value in found["centroid_lps"]),
        )
    return table


def show_classification(console: Console, report: ClassificationReport) -> None:
    """Print each volume with its label, and what it is used for or why not."""
    for study in report.studies:
        console.print(f"Study {study.study_instance_uid}", style="bold", markup=False)
        members = [
            series
            for series in report.series
            if series.study_instance_uid == study.study_instance_uid
        ]
        console.print(_volumes_table(members))
        console.print(f"Missing roles: {', '.join(study.missing_roles) or 'none'}")
    if not report.studies:
        console.print(f"No DICOM instance; files that are not DICOM: {report.ignored_files}")
    for damage in report.damaged_files:
        console.print(f"DAMAGED_FILE: {damage}", markup=False, style="yellow")
    if not report.pixels_read:
        console.print("Headers only: no pixel was read")
    console.print(RESEARCH_USE_NOTICE, style="bold yellow")


def _volumes_table(series: Iterable[ListedSeries]) -> Table:
    """Return one row a volume; what its label rests on stands below what is done with it."""
    table = Table("series", "slices", "label", "sure", "used as, or not used because; label by")
    for column in table.columns:
        column.overflow = "fold"
    for member in series:
        for volume in member.volumes:
            table.add_row(
                escape(_name(member, volume)),
                str(volume.slices),
                volume.label,
                f"{volume.confidence:.2f}",
                escape(f"{_use(volume)}\n{_strongest(volume)}".strip()),
            )
    return table


def _name(series: ListedSeries, volume: ListedVolume) -> str:
    number = "-" if series.series_number is None else str(series.series_number)
    split = [f"{key}={value}" for key, value in volume.split.items()]
    return " ".join([number, series.series_description, *split])


def _use(volume: ListedVolume) -> str:
    if volume.role:
        return f"{volume.role}: {volume.role_reason}"
    return f"{volume.reason_code}: {volume.reason}"


def _strongest(volume: ListedVolume) -> str:
    """Return the strongest votes for the label, as many as people read."""
    own = [vote for vote in volume.evidence if vote.label == volume.label and vote.weight > 0]
    told = [f"{vote.rule_id} ({vote.attribute} {vote.value})" for vote in own[:SHOWN_VOTES]]
    return f"by {', '.join(told)}" if told else ""
