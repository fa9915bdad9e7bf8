"""Commands about deliveries: show them, ask for them again."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.bootstrap.gateway import Gateway
from service.domain.delivery import Delivery
from service.entrypoints.errors_told import errors_told
from service.settings import Settings

deliveries = typer.Typer(help="Show deliveries of results, or ask for one again.")


@deliveries.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    job: Annotated[str | None, typer.Option(help="Only those of this job.")] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only those that failed, at last or for good.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most deliveries to show.")] = 50,
) -> None:
    """Show deliveries, newest first, with what every receiver said last."""
    if context.invoked_subcommand is not None:
        return
    with errors_told():
        gateway = Gateway(Settings.load())
        try:
            found = _found(gateway, job, failed, limit)
            known = {each.name for each in gateway.destinations}
        finally:
            gateway.close()
    console = Console()
    console.print(_table(found, known))
    console.print(f"{len(found)} shown")


@deliveries.command()
def resend(
    delivery_ids: Annotated[list[str], typer.Argument(help="Identifiers of deliveries.")],
) -> None:
    """Send deliveries again: what the receiver does not hold, or all if it holds everything."""
    with errors_told():
        gateway = Gateway(Settings.load())
        try:
            for delivery_id in delivery_ids:
                job_id = gateway.deliveries.get(delivery_id).job_id
                again = gateway.resend(job_id, delivery_id)
                typer.echo(f"{delivery_id}: {again.state}, to {again.destination}")
        finally:
            gateway.close()


def _found(gateway: Gateway, job_id: str | None, failed: bool, limit: int) -> tuple[Delivery, ...]:
    if job_id is None:
        return gateway.deliveries.recent(limit, failed=failed)
    found = gateway.deliveries.of_job(gateway.database.get(job_id).job_id)
    return tuple(each for each in found if not failed or each.failure is not None)[:limit]


def _table(found: tuple[Delivery, ...], known: set[str]) -> Table:
    table = Table("delivery, of job", "destination", "state", "tries", "objects, and last failure")
    for column in table.columns:
        column.overflow = "fold"
    for each in found:
        told = [f"{one.kind} {one.state}: {one.status or '-'}" for one in each.objects]
        told += [f"{each.failure.code}: {each.failure.message}"] if each.failure else []
        if each.state.open and each.destination not in known:
            told.append(f"no destination is named {each.destination} any more")
        table.add_row(
            f"{each.delivery_id}\n{each.job_id}",
            escape(each.destination),
            each.state,
            str(each.attempts),
            escape("\n".join(told)),
        )
    return table
