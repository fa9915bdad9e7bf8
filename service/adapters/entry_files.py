"""YAML files of entries that an operator writes, checked by pydantic; a fault is one line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from service.adapters.yaml_texts import read_yaml
from service.domain.errors import ConfigurationError

# Values that may hold what nobody should read in a log.
SECRETIVE = ("url", "qido_url")

Checked = TypeVar("Checked", bound=BaseModel)


@dataclass(frozen=True)
class EntryFile(Generic[Checked]):
    """What a file holds.

    Attributes
    ----------
    model : type
        Of the whole file.
    entries : str
        The key of the list of entries.
    named_by : str
        The key by which an entry is known.
    by_kind : bool
        Whether entries are of several kinds, told apart by a discriminator.
    error : type
        Raised for whatever is wrong.
    """

    model: type[Checked]
    entries: str
    named_by: str
    by_kind: bool
    error: type[ConfigurationError]

    def read(self, path: Path) -> Checked:
        """Read a file.

        Raises
        ------
        ConfigurationError
            Of the kind ``error``, if it cannot be read, is no YAML, or says something that is not
            understood; names the entry and the value.
        """
        try:
            content = read_yaml(path)
            return self.model.model_validate(content)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
            raise self.error(f"{path}: {exc}") from exc
        except ValidationError as exc:
            raise self.error(f"{path}: {self._first_fault(exc, content)}") from exc

    def _first_fault(self, error: ValidationError, content: Mapping[str, Any]) -> str:
        """Say which entry is wrong, where, and what stands there."""
        first = error.errors(include_url=False, include_context=False)[0]
        place = self._place(first)
        words = [".".join(map(str, place)) or "the file"]
        if len(place) > 1 and place[0] == self.entries:
            entry = content[self.entries][place[1]]
            name = entry.get(self.named_by) if isinstance(entry, dict) else None
            words += [f"({self.named_by} {name})"] if name else []
        wrong = first["input"]
        hidden = not isinstance(wrong, str) or (place and place[-1] in SECRETIVE)
        given = "" if hidden else f", not {wrong!r}"
        return f"{' '.join(words)}: {first['msg'].removeprefix('Value error, ')}{given}"

    def _place(self, error: ErrorDetails) -> list[int | str]:
        """Return where the fault is, without the kind, which no line is indented under."""
        place = list(error["loc"])
        # The kind itself was not understood: then it is not part of the place.
        whole = error["type"].startswith("union_tag")
        if self.by_kind and place[:1] == [self.entries] and not whole:
            del place[2:3]
        return place
