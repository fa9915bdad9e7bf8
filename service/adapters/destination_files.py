"""Destinations as a YAML file, checked when it is read; secrets as files of their own."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from service.adapters.destination_entries import AnyEntry, DestinationFile
from service.adapters.entry_faults import first_fault
from service.adapters.yaml_texts import read_yaml
from service.domain.errors import InvalidDestinationsError


def read_destinations(path: Path) -> tuple[AnyEntry, ...]:
    """Read the destinations of an installation, in their order.

    Raises
    ------
    InvalidDestinationsError
        If the file cannot be read, is no YAML, or says something that is not understood; names
        the entry and the value.
    """
    try:
        content = read_yaml(path)
        checked = DestinationFile.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise InvalidDestinationsError(f"{path}: {exc}") from exc
    except ValidationError as exc:
        fault = first_fault(exc, content, "destinations")
        raise InvalidDestinationsError(f"{path}: {fault}") from exc
    return tuple(checked.destinations)


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
