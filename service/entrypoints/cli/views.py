"""What commands show: progress, findings, volumes."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from service.domain.report import RESEARCH_USE_NOTICE
from service.domain.sequence import Role


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


def show_volumes(
    console: Console, volumes: Iterable[Mapping[str, Any]], missing_roles: Iterable[Role]
) -> None:
    """Print each volume with its label, and what it is used for or why not."""
    table = Table("series", "description", "split", "slices", "label", "sure", "used as / because")
    for volume in volumes:
        table.add_row(
            str(volume["series_number"]),
            volume["series_description"],
            " ".join(f"{key}={value}" for key, value in volume["split"].items()),
            str(volume["slices"]),
            volume["label"],
            f"{volume['confidence']:.2f}",
            f"{volume['role']}: {volume['role_reason']}"
            if volume["role"]
            else f"{volume['rejection_code']}: {volume['rejection_detail']}",
        )
    console.print(table)
    console.print(f"Missing roles: {', '.join(missing_roles) or 'none'}")
