"""What commands are asked for: names by comma, and what to say where it cannot be simulated."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from service.domain.errors import InputError
from training.simulate.site import OptionError


def names_of(text: str) -> tuple[str, ...]:
    """Split names at commas; none if there is nothing between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


@contextmanager
def told() -> Iterator[None]:
    """Turn what is wrong with an option into the line that Typer prints.

    Raises
    ------
    typer.BadParameter
        In place of OptionError and InputError.
    """
    try:
        yield
    except (OptionError, InputError) as exc:
        raise typer.BadParameter(str(exc)) from exc
