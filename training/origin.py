"""How the cases of a folder are made, noted beside them: all of them in the same way."""

import json
from collections.abc import Mapping
from pathlib import Path


class OriginError(ValueError):
    """Cases that are there were made otherwise; whoever makes more can choose another folder."""


def note_origin(folder: Path, name: Path, origin: Mapping[str, object]) -> None:
    """Note how the cases of a folder are made.

    Parameters
    ----------
    folder : Path
        Created if it is not there.
    name : Path
        Of the note, below it.
    origin : mapping
        As JSON holds it: what decides which cases are there and what is in them.

    Raises
    ------
    OriginError
        If there is a note that says otherwise; names the first difference.
    """
    file = folder / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
        return
    try:
        earlier = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as exc:
        raise OriginError(f"{file} does not say how the cases beside it were made") from exc
    # What only the note speaks of is a difference too: the default may be left out.
    for key in {**origin, **earlier}:
        before, now = earlier.get(key), origin.get(key)
        if before != now:
            raise OriginError(
                f"cases in {folder} were made with {key} {json.dumps(before)}, not"
                f" {json.dumps(now)}: choose another folder"
            )
