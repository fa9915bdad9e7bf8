"""What is wrong in a YAML file of named entries, in one line."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

# Values that may hold what nobody should read in a log.
SECRETIVE = ("url", "qido_url")


def first_fault(error: ValidationError, content: Mapping[str, Any], entries: str) -> str:
    """Say which entry is wrong, where, and what stands there.

    Parameters
    ----------
    content : mapping
        The file as it was read.
    entries : str
        The key of the list of entries, each of a kind.
    """
    first = error.errors(include_url=False, include_context=False)[0]
    place = _place(first, entries)
    words = [".".join(map(str, place)) or "the file"]
    if len(place) > 1 and place[0] == entries:
        entry = content[entries][place[1]]
        name = entry.get("name") if isinstance(entry, dict) else None
        words += [f"(name {name})"] if name else []
    wrong = first["input"]
    hidden = not isinstance(wrong, str) or (place and place[-1] in SECRETIVE)
    given = "" if hidden else f", not {wrong!r}"
    return f"{' '.join(words)}: {first['msg'].removeprefix('Value error, ')}{given}"


def _place(error: ErrorDetails, entries: str) -> list[int | str]:
    """Return where the fault is, without the kind, which no line is indented under."""
    place = list(error["loc"])
    # The kind itself was not understood: then it is not part of the place.
    whole = error["type"].startswith("union_tag")
    if place[:1] == [entries] and not whole:
        del place[2:3]
    return place
