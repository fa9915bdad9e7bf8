"""Site overrides as a YAML file, checked when it is read."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    field_validator,
    model_validator,
)

from service.adapters.entry_files import EntryFile
from service.adapters.header_facts import KNOWN_ATTRIBUTES
from service.domain.errors import InvalidOverridesError
from service.domain.override import Condition, SiteOverride
from service.domain.sequence import Role, SequenceLabel

NEVER = "NEVER"
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Entry(BaseModel):
    """Anything in the file; unknown words are errors, not comments."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Condition(_Entry):
    equals: _Text | None = None
    one_of: Annotated[list[_Text], Field(min_length=1)] | None = None
    contains: _Text | None = None
    regex: Annotated[str, Field(min_length=1)] | None = None
    min: FiniteFloat | None = None
    max: FiniteFloat | None = None

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as exc:
                raise ValueError(f"no regular expression: {exc}") from exc
        return value

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        """Take a text alone as what the attribute equals."""
        return {"equals": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _says_something(self) -> "_Condition":
        if not self.model_fields_set:
            raise ValueError("needs one of equals, one_of, contains, regex, min, max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"nothing lies between min {self.min:g} and max {self.max:g}")
        return self

    def as_condition(self, attribute: str) -> Condition:
        wanted = (*([] if self.equals is None else [self.equals]), *(self.one_of or []))
        return Condition(attribute, wanted, self.contains, self.regex, self.min, self.max)


class _Override(_Entry):
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]
    why: str = ""
    match: Annotated[dict[str, _Condition], Field(min_length=1)]
    label: SequenceLabel | None = None
    role: Role | str | None = None

    @field_validator("match")
    @classmethod
    def _known_attributes(cls, value: dict[str, Any]) -> dict[str, Any]:
        for attribute in value:
            if attribute not in KNOWN_ATTRIBUTES:
                raise ValueError(
                    f"{attribute} is not among the attributes that are read; "
                    "see docs/sequences.md for those that are"
                )
        return value

    @model_validator(mode="after")
    def _does_something(self) -> "_Override":
        if self.role is not None and self.role not in (*Role, NEVER):
            raise ValueError(f"role {self.role} is none of {', '.join(Role)}, {NEVER}")
        if self.label is None and self.role is None:
            raise ValueError("needs a label or a role")
        return self

    def as_override(self) -> SiteOverride:
        return SiteOverride(
            override_id=self.id,
            conditions=tuple(
                each.as_condition(attribute) for attribute, each in self.match.items()
            ),
            label=self.label,
            role=Role(self.role) if self.role not in (None, NEVER) else None,
            never=self.role == NEVER,
        )


class _File(_Entry):
    version: Annotated[int, Field(ge=1, le=1)]
    overrides: list[_Override]

    @model_validator(mode="after")
    def _unique(self) -> "_File":
        names = [each.id for each in self.overrides]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the id {twice[0]} is used twice")
        return self


_OVERRIDES = EntryFile(
    _File, "overrides", named_by="id", by_kind=False, error=InvalidOverridesError
)


def read_overrides(path: Path) -> tuple[SiteOverride, ...]:
    """Read the overrides of a site, in their order.

    Raises
    ------
    InvalidOverridesError
        If the file cannot be read, is no YAML, or says something that is not understood; names
        the entry and the value.
    """
    return tuple(each.as_override() for each in _OVERRIDES.read(path).overrides)
