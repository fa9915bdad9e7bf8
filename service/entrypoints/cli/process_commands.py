"""Commands that run a process of the service until it is told to stop."""

import typer

from service.bootstrap.processes import run_api, run_deliverer, run_listener, run_worker
from service.bootstrap.processes import serve as serve_both
from service.entrypoints.errors_told import errors_told
from service.settings import Settings


def add_processes(app: typer.Typer) -> None:
    """Add a command for every process."""
    for command in (serve, api, worker, deliver, listener):
        app.command()(command)


def serve() -> None:
    """Run API, worker, deliveries and listener together; all data in one folder."""
    with errors_told():
        raise typer.Exit(serve_both(Settings.load()))


def api() -> None:
    """Run the API alone; workers are processes of their own."""
    with errors_told():
        run_api(Settings.load())


def worker() -> None:
    """Run one worker; start as many as there are GPUs or spare cores."""
    with errors_told():
        run_worker(Settings.load())


def deliver() -> None:
    """Deliver results to the destinations in the settings; `serve` does so as well."""
    with errors_told():
        run_deliverer(Settings.load())


def listener() -> None:
    """Take studies from the sources in the settings; `serve` does so as well."""
    with errors_told():
        run_listener(Settings.load())
