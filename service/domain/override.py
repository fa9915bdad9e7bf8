"""What a site knows better: conditions on header facts, and the label or role that follows."""

import math
import re
import unicodedata
from dataclasses import dataclass

from service.domain.sequence import Role, SequenceLabel
from service.domain.study import FactValue, PlaneFacts

# Numbers are equal that differ by less, as a share: some are stored in single precision.
SAME_NUMBER = 1e-7


@dataclass(frozen=True)
class Condition:
    """A condition on one header fact; all parts that are given must hold.

    Attributes
    ----------
    attribute : str
        DICOM keyword, or ``gggg,eeee`` of a private element.
    equals : tuple of str
        The fact, or one of its values, is one of these; case and accents do not count. A number
        is compared as a number.
    contains : str or None
        This text is in the fact; case and accents do not count.
    regex : str or None
        This regular expression is found in the fact; case does not count.
    low, high : float or None
        Bounds of a number, both inclusive, in DICOM's units.
    """

    attribute: str
    equals: tuple[str, ...] = ()
    contains: str | None = None
    regex: str | None = None
    low: float | None = None
    high: float | None = None

    def holds(self, fact: FactValue | None) -> bool:
        """Whether the fact is there and meets every part."""
        if fact is None:
            return False
        values = fact if isinstance(fact, tuple) else (fact,)
        return any(self._meets(value) for value in values) or self._meets(
            "\\".join(map(_as_text, values))
        )

    def _meets(self, value: str | float) -> bool:
        text = _as_text(value)
        if self.equals and not any(_is_same(each, value) for each in self.equals):
            return False
        if self.contains is not None and _folded(self.contains) not in _folded(text):
            return False
        if self.regex is not None and not re.search(self.regex, text, re.IGNORECASE):
            return False
        if self.low is None and self.high is None:
            return True
        if isinstance(value, str):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True)
class SiteOverride:
    """One rule of a site; it acts on every volume that meets all conditions.

    Attributes
    ----------
    override_id : str
        Name, as evidence and report show it.
    conditions : tuple of Condition
        On the facts of a volume's planes.
    label : SequenceLabel or None
        What the volume is, whatever else speaks; None leaves the label.
    role : Role or None
        The role that the volume gets before all others; None leaves the choice.
    never : bool
        The volume gets no role.
    """

    override_id: str
    conditions: tuple[Condition, ...]
    label: SequenceLabel | None = None
    role: Role | None = None
    never: bool = False

    def acts_on(self, plane: PlaneFacts) -> bool:
        """Whether all conditions hold."""
        return all(each.holds(plane.attributes.get(each.attribute)) for each in self.conditions)


def _as_text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.15g}"


def _is_same(wanted: str, value: str | float) -> bool:
    if isinstance(value, str):
        return _folded(wanted) == _folded(value)
    try:
        return math.isclose(float(wanted), value, rel_tol=SAME_NUMBER)
    except ValueError:
        return False


def _folded(text: str) -> str:
    """Return the text without case and accents; letters of any script stay."""
    parts = unicodedata.normalize("NFKD", text)
    return "".join(part for part in parts if not unicodedata.combining(part)).strip().casefold()
