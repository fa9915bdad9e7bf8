"""Who gets which results, and how patiently: what the use cases know about a destination."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from service.domain.result_file import ResultFile


class ObjectKind(StrEnum):
    """What can be delivered of an analysis; each is one file and one object."""

    SEGMENTATION = "segmentation"
    STRUCTURED_REPORT = "structured_report"
    KEY_IMAGE = "key_image"
    REPORT = "report"

    @property
    def file(self) -> ResultFile:
        """Which of the result files it is."""
        return ResultFile[self.name]


@dataclass(frozen=True)
class RetryRules:
    """How long to wait before the next attempt, and when to stop.

    Attributes
    ----------
    first_seconds : float
        The wait after the first failure; it doubles with every further one.
    longest_seconds : float
        It does not become longer than this.
    give_up_days : float
        An attempt that fails so long after the delivery began is the last one.
    """

    first_seconds: float = 10.0
    longest_seconds: float = 600.0
    give_up_days: float = 7.0

    def __post_init__(self) -> None:
        if not 0 < self.first_seconds <= self.longest_seconds:
            raise ValueError(
                f"first_seconds {self.first_seconds:g} is not between 0 and "
                f"longest_seconds {self.longest_seconds:g}"
            )
        if self.give_up_days <= 0:
            raise ValueError(f"give_up_days {self.give_up_days:g} is not above 0")

    def wait(self, attempts: int) -> timedelta:
        """Return how long to wait after so many failed attempts (1 or more)."""
        if attempts < 1:
            raise ValueError(f"{attempts} attempts: nothing failed yet")
        # Beyond 2**40 every wait is the longest one, and a float would overflow.
        doubled = self.first_seconds * 2 ** min(attempts - 1, 40)
        return timedelta(seconds=min(doubled, self.longest_seconds))

    @property
    def patience(self) -> timedelta:
        """How long a delivery may fail."""
        return timedelta(days=self.give_up_days)


@dataclass(frozen=True)
class Destination:
    """A receiver by name: what it gets of which results.

    Attributes
    ----------
    results : frozenset of str
        Results of studies (``thrombus_found`` ...) that are delivered at all.
    objects : tuple of ObjectKind
        What is sent, as far as the analysis has it.
    confirmed : bool
        Whether the receiver must say in a second step that it holds the objects.
    """

    name: str
    results: frozenset[str]
    objects: tuple[ObjectKind, ...]
    confirmed: bool
    retry: RetryRules = RetryRules()

    def wanted(self, result: str, files: tuple[str, ...]) -> tuple[ObjectKind, ...]:
        """Return what this destination gets of an analysis, in the order of ``objects``."""
        if result not in self.results:
            return ()
        return tuple(kind for kind in self.objects if kind.file in files)
