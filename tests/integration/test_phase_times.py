"""Time from door to result, and providers, from the rows of either database."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from service.adapters.arrival_database import ArrivalDatabase
from service.adapters.job_database import JobDatabase
from service.adapters.job_tables import deliveries
from service.adapters.phase_times import (
    Phase,
    failed_inferences,
    phase_seconds,
    providers_seen,
)
from service.application.ports import CanaryAnswer
from service.domain.arrival import (
    ArrivalLimits,
    ArrivalPolicy,
    ArrivedInstance,
    JobArrival,
    Source,
    Start,
    StartReason,
)
from service.domain.destination import Destination, ObjectKind
from service.domain.job import Job, Lease, Outcome

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PACS = Destination("pacs", frozenset({"found"}), (ObjectKind.SEGMENTATION,), confirmed=True)
SCANNER = Source("scanner", ArrivalPolicy())


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def database(address: str) -> Iterator[JobDatabase]:
    database = JobDatabase(address, [PACS])
    database.upgrade()
    yield database
    database.close()


def finish(database: JobDatabase, job: Job, started: float, finished: float) -> None:
    lease = Lease("t", after(finished))
    running = job.claimed(lease, after(started))
    assert database.replace(job, running)
    stored = database.get(job.job_id)
    done = stored.succeeded("t", Outcome("found", ("segmentation.dcm",)), after(finished))
    assert database.replace(stored, done)


def deliver(database: JobDatabase, job_id: str, seconds: float) -> None:
    ended = {"state": "DELIVERED", "finished_at": after(seconds)}
    with database.engine.begin() as connection:
        changed = connection.execute(
            deliveries.update().where(deliveries.c.job_id == job_id).values(**ended)
        )
    assert changed.rowcount == 1


def arrived(database: JobDatabase) -> Job:
    """Return a job of a study whose instances came at noon and 10 s later, and began at 40 s."""
    store = ArrivalDatabase(database.engine)
    for number, seconds in ((1, 0.0), (2, 10.0)):
        instance = ArrivedInstance(
            study_instance_uid="1.2.3",
            series_instance_uid="1.2.3.1",
            sop_instance_uid=f"1.2.3.1.{number}",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
            size=10,
            is_input=True,
        )
        store.record(instance, SCANNER, ArrivalLimits(100, 10_000, 0), after(seconds))
    arrival = store.get("1.2.3")
    assert arrival is not None
    start = Start(arrival, StartReason.QUIET, arrival.all_series())
    job = Job.queued("a" * 32, "m:1", after(40), JobArrival.of(start))
    assert store.end_round(start, job)
    return database.get(job.job_id)


def test_every_phase_of_a_study_that_arrived(database: JobDatabase) -> None:
    job = arrived(database)
    finish(database, job, 45, 105)
    deliver(database, job.job_id, 107)
    assert phase_seconds(database.engine, NOON) == {
        Phase.ARRIVAL: [40.0],
        Phase.QUEUE: [5.0],
        Phase.ANALYSIS: [60.0],
        Phase.DELIVERY: [2.0],
        Phase.TOTAL: [107.0],
    }


def test_an_upload_does_not_wait_and_may_not_be_delivered_yet(database: JobDatabase) -> None:
    job = Job.queued("b" * 32, "m:1", NOON)
    database.add(job)
    finish(database, job, 3, 63)
    found = phase_seconds(database.engine, NOON)
    assert found[Phase.DELIVERY] == []
    assert (found[Phase.ARRIVAL], found[Phase.TOTAL]) == ([0.0], [63.0])


def test_older_jobs_and_waiting_ones_do_not_count(database: JobDatabase) -> None:
    job = Job.queued("b" * 32, "m:1", NOON)
    database.add(job)
    database.add(Job.queued("c" * 32, "m:1", NOON))
    finish(database, job, 3, 63)
    assert not any(phase_seconds(database.engine, after(64)).values())


def test_providers_and_failures_of_test_inferences(database: JobDatabase) -> None:
    for number, provider, code in ((1, "CPU", None), (2, "CPU", None), (3, None, "NO_GPU")):
        database.ask_canary(str(number), NOON)
        database.answer_canary(str(number), CanaryAnswer(provider, code), after(number))
    (seen,) = providers_seen(database.engine)
    assert (seen.provider, seen.at) == ("CPU", after(2))
    assert failed_inferences(database.engine) == {"NO_GPU": 1}
