"""When an arriving study is complete enough to be analysed: explicit rules, times passed in.

DICOM has no word for "that was all". So every source has a policy, and an arrival, which is all
that came of one study, is held against it::

    COLLECTING --due--> STARTED --something new, rerun--> COLLECTING
                           |------something new, ignore-> STARTED

A *round* is what leads to one job: it opens with the first new instance and ends with the start.
An instance that came before, by its SOP Instance UID, is a duplicate: it opens no round, but while
one is open it shows that the sender is still at work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from service.domain.sequence import Role


class LateSeries(StrEnum):
    """What happens to instances that come after their study was started."""

    RERUN = "rerun"
    IGNORE = "ignore"


class StartReason(StrEnum):
    """Why a study was started."""

    EARLY = "early"
    QUIET = "quiet"
    DEADLINE = "deadline"
    FETCHED = "fetched"


class ArrivalState(StrEnum):
    """Where an arrival is."""

    COLLECTING = "COLLECTING"
    STARTED = "STARTED"


class Receipt(StrEnum):
    """What an instance is to its arrival."""

    NEW = "new"
    LATE = "late"
    IGNORED = "ignored"
    DUPLICATE = "duplicate"
    # No MR image: kept, but never analysed and no reason to start anything.
    NO_INPUT = "no_input"


@dataclass(frozen=True)
class ArrivalPolicy:
    """How long a study of one source is waited for.

    Attributes
    ----------
    series_quiet_seconds : float
        A series to which nothing came for so long counts as complete, for the early start.
    study_quiet_seconds : float
        A study to which nothing came for so long is started.
    deadline_seconds : float
        So long after the first new instance it is started, whatever still comes.
    early_start : tuple of Role
        It is started as soon as complete series fill all of these; never if there are none.
    late_series : LateSeries
        What happens to instances that come after the start.
    """

    series_quiet_seconds: float = 60.0
    study_quiet_seconds: float = 300.0
    deadline_seconds: float = 3600.0
    early_start: tuple[Role, ...] = ()
    late_series: LateSeries = LateSeries.RERUN

    def __post_init__(self) -> None:
        waits = (self.series_quiet_seconds, self.study_quiet_seconds, self.deadline_seconds)
        if not 0 < waits[0] <= waits[1] <= waits[2]:
            raise ValueError(
                f"series_quiet_seconds {waits[0]:g}, study_quiet_seconds {waits[1]:g} and "
                f"deadline_seconds {waits[2]:g} must grow, from above 0"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the policy as JSON values."""
        return {
            "series_quiet_seconds": self.series_quiet_seconds,
            "study_quiet_seconds": self.study_quiet_seconds,
            "deadline_seconds": self.deadline_seconds,
            "early_start": [role.value for role in self.early_start],
            "late_series": self.late_series.value,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the policy that was written by ``to_json``."""
        return cls(
            series_quiet_seconds=values["series_quiet_seconds"],
            study_quiet_seconds=values["study_quiet_seconds"],
            deadline_seconds=values["deadline_seconds"],
            early_start=tuple(Role(each) for each in values["early_start"]),
            late_series=LateSeries(values["late_series"]),
        )


@dataclass(frozen=True)
class Source:
    """A sender by its name in the file of sources, and how long its studies are waited for."""

    name: str
    policy: ArrivalPolicy


@dataclass(frozen=True)
class ArrivedSeries:
    """What came of one series that can be analysed.

    Attributes
    ----------
    instances : int
        Different ones.
    new : int
        Those of them that no job has, and that are waited for.
    first_new_at : datetime or None
        When the first of the new ones came (UTC); None if there is none.
    last_seen_at : datetime
        When the last instance came (UTC), duplicates too.
    ignored : int
        Those that came late from a source that ignores it, and that no job has.
    """

    series_instance_uid: str
    instances: int
    new: int
    first_new_at: datetime | None
    last_seen_at: datetime
    ignored: int = 0


@dataclass(frozen=True)
class Arrival:
    """All that came of one study, as far as it was read at one moment.

    Attributes
    ----------
    source : Source
        Who opened the round.
    rounds : int
        How often the study was started.
    job_id : str or None
        The job of the last start; None before, or if that job was deleted as an old one.
    duplicates : int
        Instances that came once more.
    mark : int
        Stands for the moment: what came later is not part of this.
    """

    study_instance_uid: str
    source: Source
    rounds: int
    job_id: str | None
    series: tuple[ArrivedSeries, ...]
    duplicates: int
    mark: int

    @property
    def instances(self) -> int:
        """How many different instances came that can be analysed."""
        return sum(each.instances for each in self.series)

    @property
    def new(self) -> int:
        """How many of them no job has, and are waited for."""
        return sum(each.new for each in self.series)

    @property
    def ignored(self) -> int:
        """How many of them no job has, and none is to have unless somebody asks."""
        return sum(each.ignored for each in self.series)

    @property
    def state(self) -> ArrivalState:
        """Where it is."""
        return ArrivalState.COLLECTING if self.new else ArrivalState.STARTED

    @property
    def first_new_at(self) -> datetime | None:
        """When the round opened (UTC)."""
        return min((each.first_new_at for each in self.series if each.first_new_at), default=None)

    @property
    def last_seen_at(self) -> datetime | None:
        """When the last instance came (UTC)."""
        return max((each.last_seen_at for each in self.series), default=None)

    def due_at(self) -> datetime | None:
        """Return when it is started at the latest if nothing more comes; None if nothing is new.

        An early start may come before.
        """
        first, quiet_at = self.first_new_at, self.quiet_at()
        if first is None or quiet_at is None:
            return None
        return min(quiet_at, first + timedelta(seconds=self.source.policy.deadline_seconds))

    def quiet_at(self) -> datetime | None:
        """Return when the study counts as quiet if nothing more comes; None if nothing came."""
        if self.last_seen_at is None:
            return None
        return self.last_seen_at + timedelta(seconds=self.source.policy.study_quiet_seconds)

    def quiet_series(self, now: datetime) -> tuple[str, ...]:
        """Return the series to which nothing came for the policy's time, sorted."""
        latest = now - timedelta(seconds=self.source.policy.series_quiet_seconds)
        return tuple(
            sorted(each.series_instance_uid for each in self.series if each.last_seen_at <= latest)
        )

    def all_series(self) -> tuple[str, ...]:
        """Return all series, sorted."""
        return tuple(sorted(each.series_instance_uid for each in self.series))


@dataclass(frozen=True)
class Start:
    """The end of a round: what goes into the job, and why now.

    Attributes
    ----------
    series : tuple of str
        Series Instance UIDs that the job gets, as far as they came before ``arrival.mark``.
    """

    arrival: Arrival
    reason: StartReason
    series: tuple[str, ...] = field(repr=False)

    @property
    def instances(self) -> int:
        """How many instances the job gets."""
        chosen = set(self.series)
        return sum(
            each.instances for each in self.arrival.series if each.series_instance_uid in chosen
        )


# Whether series, by their Series Instance UIDs, fill all of these roles.
RolesFilled = Callable[[tuple[str, ...], tuple[Role, ...]], bool]


def due_start(arrival: Arrival, now: datetime, roles_filled: RolesFilled) -> Start | None:
    """Say whether a study is to be started now.

    Parameters
    ----------
    arrival : Arrival
    now : datetime
        UTC.
    roles_filled : callable
        Asked only where an early start is possible at all.

    Returns
    -------
    Start or None
        None if it is to be waited. An early start takes complete series only; what still
        arrives then comes late. The other starts take everything.
    """
    due_at, roles = arrival.due_at(), arrival.source.policy.early_start
    if due_at is None:
        return None
    if now >= due_at:
        reason = StartReason.QUIET if due_at == arrival.quiet_at() else StartReason.DEADLINE
        return Start(arrival, reason, arrival.all_series())
    if arrival.rounds or not roles:
        return None
    quiet = arrival.quiet_series(now)
    if quiet and roles_filled(quiet, roles):
        return Start(arrival, StartReason.EARLY, quiet)
    return None


def fetched_start(arrival: Arrival) -> Start:
    """Start a study because everything of it was fetched, for somebody asked for it."""
    return Start(arrival, StartReason.FETCHED, arrival.all_series())


@dataclass(frozen=True)
class JobArrival:
    """How the study of a job arrived, as the job shows it.

    Attributes
    ----------
    policy : ArrivalPolicy
        As it was when the round opened.
    round : int
        1 for the first job of a study.
    instances : int
        What the job analyses.
    duplicates : int
        Instances of the study that came once more, before and after the start.
    late : int
        Instances that came after the start and are not part of this job.
    supersedes, superseded_by : str or None
        Identifier of the job before, and after, this one.
    """

    study_instance_uid: str
    source: str
    policy: ArrivalPolicy
    reason: StartReason
    round: int
    instances: int
    duplicates: int
    late: int = 0
    supersedes: str | None = None
    superseded_by: str | None = None

    @classmethod
    def of(cls, start: Start) -> Self:
        """Return what the job of a start shows."""
        arrival = start.arrival
        return cls(
            study_instance_uid=arrival.study_instance_uid,
            source=arrival.source.name,
            policy=arrival.source.policy,
            reason=start.reason,
            round=arrival.rounds + 1,
            instances=start.instances,
            duplicates=arrival.duplicates,
            supersedes=arrival.job_id,
        )


@dataclass(frozen=True)
class ArrivedInstance:
    """What is known of an instance when it arrives.

    Attributes
    ----------
    size : int
        Of its file, in bytes.
    is_input : bool
        Whether it is an MR image; nothing else is analysed.
    is_own_output : bool
        Whether this service wrote it.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    size: int
    is_input: bool
    is_own_output: bool = False


@dataclass(frozen=True)
class ArrivalLimits:
    """How much may arrive of one study.

    Attributes
    ----------
    max_instances : int
    max_bytes : int
        Of all files.
    reserve_bytes : int
        What must stay free on the disk.
    """

    max_instances: int
    max_bytes: int
    reserve_bytes: int
