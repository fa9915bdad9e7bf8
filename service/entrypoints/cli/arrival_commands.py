"""The command that shows what arrives."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.bootstrap.gateway import Gateway
from service.domain.arrival import Arrival, JobArrival
from service.domain.errors import UnknownJobError
from service.entrypoints.errors_told import errors_told
from service.settings import Settings


def arrivals(
    limit: Annotated[int, typer.Option(min=1, help="Most studies to show.")] = 50,
) -> None:
    """Show arriving studies, the one that came last first, and what they were started by."""
    with errors_told():
        gateway = Gateway(Settings.load())
        try:
            found = gateway.arrivals.database.recent(limit)
            told = [(each, _of_job(gateway, each.job_id)) for each in found]
        finally:
            gateway.close()
    console = Console()
    console.print(_table(told))
    console.print(f"{len(found)} shown")


def _of_job(gateway: Gateway, job_id: str | None) -> JobArrival | None:
    """Return how the study of a job arrived; the job may have been deleted meanwhile."""
    if job_id is None:
        return None
    try:
        return gateway.database.get(job_id).arrival
    except UnknownJobError:
        return None


def _table(told: list[tuple[Arrival, JobArrival | None]]) -> Table:
    table = Table("study", "source", "state", "instances", "new", "twice", "starts; last job")
    for column in table.columns:
        column.overflow = "fold"
    for arrival, last in told:
        due = arrival.due_at()
        words = [] if due is None else [f"starts at {due:%Y-%m-%d %H:%M:%S} UTC at the latest"]
        if arrival.job_id is not None:
            words.append(f"{arrival.job_id}, round {arrival.rounds}")
        if last is not None:
            words.append(f"by {last.reason}, {last.instances} instances, {last.late} came late")
        table.add_row(
            escape(arrival.study_instance_uid),
            escape(arrival.source.name),
            arrival.state,
            str(arrival.instances),
            str(arrival.new),
            str(arrival.duplicates),
            escape("\n".join(words)),
        )
    return table
