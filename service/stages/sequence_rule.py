"""A rule of sequence detection, and the tests that rules are made of."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from service.domain.sequence import SequenceLabel
from service.stages.volume_traits import Trait, Traits


@dataclass(frozen=True)
class Test:
    """A condition on one trait.

    Attributes
    ----------
    wanted : str
        The condition in words, for the table that people read.
    find : callable
        Returns what it has found in the trait, None if the condition does not hold.
    """

    wanted: str
    find: Callable[[Trait], str | None]


@dataclass(frozen=True)
class Rule:
    """One rule: votes for or against a label when all its tests pass.

    Attributes
    ----------
    rule_id : str
        Stable identifier, shown as evidence.
    label : SequenceLabel
        What the rule votes about.
    weight : float
        Log-odds; negative is a vote against the label. 3 is a hint, 6 settles the matter unless
        something stronger speaks, 9 and more overrule.
    source : str
        Where the fact comes from.
    tests : tuple of (trait, test)
        All must pass, on traits that are known. What the first finds is shown as evidence.
    """

    rule_id: str
    label: SequenceLabel
    weight: float
    source: str
    tests: tuple[tuple[str, Test], ...]

    @property
    def attribute(self) -> str:
        """The trait that the rule is mainly about."""
        return self.tests[0][0]

    def finding(self, traits: Traits) -> str | None:
        """Return what the first test has found, None if the rule does not hold."""
        first = None
        for trait, test in self.tests:
            found = test.find(traits[trait]) if trait in traits else None
            if found is None:
                return None
            first = first or found
        return first


def rule(rule_id: str, label: SequenceLabel, weight: float, source: str, **tests: Test) -> Rule:
    """Return a rule; the tests are named after their traits, the main one first."""
    return Rule(rule_id, label, weight, source, tuple(tests.items()))


def one_of(*words: str) -> Test:
    """Pass if the trait is, or contains, one of these words."""

    def find(trait: Trait) -> str | None:
        return next((word for word in _words(trait) if word in words), None)

    return Test(" or ".join(words), find)


def none_of(*words: str) -> Test:
    """Pass if the trait neither is nor contains any of these words."""

    def find(trait: Trait) -> str | None:
        return None if set(words) & set(_words(trait)) else f"not {words[0]}"

    return Test(f"not {' or '.join(words)}", find)


def matches(pattern: str) -> Test:
    """Pass if the regular expression is found in the trait, or in one of its words."""
    compiled = re.compile(pattern)

    def find(trait: Trait) -> str | None:
        found = (compiled.search(word) for word in _words(trait))
        return next((match[0] for match in found if match), None)

    return Test(f"matches `{pattern}`", find)


def lacks(pattern: str) -> Test:
    """Pass if the regular expression is found nowhere in the trait."""
    compiled = re.compile(pattern)

    def find(trait: Trait) -> str | None:
        return None if any(map(compiled.search, _words(trait))) else "nothing against it"

    return Test(f"does not match `{pattern}`", find)


def between(low: float, high: float) -> Test:
    """Pass if the trait is a number in this closed range."""

    def find(trait: Trait) -> str | None:
        return f"{trait:g}" if isinstance(trait, float) and low <= trait <= high else None

    return Test(f"{low:g} to {high:g}", find)


def _words(trait: Trait) -> tuple[str, ...]:
    return trait if isinstance(trait, tuple) else (str(trait),)


# Sources.
STANDARD = "DICOM PS3.3 C.8.3.1 and C.8.13"
_NOTES = "github.com/rordenlab/dcm2niix"
SIEMENS = f"{_NOTES}/Siemens"
GE = f"{_NOTES}/GE"
PHILIPS = f"{_NOTES}/Philips"
UIH = f"{_NOTES}/UIH"
VENDORS = _NOTES
# Set by hand, and checked on the header patterns of the tests.
PHYSICS = "own judgement, held to tests/header_patterns"
NAMES = "usage, held to tests/header_patterns"

# Tests that many rules share.
GR = one_of("GR")
SE = one_of("SE")
EPI = one_of("YES")
# Where no header says how the read-out is, it is most often not echo-planar.
NOT_EPI = none_of("YES")
MAGNITUDE = one_of("MAGNITUDE")
PHASE = one_of("PHASE")
DERIVED = one_of("DERIVED")
# Where names are the evidence, the header must at least not contradict them.
NOT_SE = none_of("SE")
NOT_GR = none_of("GR")
