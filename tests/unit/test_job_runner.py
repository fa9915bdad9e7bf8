"""One job under a lease: every way it can end, on a real job database."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from service.adapters.job_database import JobDatabase
from service.adapters.result_files import JobFolders
from service.application.change_job import cancel_job, change_job
from service.application.recover_jobs import recover_jobs
from service.application.run_job import JobRunner
from service.domain.arrival import ArrivalPolicy, JobArrival, StartReason
from service.domain.errors import GeometryError, JobDatabaseError
from service.domain.job import Job, JobLimits, JobState
from tests.fakes import FakeAnalysis, FakeClock, FakeQueue

JOB = "a" * 32
LIMITS = JobLimits(lease_seconds=30, timeout_seconds=900, max_attempts=3, ring_again_seconds=30)

ARRIVAL = JobArrival(
    study_instance_uid="1.2.3",
    source="scanner",
    policy=ArrivalPolicy(),
    reason=StartReason.QUIET,
    round=2,
    instances=3,
    duplicates=0,
)
SHORT = replace(LIMITS, lease_seconds=0.3)


class Desk:
    """A worker's surroundings: real database and folders, a clock that stands."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.database = JobDatabase(f"sqlite:///{folder / 'jobs.sqlite3'}")
        self.database.upgrade()
        self.folders = JobFolders(folder / "uploads", folder / "results")
        self.abandoned = threading.Event()
        self.database.add(Job.queued(JOB, "m:1", self.clock()))

    def runner(self, analysis: FakeAnalysis, limits: JobLimits = LIMITS) -> JobRunner:
        return JobRunner(
            store=self.database,
            files=self.folders,
            analyse=analysis,
            clock=self.clock,
            limits=limits,
            abandon=self.abandoned.set,
        )

    def run(self, analysis: FakeAnalysis, limits: JobLimits = LIMITS) -> Job:
        self.runner(analysis, limits).run(JOB)
        return self.database.get(JOB)

    def result_files(self) -> list[str]:
        results = self.folders.results(JOB, "x").parent
        return sorted(path.name for path in results.rglob("*") if path.is_file())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.database.close()


def raiser(error: Exception) -> FakeAnalysis:
    def fail() -> None:
        raise error

    return FakeAnalysis(fail)


def test_success_keeps_the_results_of_the_lease(desk: Desk) -> None:
    analysis = FakeAnalysis()
    job = desk.run(analysis)
    assert job.state is JobState.SUCCEEDED
    assert analysis.seen == [(desk.folders.upload(JOB), "m:1")]
    assert job.outcome is not None
    assert job.results_lease is not None
    kept = desk.folders.results(JOB, job.results_lease)
    assert (kept / "report.json").read_text() == "{}"
    assert [run.stage for run in job.stages] == ["read", "write"]


@pytest.mark.parametrize("state", ["succeeded", "waits", "deleted"])
def test_a_run_with_more_of_a_study_is_told_the_results_it_supersedes(
    desk: Desk, state: str
) -> None:
    if state == "succeeded":
        desk.run(FakeAnalysis())
    older = "f" * 32 if state == "deleted" else JOB
    again = "b" * 32
    arrival = replace(ARRIVAL, supersedes=older)
    desk.database.add(Job.queued(again, "m:1", desk.clock(), arrival))
    analysis = FakeAnalysis()
    desk.runner(analysis).run(again)
    assert desk.database.get(again).state is JobState.SUCCEEDED
    lease = desk.database.get(JOB).results_lease
    expected = desk.folders.results(JOB, lease) if lease else None
    assert analysis.earlier == [expected]
    assert (expected is not None) == (state == "succeeded")


@pytest.mark.parametrize("between", ["failed", "waits"])
def test_results_further_back_are_told_over_jobs_without_any(desk: Desk, between: str) -> None:
    lease = desk.run(FakeAnalysis()).results_lease
    for job_id, older in (("b" * 32, JOB), ("c" * 32, "b" * 32)):
        arrival = replace(ARRIVAL, supersedes=older)
        desk.database.add(Job.queued(job_id, "m:1", desk.clock(), arrival))
    if between == "failed":
        desk.runner(raiser(GeometryError("sheared"))).run("b" * 32)
    analysis = FakeAnalysis()
    desk.runner(analysis).run("c" * 32)
    assert lease is not None
    assert analysis.earlier == [desk.folders.results(JOB, lease)]


def test_a_second_ring_does_nothing(desk: Desk) -> None:
    first = desk.run(FakeAnalysis())
    second = FakeAnalysis()
    assert desk.run(second) == first
    assert second.seen == []


def test_a_ring_for_an_unknown_job_does_nothing(desk: Desk) -> None:
    analysis = FakeAnalysis()
    desk.runner(analysis).run("f" * 32)
    assert analysis.seen == []


def test_an_error_of_ours_fails_the_job_with_its_reason(desk: Desk) -> None:
    job = desk.run(raiser(GeometryError("slices are 3 and 5 mm apart")))
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert (job.failure.code, job.failure.message) == (
        "BAD_GEOMETRY",
        "slices are 3 and 5 mm apart",
    )
    assert desk.result_files() == []


def test_a_foreign_error_fails_the_job_and_is_raised_for_the_log(desk: Desk) -> None:
    with pytest.raises(ZeroDivisionError):
        desk.run(raiser(ZeroDivisionError("DOE^JANE")))
    job = desk.database.get(JOB)
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert job.failure.code == "INTERNAL_ERROR"
    assert "DOE" not in job.failure.message
    assert desk.result_files() == []


def test_a_cancelled_job_ends_at_its_next_stage_and_leaves_nothing(desk: Desk) -> None:
    job = desk.run(FakeAnalysis(lambda: void(cancel_job(desk.database, JOB, desk.clock))))
    assert job.state is JobState.CANCELLED
    assert desk.result_files() == []


def test_an_error_while_cancelling_ends_in_cancelled(desk: Desk) -> None:
    def cancel_and_fail() -> None:
        cancel_job(desk.database, JOB, desk.clock)
        raise GeometryError("sheared")

    assert desk.run(FakeAnalysis(cancel_and_fail)).state is JobState.CANCELLED


def test_a_worker_that_lost_its_lease_cannot_publish(desk: Desk) -> None:
    """While it slept another worker took the job and finished it: one result, theirs."""

    def sleep_too_long() -> None:
        desk.clock.pass_by(31)
        recover_jobs(desk.database, FakeQueue(), LIMITS, desk.clock)
        desk.runner(FakeAnalysis()).run(JOB)

    job = desk.run(FakeAnalysis(sleep_too_long))
    assert job.state is JobState.SUCCEEDED
    assert job.attempts == 2
    assert [step.after for step in job.transitions].count(JobState.SUCCEEDED) == 1
    assert desk.result_files() == ["report.json"]
    assert job.results_lease is not None
    assert (desk.folders.results(JOB, job.results_lease) / "report.json").exists()


def test_a_database_that_fails_leaves_the_job_to_the_recovery(desk: Desk) -> None:
    job = desk.run(raiser(JobDatabaseError("the job database failed: OperationalError")))
    assert job.state is JobState.RUNNING
    desk.clock.pass_by(31)
    recover_jobs(desk.database, FakeQueue(), LIMITS, desk.clock)
    assert desk.database.get(JOB).state is JobState.QUEUED


def test_a_job_past_its_deadline_fails_while_it_hangs(desk: Desk) -> None:
    """The heartbeat ends the job in the database; the hanging analysis meets it later."""

    def hang() -> None:
        desk.clock.pass_by(901)
        wait_for(lambda: desk.database.get(JOB).state is JobState.FAILED)

    job = desk.run(FakeAnalysis(hang), SHORT)
    assert job.failure is not None
    assert job.failure.code == "TIMEOUT"
    assert "900 s" in job.failure.message
    assert desk.result_files() == []


def test_a_worker_that_goes_on_after_its_deadline_is_abandoned(desk: Desk) -> None:
    def hang() -> None:
        desk.clock.pass_by(901)
        assert desk.abandoned.wait(10)

    desk.run(FakeAnalysis(hang), SHORT)
    assert desk.abandoned.is_set()


def test_the_heartbeat_renews_the_lease(desk: Desk) -> None:
    def expiry() -> datetime:
        lease = desk.database.get(JOB).lease
        assert lease is not None
        return lease.expires_at

    def work_long() -> None:
        first = expiry()
        desk.clock.pass_by(0.2)
        wait_for(lambda: expiry() > first)

    assert desk.run(FakeAnalysis(work_long), SHORT).state is JobState.SUCCEEDED


def test_a_change_is_tried_again_when_somebody_was_faster(desk: Desk) -> None:
    others = iter([True])

    def slowly(job: Job) -> Job:
        if next(others, False):
            change_job(desk.database, JOB, lambda j: j.rung(desk.clock()))
        return job.cancel_requested(desk.clock())

    change_job(desk.database, JOB, slowly)
    job = desk.database.get(JOB)
    assert job.state is JobState.CANCELLED
    assert job.rung_at == desk.clock()


def void(_: object) -> None:
    """Drop a value."""


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(200):
        if condition():
            return
        pause.wait(0.05)
    pytest.fail("it did not happen within 10 s")
