"""Destinations as a YAML file, checked when it is read; secrets as files of their own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from service.adapters.destination_entries import AnyEntry, DestinationFile
from service.adapters.yaml_texts import read_yaml
from service.domain.errors import InvalidDestinationsError

# Values that may hold what nobody should read in a log.
SECRETIVE = ("url", "qido_url")


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
        first = exc.errors(include_url=False, include_context=False)[0]
        raise InvalidDestinationsError(f"{path}: {_told(first, content)}") from exc
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


def _told(error: ErrorDetails, content: Mapping[str, Any]) -> str:
    """Say in one line which entry is wrong, where, and what stands there."""
    # The third part of a place is the kind, which no line of the file is indented under.
    place = [part for number, part in enumerate(error["loc"]) if number != 2 or _is_whole(error)]
    words = [".".join(map(str, place)) or "the file"]
    if len(place) > 1:
        entry = content["destinations"][place[1]]
        name = entry.get("name") if isinstance(entry, dict) else None
        words += [f"(name {name})"] if name else []
    wrong = error["input"]
    hidden = not isinstance(wrong, str) or (place and place[-1] in SECRETIVE)
    given = "" if hidden else f", not {wrong!r}"
    return f"{' '.join(words)}: {error['msg'].removeprefix('Value error, ')}{given}"


def _is_whole(error: ErrorDetails) -> bool:
    """Whether the kind itself was not understood."""
    return error["type"].startswith("union_tag")
