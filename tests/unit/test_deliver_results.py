"""One attempt at a time: leases, lost ones, hanging ones, retention, destinations that went."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from service.application.deliver_results import (
    Channel,
    Deliverer,
    HeldDelivery,
    Renewal,
    give_up_strays,
)
from service.application.ports import Parcel
from service.application.recover_jobs import forget_old_jobs
from service.domain.delivery import Answer, Delivery, ObjectState
from service.domain.destination import Destination, ObjectKind
from service.domain.errors import UnknownDeliveryError
from service.domain.job import Lease
from tests.delivered import JOB, LEASE, DeliveryWorld, entry

INBOX = Destination("pacs", frozenset({"thrombus_found"}), (ObjectKind.REPORT,), confirmed=False)


@pytest.fixture
def world(tmp_path: Path) -> DeliveryWorld:
    (tmp_path / "inbox").mkdir()
    made = DeliveryWorld(tmp_path, entry(kind="folder", path=str(tmp_path / "inbox")))
    made.finish()
    return made


class SenderThat:
    """A sender that does one thing, then says that all was taken."""

    def __init__(self, does: Callable[[], object]) -> None:
        self._does = does

    def send(self, parcel: Parcel) -> tuple[Answer, ...]:
        self._does()
        return tuple(Answer(o.kind, ObjectState.ACCEPTED, "taken") for o in parcel.objects)


def deliverer(world: DeliveryWorld, does: Callable[[], object]) -> Deliverer:
    return Deliverer(
        channel=Channel(INBOX, SenderThat(does), None, 900.0, lambda: None),
        store=world.store,
        read=world.read,
        clock=world.clock,
        lease_seconds=30,
        abandon=lambda: None,
    )


def take(world: DeliveryWorld) -> None:
    """Claim the delivery for another process, as if the lease had run out."""
    world.clock.pass_by(31)
    held = world.only()
    other = held.claimed(Lease("other", world.clock()), world.clock())
    assert world.store.replace(held, other)


def test_what_another_process_took_over_is_left_to_it(world: DeliveryWorld) -> None:
    assert deliverer(world, lambda: take(world)).deliver_due(lambda: _taken(world)) == 1
    assert world.only().lease is not None
    assert world.only().state == "SENDING"
    assert {each.state.value for each in world.only().objects} == {"WAITING"}


def _taken(world: DeliveryWorld) -> bool:
    lease = world.only().lease
    return lease is not None and lease.token.startswith("other")


def test_a_job_deleted_meanwhile_ends_the_attempt(world: DeliveryWorld) -> None:
    assert deliverer(world, lambda: world.database.forget(JOB)).deliver_due() == 1
    assert world.store.of_job(JOB) == ()


def test_an_error_that_is_not_ours_is_noted_and_the_others_are_sent(world: DeliveryWorld) -> None:
    world.finish("c" * 32)
    faults = iter([True])
    crashing = deliverer(world, lambda: 1 / 0 if next(faults, False) else None)
    with structlog.testing.capture_logs() as logs:
        assert crashing.deliver_due() == 2
    assert [each["event"] for each in logs].count("delivery_crashed") == 1
    states = {job: world.only(job).state.value for job in (JOB, "c" * 32)}
    assert sorted(states.values()) == ["PENDING", "SENT"]
    delivery = next(world.only(job) for job, state in states.items() if state == "PENDING")
    assert delivery.state == "PENDING"
    assert delivery.failure is not None
    assert delivery.failure.code == "INTERNAL_ERROR"


def test_a_delivery_of_a_lost_process_to_nobody_is_given_up(world: DeliveryWorld) -> None:
    delivery = world.only()
    lease = Lease("t", world.clock())
    assert world.store.replace(delivery, delivery.claimed(lease, world.clock()))
    world.clock.pass_by(8 * 86_400)
    give_up_strays(world.store, ("other",), world.clock())
    assert (world.only().state, world.only().lease) == ("FAILED", None)
    assert [step.after for step in world.only().steps[-2:]] == ["PENDING", "FAILED"]


def test_a_lease_is_renewed_while_it_is_sent(world: DeliveryWorld) -> None:
    renewed = threading.Event()
    replace = world.store.replace

    def watched(before: Delivery, after: Delivery) -> bool:
        done = replace(before, after)
        if before.lease and after.lease and before.lease != after.lease:
            renewed.set()
        return done

    world.store.replace = watched  # type: ignore[method-assign]
    quick = Deliverer(
        channel=Channel(
            INBOX, SenderThat(lambda: _wait(world, renewed)), None, 900.0, lambda: None
        ),
        store=world.store,
        read=world.read,
        clock=world.clock,
        lease_seconds=0.3,
        abandon=lambda: None,
    )
    assert quick.deliver_due() == 1
    assert renewed.is_set()
    assert world.only().state == "SENT"


def _wait(world: DeliveryWorld, renewed: threading.Event) -> None:
    world.clock.pass_by(0.1)
    assert renewed.wait(5)


def test_an_attempt_that_never_ends_ends_the_process(world: DeliveryWorld) -> None:
    delivery = world.only()
    lease = Lease("t", world.clock())
    assert world.store.replace(delivery, delivery.claimed(lease, world.clock()))
    held = HeldDelivery(delivery.delivery_id, "t", world.store)
    abandoned = threading.Event()
    with Renewal(held, lambda _: lease, 0.03, abandoned.set, 0.1):
        assert abandoned.wait(5)


def test_an_attempt_that_ends_does_not(world: DeliveryWorld) -> None:
    held = HeldDelivery("0" * 32, "t", world.store)
    abandoned = threading.Event()
    with Renewal(held, lambda _: Lease("t", world.clock()), 30, abandoned.set, 900.0):
        pass
    assert not abandoned.is_set()


def test_results_that_still_have_to_be_delivered_are_kept(world: DeliveryWorld) -> None:
    results = world.folders.results(JOB, LEASE)
    world.clock.pass_by(5 * 86_400)
    forget_old_jobs(world.database, world.folders, world.clock, days=1)
    assert (results / "report.json").exists()
    assert world.deliverer().deliver_due() == 1
    assert world.only().state == "SENT"
    forget_old_jobs(world.database, world.folders, world.clock, days=1)
    assert (results / "report.json").exists()
    world.clock.pass_by(86_401)
    forget_old_jobs(world.database, world.folders, world.clock, days=1)
    assert not results.exists()
    with pytest.raises(UnknownDeliveryError):
        world.store.get("0" * 32)
    assert world.store.of_job(JOB) == ()


def test_a_destination_that_was_taken_away_is_given_up_in_the_end(world: DeliveryWorld) -> None:
    give_up_strays(world.store, ("pacs",), world.clock())
    give_up_strays(world.store, ("other",), world.clock())
    assert world.only().state == "PENDING"
    world.clock.pass_by(7 * 86_400)
    give_up_strays(world.store, ("pacs",), world.clock())
    assert world.only().state == "PENDING"
    give_up_strays(world.store, ("other",), world.clock())
    assert world.only().state == "FAILED"


def test_a_channel_has_a_confirmer_exactly_where_it_is_needed() -> None:
    sure = Destination("sure", frozenset({"x"}), (ObjectKind.REPORT,), confirmed=True)
    with pytest.raises(ValueError, match="sure"):
        Channel(sure, SenderThat(lambda: None), None, 900.0, lambda: None)
