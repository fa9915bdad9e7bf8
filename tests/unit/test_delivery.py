"""The rules of deliveries: states, every pair of them, backoff, and who gets what."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.delivery import (
    TRANSITIONS,
    Answer,
    DeliveredObject,
    Delivery,
    DeliveryState,
    ObjectState,
    abandoned,
    deliveries_of,
    delivery_id,
)
from service.domain.destination import Destination, ObjectKind, RetryRules
from service.domain.errors import IllegalTransitionError, LeaseLostError
from service.domain.job import Failure, Job, Lease, Outcome

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE = Lease("t", NOON + timedelta(seconds=30))
KINDS = (ObjectKind.SEGMENTATION, ObjectKind.STRUCTURED_REPORT)
RULES = RetryRules(first_seconds=10, longest_seconds=60, give_up_days=1)
PACS = Destination("pacs", frozenset({"thrombus_found"}), KINDS, confirmed=True, retry=RULES)
INBOX = replace(PACS, name="inbox", confirmed=False)
FAILURE = Failure("DESTINATION_UNREACHABLE", "no connection", "somebody")


def pending(destination: Destination = PACS) -> Delivery:
    (made,) = deliveries_of(succeeded(), [destination])
    return made


def sending(destination: Destination = PACS) -> Delivery:
    return pending(destination).claimed(LEASE, NOON)


def answers(state: ObjectState, *kinds: ObjectKind) -> list[Answer]:
    return [Answer(kind, state, "0000H") for kind in kinds or KINDS]


def succeeded(
    result: str = "thrombus_found",
    files: tuple[str, ...] = ("segmentation.dcm", "structured_report.dcm", "mask.nii.gz"),
) -> Job:
    job = Job.queued("a" * 32, "m:1", NOON).claimed(LEASE, NOON)
    return job.succeeded("t", Outcome(result, files), NOON)


@pytest.mark.parametrize(
    ("before", "after"), list(itertools.product(DeliveryState, DeliveryState)), ids=str
)
def test_every_pair_of_states(before: DeliveryState, after: DeliveryState) -> None:
    allowed = {
        ("PENDING", "SENDING"), ("PENDING", "FAILED"),
        ("SENDING", "PENDING"), ("SENDING", "SENT"), ("SENDING", "DELIVERED"),
        ("SENDING", "FAILED"),
        ("SENT", "PENDING"), ("DELIVERED", "PENDING"), ("FAILED", "PENDING"),
    }  # fmt: skip
    delivery = replace(pending(), state=before)
    if (before.value, after.value) in allowed:
        moved = delivery.moved(after, NOON, "why")
        assert moved.state is after
        assert (moved.steps[-1].before, moved.steps[-1].reason) == (before, "why")
    else:
        with pytest.raises(IllegalTransitionError, match=f"is {before}, it cannot be {after}"):
            delivery.moved(after, NOON, "why")


def test_the_table_knows_every_state() -> None:
    assert set(TRANSITIONS) == set(DeliveryState)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 60), (5000, 60)])
def test_waits_double_up_to_the_longest(attempts: int, seconds: float) -> None:
    assert RULES.wait(attempts) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "values",
    [
        {"first_seconds": 0.0},
        {"first_seconds": 700.0},
        {"give_up_days": 0.0},
    ],
)
def test_rules_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        RetryRules(**values)


def test_a_wait_before_any_failure_is_refused() -> None:
    with pytest.raises(ValueError, match="0 attempts"):
        RULES.wait(0)


def test_a_finished_job_needs_what_each_destination_wants_and_there_is() -> None:
    images = replace(PACS, name="images", objects=(ObjectKind.KEY_IMAGE,))
    negative = replace(PACS, name="negative", results=frozenset({"no_thrombus_found"}))
    made = deliveries_of(succeeded(), [PACS, images, negative, INBOX])
    assert [each.destination for each in made] == ["pacs", "inbox"]
    assert [each.kind for each in made[0].objects] == list(KINDS)
    assert {each.state for each in made} == {DeliveryState.PENDING}
    assert len({each.delivery_id for each in made}) == 2
    assert made[0].delivery_id == delivery_id("a" * 32, "pacs")


def test_a_job_that_did_not_succeed_needs_nothing() -> None:
    running = Job.queued("a" * 32, "m:1", NOON).claimed(LEASE, NOON)
    assert deliveries_of(running, [PACS]) == ()
    assert deliveries_of(running.failed(FAILURE, NOON), [PACS]) == ()


def test_what_everybody_took_is_sent_and_what_is_confirmed_is_delivered() -> None:
    taken = sending(INBOX).answered(answers(ObjectState.ACCEPTED))
    assert taken.concluded(INBOX, None, NOON).state is DeliveryState.SENT
    confirmed = sending().answered(answers(ObjectState.CONFIRMED)).concluded(PACS, None, NOON)
    assert (confirmed.state, confirmed.lease, confirmed.failure, confirmed.finished_at) == (
        DeliveryState.DELIVERED,
        None,
        None,
        NOON,
    )


def test_what_is_only_taken_is_never_delivered_where_it_must_be_confirmed() -> None:
    taken = sending().answered(answers(ObjectState.ACCEPTED)).concluded(PACS, None, NOON)
    assert taken.state is DeliveryState.PENDING
    assert taken.failure is not None
    assert taken.failure.code == "NOT_CONFIRMED"
    assert not any(each.unsent for each in taken.objects)


def test_one_refused_object_is_named_and_waits_alone() -> None:
    mixed = sending().answered(
        [
            Answer(ObjectKind.SEGMENTATION, ObjectState.REFUSED, "A700H"),
            Answer(ObjectKind.STRUCTURED_REPORT, ObjectState.CONFIRMED, "0000H"),
        ]
    )
    later = mixed.concluded(PACS, None, NOON)
    assert later.state is DeliveryState.PENDING
    assert later.due_at == NOON + timedelta(seconds=10)
    assert [each.kind for each in later.objects if each.unsent] == [ObjectKind.SEGMENTATION]
    assert later.failure is not None
    assert "segmentation: A700H" in later.failure.message


def test_patience_ends() -> None:
    almost = NOON + timedelta(days=1) - timedelta(seconds=1)
    assert sending().concluded(PACS, FAILURE, almost).state is DeliveryState.PENDING
    over = sending().concluded(PACS, FAILURE, NOON + timedelta(days=1))
    assert (over.state, over.failure) == (DeliveryState.FAILED, FAILURE)


def test_a_lost_sender_gives_the_delivery_back_and_a_living_one_does_not() -> None:
    held = sending()
    with pytest.raises(IllegalTransitionError):
        held.claimed(Lease("other", NOON), NOON + timedelta(seconds=29))
    taken = held.claimed(Lease("other", NOON), NOON + timedelta(seconds=30))
    assert [step.after for step in taken.steps] == [
        DeliveryState.PENDING,
        DeliveryState.SENDING,
        DeliveryState.PENDING,
        DeliveryState.SENDING,
    ]
    assert taken.attempts == 2
    with pytest.raises(LeaseLostError):
        taken.renewed(LEASE)


def ended(state: DeliveryState, *objects: ObjectState) -> Delivery:
    pieces = tuple(
        DeliveredObject(kind, each, "1.2", "x") for kind, each in zip(KINDS, objects, strict=True)
    )
    return replace(pending(), state=state, objects=pieces, attempts=9, failure=FAILURE)


@pytest.mark.parametrize(
    ("before", "unsent"),
    [
        (ended(DeliveryState.FAILED, ObjectState.CONFIRMED, ObjectState.ACCEPTED), [KINDS[1]]),
        (ended(DeliveryState.FAILED, ObjectState.REFUSED, ObjectState.CONFIRMED), [KINDS[0]]),
        (ended(DeliveryState.SENT, ObjectState.ACCEPTED, ObjectState.ACCEPTED), list(KINDS)),
        (ended(DeliveryState.DELIVERED, ObjectState.CONFIRMED, ObjectState.CONFIRMED), list(KINDS)),
        (ended(DeliveryState.PENDING, ObjectState.REFUSED, ObjectState.WAITING), list(KINDS)),
    ],
)
def test_asking_again_begins_anew(before: Delivery, unsent: list[ObjectKind]) -> None:
    later = NOON + timedelta(days=30)
    again = before.asked_again(later)
    assert (again.state, again.attempts, again.failure) == (DeliveryState.PENDING, 0, None)
    assert (again.begun_at, again.due_at) == (later, later)
    assert [each.kind for each in again.objects if each.unsent] == unsent


def test_what_is_being_sent_cannot_be_asked_for_again() -> None:
    with pytest.raises(IllegalTransitionError, match="being sent"):
        sending().asked_again(NOON)


def test_what_a_lost_process_was_sending_can_be_asked_for_again() -> None:
    again = sending().asked_again(LEASE.expires_at)
    assert (again.state, again.lease, again.attempts) == (DeliveryState.PENDING, None, 0)
    assert again.steps[-1].reason == "the process that sent was lost"


def test_a_delivery_to_nobody_is_given_up_when_its_patience_is_over() -> None:
    later = NOON + RULES.patience
    assert abandoned(pending(), ("pacs",), RULES, later) is None
    assert abandoned(pending(), ("other",), RULES, later - timedelta(seconds=1)) is None
    held = sending().renewed(Lease("t", later + timedelta(seconds=1)))
    assert abandoned(held, ("other",), RULES, later) is None
    # The process that sent the second one died, and nobody else may take it.
    for stray in (pending(), sending()):
        over = abandoned(stray, ("other",), RULES, later)
        assert over is not None
        assert (over.state, over.lease) == (DeliveryState.FAILED, None)
        assert over.failure is not None
        assert over.failure.code == "UNKNOWN_DESTINATION"
