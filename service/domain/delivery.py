"""A delivery's life as values: states, the table of allowed transitions, and every object's own.

A delivery is what one destination gets of one job. As with jobs, every change makes a new value,
which is stored only if nobody changed the stored one in between (``revision``).
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from service.domain.destination import Destination, ObjectKind, RetryRules
from service.domain.errors import IllegalTransitionError, LeaseLostError
from service.domain.job import Failure, Job, JobState, Lease


class DeliveryState(StrEnum):
    """Where a delivery is in its life.

    ``SENT``: the receiver took every object, and was not asked for more. ``DELIVERED``: it also
    said afterwards that it holds every object.
    """

    PENDING = "PENDING"
    SENDING = "SENDING"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"

    @property
    def open(self) -> bool:
        """Whether something is still to be done without anybody asking."""
        return self in (DeliveryState.PENDING, DeliveryState.SENDING)


TRANSITIONS: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    # To FAILED without an attempt: nobody knows the destination any more.
    DeliveryState.PENDING: frozenset({DeliveryState.SENDING, DeliveryState.FAILED}),
    # Back to PENDING: the attempt failed, or the process that made it died.
    DeliveryState.SENDING: frozenset(
        {DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.FAILED}
    ),
    # A person may ask for every delivery that has ended once more.
    DeliveryState.SENT: frozenset({DeliveryState.PENDING}),
    DeliveryState.DELIVERED: frozenset({DeliveryState.PENDING}),
    DeliveryState.FAILED: frozenset({DeliveryState.PENDING}),
}


class ObjectState(StrEnum):
    """What the receiver said about one object."""

    WAITING = "WAITING"
    REFUSED = "REFUSED"
    ACCEPTED = "ACCEPTED"
    CONFIRMED = "CONFIRMED"


@dataclass(frozen=True)
class Answer:
    """What a receiver said about one object.

    Attributes
    ----------
    status : str
        In the words of the protocol: ``0000H``, ``HTTP 200``; never text of the receiver's, which
        may name a patient.
    """

    kind: ObjectKind
    state: ObjectState
    status: str


@dataclass(frozen=True)
class DeliveredObject:
    """One object of a delivery; its UID is known once the first attempt has read it."""

    kind: ObjectKind
    state: ObjectState = ObjectState.WAITING
    sop_instance_uid: str | None = None
    status: str | None = None

    @property
    def unsent(self) -> bool:
        """Whether it is to be sent at the next attempt."""
        return self.state in (ObjectState.WAITING, ObjectState.REFUSED)


@dataclass(frozen=True)
class DeliveryStep:
    """One change of state, with its time (UTC) and a reason without identities."""

    before: DeliveryState | None
    after: DeliveryState
    at: datetime
    reason: str


@dataclass(frozen=True)
class Delivery:
    """What one destination gets of one job.

    Attributes
    ----------
    delivery_id : str
        32 hexadecimal digits, derived from job and destination: there is one, whoever makes it.
    begun_at : datetime
        When the job ended, or a person asked for the delivery again (UTC); patience counts from
        here.
    due_at : datetime
        When the next attempt may begin (UTC).
    attempts : int
        Attempts since ``begun_at``.
    lease : Lease or None
        Present exactly while SENDING.
    failure : Failure or None
        Why the last attempt failed.
    """

    delivery_id: str
    job_id: str
    destination: str
    begun_at: datetime
    due_at: datetime
    objects: tuple[DeliveredObject, ...]
    state: DeliveryState = DeliveryState.PENDING
    revision: int = 0
    attempts: int = 0
    lease: Lease | None = None
    failure: Failure | None = None
    steps: tuple[DeliveryStep, ...] = ()

    @property
    def finished_at(self) -> datetime | None:
        """When it came to its end, or None while it is open (UTC)."""
        return None if self.state.open else self.steps[-1].at

    def moved(self, after: DeliveryState, now: datetime, reason: str) -> "Delivery":
        """Change the state by the table, and note it.

        Raises
        ------
        IllegalTransitionError
            If the table does not allow it.
        """
        if after not in TRANSITIONS[self.state]:
            raise IllegalTransitionError(
                f"delivery {self.delivery_id} is {self.state}, it cannot be {after}"
            )
        step = DeliveryStep(self.state, after, now, reason)
        return replace(self, state=after, steps=(*self.steps, step))

    def taken_back(self, now: datetime) -> "Delivery":
        """Return it as it waits again if its sender's lease ran out, else as it is."""
        if self.lease is None or self.lease.expires_at > now:
            return self
        free = replace(self, lease=None)
        return free.moved(DeliveryState.PENDING, now, "the process that sent was lost")

    def claimed(self, lease: Lease, now: datetime) -> "Delivery":
        """Give it to a sender; one whose sender's lease ran out is taken back first.

        Raises
        ------
        IllegalTransitionError
            If it has ended, or is in good hands.
        """
        free = self.taken_back(now)
        attempts = free.attempts + 1
        taken = replace(free, lease=lease, attempts=attempts)
        return taken.moved(DeliveryState.SENDING, now, f"attempt {attempts}")

    def renewed(self, lease: Lease) -> "Delivery":
        """Extend the lease.

        Raises
        ------
        LeaseLostError
            If it is not under this lease.
        """
        self.require_lease(lease.token)
        return replace(self, lease=lease)

    def named(self, uids: Mapping[ObjectKind, str]) -> "Delivery":
        """Note the UIDs of the objects."""
        objects = tuple(
            replace(each, sop_instance_uid=uids.get(each.kind, each.sop_instance_uid))
            for each in self.objects
        )
        return replace(self, objects=objects)

    def answered(self, answers: Iterable[Answer]) -> "Delivery":
        """Note what the receiver said, object by object."""
        said = {answer.kind: answer for answer in answers}
        objects = tuple(
            replace(each, state=said[each.kind].state, status=said[each.kind].status)
            if each.kind in said
            else each
            for each in self.objects
        )
        return replace(self, objects=objects)

    def concluded(
        self, destination: Destination, failure: Failure | None, now: datetime
    ) -> "Delivery":
        """End an attempt: done, to be tried again later, or given up.

        Parameters
        ----------
        failure : Failure or None
            What stopped the attempt. Without one, the objects tell whether anything is missing.
        """
        failure = failure or self._missing(destination)
        free = replace(self, lease=None, failure=failure)
        if failure is None:
            if destination.confirmed:
                return free.moved(DeliveryState.DELIVERED, now, "the receiver holds every object")
            return free.moved(DeliveryState.SENT, now, "the receiver took every object")
        if now - self.begun_at >= destination.retry.patience:
            return free.moved(DeliveryState.FAILED, now, failure.code)
        later = replace(free, due_at=now + destination.retry.wait(self.attempts))
        return later.moved(DeliveryState.PENDING, now, failure.code)

    def given_up(self, failure: Failure, now: datetime) -> "Delivery":
        """End without an attempt."""
        return replace(self.moved(DeliveryState.FAILED, now, failure.code), failure=failure)

    def asked_again(self, now: datetime) -> "Delivery":
        """Begin once more because a person asked for it.

        Objects that the receiver said it holds are not sent again, unless it holds all of them:
        then the person knows better.

        Raises
        ------
        IllegalTransitionError
            If it is being sent right now.
        """
        free = self.taken_back(now)
        if free.state is DeliveryState.SENDING:
            raise IllegalTransitionError(f"delivery {self.delivery_id} is being sent right now")
        held = [each.state is ObjectState.CONFIRMED for each in self.objects]
        again = tuple(
            each if holds and not all(held) else replace(each, state=ObjectState.WAITING)
            for each, holds in zip(self.objects, held, strict=True)
        )
        fresh = replace(free, objects=again, attempts=0, begun_at=now, due_at=now, failure=None)
        if free.state is DeliveryState.PENDING:
            return fresh
        return fresh.moved(DeliveryState.PENDING, now, "asked for again")

    def require_lease(self, token: str) -> None:
        """Check that it is under this lease.

        Raises
        ------
        LeaseLostError
            If it is not.
        """
        if self.lease is None or self.lease.token != token:
            raise LeaseLostError(
                f"delivery {self.delivery_id} is not under the lease of this sender"
            )

    def _missing(self, destination: Destination) -> Failure | None:
        """Say what the receiver did not take or does not hold."""
        refused = [each for each in self.objects if each.unsent]
        if refused:
            told = ", ".join(f"{each.kind}: {each.status or 'not sent'}" for each in refused)
            return Failure("OBJECTS_REFUSED", f"not taken: {told}", RECEIVER)
        unsure = [each for each in self.objects if each.state is not ObjectState.CONFIRMED]
        if destination.confirmed and unsure:
            told = ", ".join(each.kind for each in unsure)
            return Failure("NOT_CONFIRMED", f"taken, but not confirmed: {told}", RECEIVER)
        return None


RECEIVER = "operator of the destination"


def delivery_id(job_id: str, destination: str) -> str:
    """Return the identifier of what a destination gets of a job."""
    return hashlib.sha256(f"{job_id} {destination}".encode()).hexdigest()[:32]


def deliveries_of(job: Job, destinations: Iterable[Destination]) -> tuple[Delivery, ...]:
    """Return what must be delivered of a job that has just succeeded; nothing of any other.

    A destination that wants nothing of what there is gets nothing, and has no row.
    """
    if job.state is not JobState.SUCCEEDED or job.outcome is None or job.finished_at is None:
        return ()
    made = []
    for destination in destinations:
        kinds = destination.wanted(job.outcome.result, job.outcome.files)
        if kinds:
            made.append(_pending(job.job_id, destination.name, kinds, job.finished_at))
    return tuple(made)


def _pending(
    job_id: str, destination: str, kinds: tuple[ObjectKind, ...], now: datetime
) -> Delivery:
    return Delivery(
        delivery_id=delivery_id(job_id, destination),
        job_id=job_id,
        destination=destination,
        begun_at=now,
        due_at=now,
        objects=tuple(DeliveredObject(kind) for kind in kinds),
        steps=(DeliveryStep(None, DeliveryState.PENDING, now, "the analysis succeeded"),),
    )


def abandoned(
    delivery: Delivery, known: Iterable[str], rules: RetryRules, now: datetime
) -> Delivery | None:
    """Return a delivery to an unknown destination as given up, once its patience is over.

    None too while a process that still knows the destination sends it.
    """
    free = delivery.taken_back(now)
    if delivery.destination in known or free.state is not DeliveryState.PENDING:
        return None
    if now - delivery.begun_at < rules.patience:
        return None
    reason = f"no destination is named {delivery.destination} any more"
    return free.given_up(Failure("UNKNOWN_DESTINATION", reason, "operator of the service"), now)
