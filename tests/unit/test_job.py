"""The life of a job: every pair of states, leases, stages and what is noted."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.errors import (
    IllegalTransitionError,
    JobCancelledError,
    LeaseLostError,
    NotDicomError,
)
from service.domain.job import (
    TRANSITIONS,
    Failure,
    Job,
    JobLimits,
    JobState,
    Lease,
    Outcome,
    StageRun,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMITS = JobLimits(lease_seconds=30, timeout_seconds=900, max_attempts=3, ring_again_seconds=30)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def queued() -> Job:
    return Job.queued("a" * 32, "m:1", NOON)


def running() -> Job:
    return queued().claimed(Lease("token", after(30)), after(1))


ALLOWED = {
    ("QUEUED", "RUNNING"),
    ("QUEUED", "CANCELLED"),
    ("RUNNING", "SUCCEEDED"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "QUEUED"),
    ("RUNNING", "CANCELLING"),
    ("CANCELLING", "CANCELLED"),
}


@pytest.mark.parametrize(("before", "then"), list(itertools.product(JobState, JobState)))
def test_every_pair_of_states_is_allowed_or_raises(before: JobState, then: JobState) -> None:
    job = replace(queued(), state=before)
    if (before.value, then.value) in ALLOWED:
        moved = job.moved(then, after(5), "because")
        step = moved.transitions[-1]
        assert moved.state is then
        assert (step.before, step.after, step.at, step.reason) == (
            before,
            then,
            after(5),
            "because",
        )
    else:
        with pytest.raises(IllegalTransitionError, match=f"is {before}, it cannot be {then}"):
            job.moved(then, after(5), "because")


def test_exactly_the_states_without_a_way_out_are_terminal() -> None:
    assert {state for state in JobState if state.terminal} == {
        JobState.SUCCEEDED,
        JobState.FAILED,
        JobState.CANCELLED,
    }
    assert set(TRANSITIONS) == set(JobState)


def test_a_job_that_succeeds_notes_its_whole_life() -> None:
    job = running().entered("token", "read", 0.0, after(2)).entered("token", "infer", 0.5, after(4))
    done = job.succeeded("token", Outcome("thrombus_found", ("report.json",)), after(9))
    assert [step.after for step in done.transitions] == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert done.stages == (
        StageRun(1, "read", after(2), after(4)),
        StageRun(1, "infer", after(4), after(9)),
    )
    assert done.stages[1].seconds == 5
    assert (done.progress, done.stage, done.lease) == (1.0, None, None)
    assert done.results_lease == "token"
    assert done.finished_at == after(9)


def test_a_stranger_cannot_touch_a_running_job() -> None:
    job = running()
    changes: list[Callable[[], Job]] = [
        lambda: job.entered("other", "read", 0, NOON),
        lambda: job.renewed(Lease("other", after(99))),
        lambda: job.succeeded("other", Outcome("x", ()), NOON),
        lambda: queued().entered("token", "read", 0, NOON),
    ]
    for change in changes:
        with pytest.raises(LeaseLostError):
            change()


def test_a_released_job_waits_as_if_new_but_remembers_its_attempts() -> None:
    job = running().entered("token", "read", 0.3, after(2)).released(after(60), "worker lost")
    assert (job.state, job.attempts, job.progress, job.stage) == (JobState.QUEUED, 1, 0.0, None)
    assert job.stages[0].finished_at == after(60)
    with pytest.raises(LeaseLostError):
        job.succeeded("token", Outcome("x", ()), after(61))
    assert job.claimed(Lease("next", after(99)), after(61)).attempts == 2


def test_cancelling_ends_a_waiting_job_at_once_and_a_running_one_at_its_next_stage() -> None:
    assert queued().cancel_requested(after(1)).state is JobState.CANCELLED
    asked = running().cancel_requested(after(2))
    assert asked.state is JobState.CANCELLING
    with pytest.raises(JobCancelledError):
        asked.entered("token", "infer", 0.4, after(3))
    with pytest.raises(JobCancelledError):
        asked.succeeded("token", Outcome("x", ()), after(3))
    with pytest.raises(IllegalTransitionError):
        asked.cancel_requested(after(3))
    assert asked.cancelled(after(4)).lease is None


def test_a_failure_tells_our_own_errors_and_hides_foreign_ones() -> None:
    ours = Failure.of(NotDicomError("none of 3 files is a DICOM instance"))
    assert ours == Failure(
        "NOT_DICOM", "none of 3 files is a DICOM instance", "sender of the study"
    )
    foreign = Failure.of(ValueError("DOE^JANE"))
    assert foreign.code == "INTERNAL_ERROR"
    assert "DOE" not in foreign.message
    assert "ValueError" in foreign.message


def test_limits_give_leases_and_deadlines() -> None:
    assert LIMITS.lease("t", NOON).expires_at == after(30)
    assert LIMITS.deadline(running()) == after(901)
