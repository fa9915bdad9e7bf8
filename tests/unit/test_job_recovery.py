"""Jobs that were left behind, and the ways they are helped."""

from datetime import timedelta
from pathlib import Path

import pytest

from service.adapters.job_database import JobDatabase
from service.adapters.result_files import JobFolders
from service.application.check_readiness import Evidence, check_readiness
from service.application.ports import CanaryAnswer
from service.application.receive_study import receive_study
from service.application.recover_jobs import forget_old_jobs, helped_job, recover_jobs
from service.domain.errors import BrokerUnavailableError, NoWorkerError, UnknownJobError
from service.domain.job import Failure, Job, JobLimits, JobState
from tests.fakes import FakeClock, FakeQueue

LIMITS = JobLimits(lease_seconds=30, timeout_seconds=900, max_attempts=3, ring_again_seconds=60)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def running(clock: FakeClock, attempts: int = 1) -> Job:
    job = Job.queued("a" * 32, "m:1", clock())
    for number in range(attempts):
        if number:
            job = job.released(clock(), "lost")
        job = job.claimed(LIMITS.lease(f"t{number}", clock()), clock())
    return job


def test_a_job_in_good_hands_is_left_alone(clock: FakeClock) -> None:
    job = running(clock)
    clock.pass_by(29)
    assert helped_job(job, LIMITS, clock()) is None
    assert helped_job(Job.queued("b", "m", clock()).rung(clock()), LIMITS, clock()) is None


def test_a_lost_worker_gives_the_job_back(clock: FakeClock) -> None:
    job = running(clock)
    clock.pass_by(30)
    helped = helped_job(job, LIMITS, clock())
    assert helped is not None
    assert (helped.state, helped.rung_at, helped.attempts) == (JobState.QUEUED, clock(), 1)


def test_the_last_attempt_fails_the_job(clock: FakeClock) -> None:
    job = running(clock, attempts=3)
    clock.pass_by(30)
    helped = helped_job(job, LIMITS, clock())
    assert helped is not None
    assert helped.failure is not None
    assert helped.failure.code == "WORKER_LOST"
    assert "3 attempts" in helped.failure.message


def test_a_worker_that_hangs_past_the_deadline_fails_the_job(clock: FakeClock) -> None:
    job = running(clock)
    clock.pass_by(890)
    job = job.renewed(LIMITS.lease("t0", clock()))
    clock.pass_by(30)
    helped = helped_job(job, LIMITS, clock())
    assert helped is not None
    assert helped.failure is not None
    assert helped.failure.code == "TIMEOUT"


def test_a_job_interrupted_by_a_long_stop_is_tried_again(clock: FakeClock) -> None:
    job = running(clock)
    clock.pass_by(10_000)
    helped = helped_job(job, LIMITS, clock())
    assert helped is not None
    assert (helped.state, helped.rung_at, helped.failure) == (JobState.QUEUED, clock(), None)


def test_a_job_being_cancelled_by_a_lost_worker_is_cancelled(clock: FakeClock) -> None:
    job = running(clock).cancel_requested(clock())
    clock.pass_by(31)
    helped = helped_job(job, LIMITS, clock())
    assert helped is not None
    assert helped.state is JobState.CANCELLED


def test_recovery_rings_again_for_a_bell_that_was_lost(
    database: JobDatabase, clock: FakeClock
) -> None:
    queue = FakeQueue()
    database.add(Job.queued("a" * 32, "m:1", clock()).rung(clock()))
    clock.pass_by(59)
    recover_jobs(database, queue, LIMITS, clock)
    assert queue.rung == []
    clock.pass_by(1)
    recover_jobs(database, queue, LIMITS, clock)
    recover_jobs(database, queue, LIMITS, clock)
    assert queue.rung == ["a" * 32]


def test_recovery_survives_a_broken_broker(database: JobDatabase, clock: FakeClock) -> None:
    database.add(running(clock))
    clock.pass_by(31)
    recover_jobs(database, FakeQueue(broken=True), LIMITS, clock)
    assert database.get("a" * 32).state is JobState.QUEUED


def test_an_upload_becomes_a_job_even_if_the_broker_is_down(
    tmp_path: Path, database: JobDatabase, clock: FakeClock
) -> None:
    upload = tmp_path / "incoming"
    upload.mkdir()
    (upload / "000001").write_bytes(b"DICM")
    folders = JobFolders(tmp_path / "uploads", tmp_path / "results")
    job = receive_study(
        upload,
        "m:1",
        store=database,
        queue=FakeQueue(broken=True),
        shelf=folders,
        clock=clock,
    )
    assert database.get(job.job_id).state is JobState.QUEUED
    assert (folders.upload(job.job_id) / "000001").read_bytes() == b"DICM"
    assert not upload.exists()


def test_old_jobs_are_forgotten_with_their_files(
    tmp_path: Path, database: JobDatabase, clock: FakeClock
) -> None:
    folders = JobFolders(tmp_path / "uploads", tmp_path / "results")
    old = running(clock).failed(Failure("X", "x", "y"), clock())
    database.add(old)
    folders.upload(old.job_id).mkdir()
    folders.results(old.job_id, "t").mkdir(parents=True)
    forget_old_jobs(database, folders, clock, days=7)
    assert database.get(old.job_id).state is JobState.FAILED
    clock.now += timedelta(days=7, seconds=1)
    forget_old_jobs(database, folders, clock, days=7)
    assert not folders.upload(old.job_id).exists()
    assert list((tmp_path / "results").iterdir()) == []
    with pytest.raises(UnknownJobError):
        database.get(old.job_id)


def answer(database: JobDatabase, clock: FakeClock, given: CanaryAnswer) -> FakeQueue:
    return FakeQueue(on_canary=lambda name: database.answer_canary(name, given, clock()))


def test_an_inference_proves_readiness(database: JobDatabase, clock: FakeClock) -> None:
    queue = answer(database, clock, CanaryAnswer("CPUExecutionProvider", None))
    ready = check_readiness(database, queue, clock, clock.pass_by, 5)
    assert (ready.evidence, ready.execution_provider) == (
        Evidence.INFERENCE,
        "CPUExecutionProvider",
    )


def test_an_inference_that_fails_is_not_ready(database: JobDatabase, clock: FakeClock) -> None:
    queue = answer(database, clock, CanaryAnswer(None, "PROVIDER_UNAVAILABLE"))
    with pytest.raises(NoWorkerError, match="PROVIDER_UNAVAILABLE"):
        check_readiness(database, queue, clock, clock.pass_by, 5)


def test_silence_is_not_ready(database: JobDatabase, clock: FakeClock) -> None:
    begun = clock()
    with pytest.raises(NoWorkerError, match="within 5 s"):
        check_readiness(database, FakeQueue(), clock, clock.pass_by, 5)
    assert (clock() - begun).total_seconds() == pytest.approx(5, abs=0.1)


def test_busy_workers_are_ready(database: JobDatabase, clock: FakeClock) -> None:
    database.add(running(clock))
    ready = check_readiness(database, FakeQueue(), clock, clock.pass_by, 5)
    assert ready.evidence is Evidence.RUNNING_JOB


def test_a_broken_broker_is_not_ready(database: JobDatabase, clock: FakeClock) -> None:
    with pytest.raises(BrokerUnavailableError):
        check_readiness(database, FakeQueue(broken=True), clock, clock.pass_by, 5)
