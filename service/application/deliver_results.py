"""Deliver results to one destination: claim, send, confirm, and record what was answered."""

import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from service.application.background import Background
from service.application.ports import (
    Clock,
    DeliveryStore,
    Parcel,
    ResultConfirmer,
    ResultObject,
    ResultSender,
)
from service.domain.delivery import Delivery, ObjectState, abandoned
from service.domain.destination import Destination, RetryRules
from service.domain.errors import (
    IllegalTransitionError,
    JobDatabaseError,
    LeaseLostError,
    ThrombolensError,
    UnknownDeliveryError,
)
from service.domain.job import Failure, Lease

_log = structlog.get_logger(__name__)

# As many are looked up at a time; the next look comes at once while there are more.
BATCH = 20

# Reads the objects of a delivery, in its order.
ObjectReader = Callable[[Delivery], tuple[ResultObject, ...]]


@dataclass(frozen=True)
class Channel:
    """A destination, what sends to it, and what asks it where it must confirm.

    Attributes
    ----------
    longest_attempt_s : float
        Every step of an attempt ends by itself long before.
    close : callable
        Closes what the destination may reach us by.
    """

    destination: Destination
    sender: ResultSender
    confirmer: ResultConfirmer | None
    longest_attempt_s: float
    close: Callable[[], None]

    def __post_init__(self) -> None:
        if self.destination.confirmed != (self.confirmer is not None):
            raise ValueError(f"{self.destination.name}: exactly what is confirmed has a confirmer")


class Deliverer:
    """Sends to one destination, one delivery at a time; several processes may each have one.

    Parameters
    ----------
    read : callable
        Returns the objects of a delivery from where the results lie.
    lease_seconds : float
        A delivery whose process is silent this long goes to another one.
    abandon : callable
        Ends this process. Called when an attempt does not end although every step of it has a
        limit: nothing else can stop a thread that hangs.
    """

    def __init__(
        self,
        *,
        channel: Channel,
        store: DeliveryStore,
        read: ObjectReader,
        clock: Clock,
        lease_seconds: float,
        abandon: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._destination = channel.destination
        self._store = store
        self._read = read
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._abandon = abandon

    def deliver_due(self, ended: Callable[[], bool] = lambda: False) -> int:
        """Send what is due, until told to end; return how many attempts were made.

        Raises
        ------
        JobDatabaseError
            If the database cannot be reached.
        """
        attempts = 0
        while not ended():
            due = self._store.due(self._destination.name, self._clock(), BATCH)
            begun = 0
            for delivery in due:
                if ended():
                    break
                begun += self._deliver(delivery)
            attempts += begun
            if not begun:
                break
        return attempts

    def _deliver(self, delivery: Delivery) -> bool:
        """Make one attempt unless somebody else has the delivery; say whether it was made."""
        lease = self._lease(uuid.uuid4().hex)
        try:
            claimed = delivery.claimed(lease, self._clock())
        except IllegalTransitionError:
            return False
        if not self._store.replace(delivery, claimed):
            return False
        held = HeldDelivery(delivery.delivery_id, lease.token, self._store)
        with (
            structlog.contextvars.bound_contextvars(
                delivery_id=delivery.delivery_id,
                job_id=delivery.job_id,
                destination=delivery.destination,
            ),
            self._renewal(held),
        ):
            self._attempt(held)
        return True

    def _lease(self, token: str) -> Lease:
        return Lease(token, self._clock() + timedelta(seconds=self._lease_seconds))

    def _renewal(self, held: "HeldDelivery") -> "Renewal":
        longest_s = self._channel.longest_attempt_s
        return Renewal(held, self._lease, self._lease_seconds, self._abandon, longest_s)

    def _attempt(self, held: "HeldDelivery") -> None:
        try:
            self._send_and_confirm(held)
            self._conclude(held, None)
        except (LeaseLostError, UnknownDeliveryError) as exc:
            # Somebody else has it now, or the job was deleted; what was sent is only sent twice.
            _log.warning("delivery_left", code=exc.code)
        except JobDatabaseError:
            # The lease runs out and the delivery is sent again.
            raise
        except ThrombolensError as exc:
            self._conclude_unless_lost(held, Failure.of(exc))
        except Exception as exc:  # noqa: BLE001 - it is logged, and the other deliveries are sent
            _log.exception("delivery_crashed")
            self._conclude_unless_lost(held, _unexpected(exc))

    def _send_and_confirm(self, held: "HeldDelivery") -> None:
        delivery = held.get()
        objects = {each.kind: each for each in self._read(delivery)}
        uids = {kind: each.sop_instance_uid for kind, each in objects.items()}
        delivery = held.change(lambda now: now.named(uids))
        unsent = tuple(objects[each.kind] for each in delivery.objects if each.unsent)
        if unsent:
            parcel = Parcel(delivery.delivery_id, delivery.job_id, unsent)
            answers = self._channel.sender.send(parcel)
            delivery = held.change(lambda now: now.answered(answers))
        taken = [
            objects[each.kind] for each in delivery.objects if each.state is ObjectState.ACCEPTED
        ]
        if taken and self._channel.confirmer is not None:
            confirmed = self._channel.confirmer.confirm(taken)
            held.change(lambda now: now.answered(confirmed))

    def _conclude(self, held: "HeldDelivery", failure: Failure | None) -> None:
        now = self._clock()
        ended = held.change(lambda delivery: delivery.concluded(self._destination, failure, now))
        if ended.failure is None:
            _log.info("delivery_ended", state=ended.state)
        else:
            _log.warning("delivery_attempt_failed", state=ended.state, code=ended.failure.code)

    def _conclude_unless_lost(self, held: "HeldDelivery", failure: Failure) -> None:
        try:
            self._conclude(held, failure)
        except (LeaseLostError, UnknownDeliveryError) as exc:
            _log.warning("delivery_left", code=exc.code)


class HeldDelivery:
    """A delivery under the lease of this process."""

    def __init__(self, delivery_id: str, token: str, store: DeliveryStore) -> None:
        self.delivery_id = delivery_id
        self.token = token
        self._store = store

    def get(self) -> Delivery:
        """Return it as it is stored.

        Raises
        ------
        LeaseLostError
            If it is under another lease.
        UnknownDeliveryError
            If it was deleted.
        """
        delivery = self._store.get(self.delivery_id)
        delivery.require_lease(self.token)
        return delivery

    def change(self, rule: Callable[[Delivery], Delivery]) -> Delivery:
        """Store a change; see ``get`` for errors."""
        while True:
            before = self.get()
            after = rule(before)
            if self._store.replace(before, after):
                return after


class Renewal(Background):
    """Renews the lease of a delivery from a thread, but not for ever."""

    def __init__(
        self,
        held: HeldDelivery,
        lease: Callable[[str], Lease],
        lease_seconds: float,
        abandon: Callable[[], None],
        longest_attempt_s: float,
    ) -> None:
        super().__init__("renewal")
        self._abandon = abandon
        self._held = held
        self._lease = lease
        self._pause_s = lease_seconds / 3
        self._renewals = math.ceil(longest_attempt_s / self._pause_s)

    def run(self) -> None:
        """Renew as often as an attempt may need."""
        for _ in range(self._renewals):
            if self.ended.wait(self._pause_s):
                return
            try:
                self._held.change(lambda now: now.renewed(self._lease(self._held.token)))
            except (LeaseLostError, UnknownDeliveryError) as exc:
                # The attempt meets it too, when it records what was answered.
                _log.warning("lease_lost", delivery_id=self._held.delivery_id, code=exc.code)
            except JobDatabaseError as exc:
                _log.warning("lease_not_renewed", delivery_id=self._held.delivery_id, code=exc.code)
        if not self.ended.is_set():
            _log.critical("delivery_hangs", delivery_id=self._held.delivery_id)
            self._abandon()


def _unexpected(error: Exception) -> Failure:
    kind = ThrombolensError
    return Failure(
        kind.code, f"unexpected {type(error).__name__} while results were delivered", kind.fixed_by
    )


def resend(store: DeliveryStore, job_id: str, delivery_id: str, clock: Clock) -> Delivery:
    """Begin a delivery once more, at once; see ``Delivery.asked_again``.

    Raises
    ------
    UnknownDeliveryError
        If the job has no such delivery.
    IllegalTransitionError
        If it is being sent right now.
    """
    while True:
        before = store.get(delivery_id)
        if before.job_id != job_id:
            raise UnknownDeliveryError(f"job {job_id!r} has no delivery {delivery_id!r}")
        after = before.asked_again(clock())
        if store.replace(before, after):
            return store.get(delivery_id)


def give_up_strays(store: DeliveryStore, known: tuple[str, ...], now: datetime) -> None:
    """Give up deliveries to destinations that nobody here knows, when their patience is over.

    Until then another process, or a corrected file of destinations, may know them.

    Raises
    ------
    JobDatabaseError
        If the database cannot be reached.
    """
    for delivery in store.open_elsewhere(known):
        after = abandoned(delivery, known, RetryRules(), now)
        if after is None:
            _log.warning(
                "delivery_without_destination",
                delivery_id=delivery.delivery_id,
                destination=delivery.destination,
            )
        else:
            store.replace(delivery, after)
