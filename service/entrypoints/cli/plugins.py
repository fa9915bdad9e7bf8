"""Commands that other distributions, or extras of this one, add through entry points.

The service imports none of them: it only knows the name of the group.
"""

import functools
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import ParamSpec

import typer

GROUP = "thrombolens.commands"
ADVICE = 'pip install "thrombolens[training]"'
# A command that cannot run takes whatever words it is given.
_ANY_WORDS = {"allow_extra_args": True, "ignore_unknown_options": True}
_Options = ParamSpec("_Options")


def add_plugins(app: typer.Typer, points: Iterable[EntryPoint] | None = None) -> None:
    """Add a command for every entry point of the group.

    Parameters
    ----------
    app : typer.Typer
    points : iterable of EntryPoint, optional
        Each names a function with the annotations of a Typer command, in a module that is light to
        import; those that are installed if not given.
    """
    for point in entry_points(group=GROUP) if points is None else points:
        try:
            function = point.load()
        except ModuleNotFoundError as exc:
            app.command(point.name, context_settings=_ANY_WORDS)(_unavailable(point.name, exc))
        else:
            app.command(point.name)(_told(point.name, function))


def _told(name: str, function: Callable[_Options, None]) -> Callable[_Options, None]:
    """Return the function, with one line instead of a traceback where a module is missing."""

    @functools.wraps(function)
    def told(*args: _Options.args, **options: _Options.kwargs) -> None:
        try:
            function(*args, **options)
        except ModuleNotFoundError as exc:
            raise _exit(name, exc) from exc

    return told


def _unavailable(name: str, reason: ModuleNotFoundError) -> Callable[[], None]:
    def unavailable() -> None:
        raise _exit(name, reason)

    unavailable.__doc__ = f"Not installed: {ADVICE}"
    return unavailable


def _exit(name: str, reason: ModuleNotFoundError) -> typer.Exit:
    typer.echo(f"thrombolens {name} is not installed ({reason}): {ADVICE}", err=True)
    return typer.Exit(1)
