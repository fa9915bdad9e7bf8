"""Destinations as a YAML file, checked when it is read; secrets as files of their own."""

from pathlib import Path

from service.adapters.destination_entries import AnyEntry, DestinationFile
from service.adapters.entry_files import EntryFile
from service.domain.errors import InvalidDestinationsError

_FILE = EntryFile(
    DestinationFile, "destinations", named_by="name", by_kind=True, error=InvalidDestinationsError
)


def read_destinations(path: Path) -> tuple[AnyEntry, ...]:
    """Read the destinations of an installation, in their order.

    Raises
    ------
    InvalidDestinationsError
        If the file cannot be read, is no YAML, or says something that is not understood; names
        the entry and the value.
    """
    return tuple(_FILE.read(path).destinations)


def read_secret(path: Path) -> str:
    """Read a secret without the white space around it.

    Raises
    ------
    InvalidDestinationsError
        If the file cannot be read or is empty; never tells what it holds.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise InvalidDestinationsError(f"the file {path} is no text in UTF-8") from None
    except OSError as exc:
        raise InvalidDestinationsError(f"the file {path} cannot be read: {exc.strerror}") from exc
    if not secret:
        raise InvalidDestinationsError(f"the file {path} is empty, a secret was expected")
    return secret
