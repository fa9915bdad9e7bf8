"""The job database on SQLite and on a real PostgreSQL: schema, races, several processes."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.adapters.delivery_database import DeliveryDatabase
from service.adapters.job_database import JobDatabase
from service.adapters.job_tables import metadata
from service.application.ports import CanaryAnswer
from service.domain.delivery import Answer, Delivery, ObjectState, deliveries_of
from service.domain.destination import Destination, ObjectKind
from service.domain.errors import JobDatabaseError, LeaseLostError, UnknownDeliveryError
from service.domain.job import Failure, Job, JobState, Lease, Outcome

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
JOB = "a" * 32


def test_the_migrations_make_the_tables_that_the_code_uses(
    address: str, database: JobDatabase
) -> None:
    database.upgrade()
    engine = sa.create_engine(address)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert differences == []


def test_several_processes_upgrade_an_empty_database_at_once(address: str) -> None:
    code = (
        "import sys; from service.adapters.job_database import JobDatabase;"
        "JobDatabase(sys.argv[1]).upgrade()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, address]) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    database = JobDatabase(address)
    assert database.recent(10) == ()
    database.close()


def test_a_schema_from_the_future_is_refused(address: str, database: JobDatabase) -> None:
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    with pytest.raises(JobDatabaseError, match="CommandError"):
        database.upgrade()


def test_a_job_comes_back_as_it_was_stored(database: JobDatabase) -> None:
    job = Job.queued(JOB, "m:1", NOON).rung(NOON)
    database.add(job)
    assert database.get(JOB) == job
    lease = Lease("t" * 32, NOON + timedelta(seconds=30))
    steps: list[Callable[[Job], Job]] = [
        lambda j: j.claimed(lease, NOON),
        lambda j: j.entered(lease.token, "read", 0.0, NOON),
        lambda j: j.entered(lease.token, "infer", 0.4, NOON + timedelta(seconds=1.25)),
        lambda j: j.succeeded(
            lease.token, Outcome("thrombus_found", ("a", "b")), NOON + timedelta(seconds=3)
        ),
    ]
    for step in steps:
        changed = step(job)
        assert database.replace(job, changed)
        job = database.get(JOB)
        assert (job.stages, job.transitions, job.lease, job.outcome) == (
            changed.stages,
            changed.transitions,
            changed.lease,
            changed.outcome,
        )
    statistics = database.statistics()
    assert statistics.stages == {"read": (1, 1.25), "infer": (1, 1.75)}
    assert statistics.jobs["SUCCEEDED"] == 1
    assert database.ended_before(NOON + timedelta(seconds=4)) == (JOB,)
    database.forget(JOB)
    assert database.recent(1) == ()


def test_many_claims_of_one_job_succeed_once(database: JobDatabase) -> None:
    database.add(Job.queued(JOB, "m:1", NOON))
    seen = database.get(JOB)
    barrier = threading.Barrier(8)
    won: list[str] = []

    def claim(token: str) -> None:
        barrier.wait()
        if database.replace(seen, seen.claimed(Lease(token, NOON), NOON)):
            won.append(token)

    threads = [threading.Thread(target=claim, args=(f"t{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    stored = database.get(JOB)
    assert stored.lease == Lease(won[0], NOON)
    assert [step.after for step in stored.transitions] == [JobState.QUEUED, JobState.RUNNING]
    with pytest.raises(LeaseLostError):
        stored.require_lease("t9")


def test_failures_and_waiting_jobs_are_counted(database: JobDatabase) -> None:
    database.add(Job.queued("b" * 32, "m:1", NOON - timedelta(hours=1)))
    job = Job.queued(JOB, "m:1", NOON).claimed(Lease("t", NOON), NOON)
    database.add(job.failed(Failure("BAD_GEOMETRY", "sheared", "sender of the study"), NOON))
    statistics = database.statistics()
    assert statistics.failures == {"BAD_GEOMETRY": 1}
    assert statistics.oldest_queued_at == NOON - timedelta(hours=1)
    assert [j.job_id for j in database.unfinished()] == ["b" * 32]


PACS = Destination(
    "pacs",
    frozenset({"thrombus_found"}),
    (ObjectKind.SEGMENTATION, ObjectKind.STRUCTURED_REPORT),
    confirmed=True,
)
FILES = ("segmentation.dcm", "structured_report.dcm")


@pytest.fixture
def outbox(address: str) -> Iterator[JobDatabase]:
    """Give a database that knows a destination."""
    database = JobDatabase(address, [PACS])
    database.upgrade()
    yield database
    database.close()


def finish(database: JobDatabase, job_id: str = JOB) -> bool:
    """Make a job succeed as a worker does."""
    database.add(Job.queued(job_id, "m:1", NOON))
    waiting = database.get(job_id)
    assert database.replace(waiting, waiting.claimed(Lease("t", NOON), NOON))
    running = database.get(job_id)
    return database.replace(running, running.succeeded("t", Outcome("thrombus_found", FILES), NOON))


def test_deliveries_come_with_success_and_only_once(outbox: JobDatabase) -> None:
    store = DeliveryDatabase(outbox.engine)
    outbox.add(Job.queued(JOB, "m:1", NOON))
    waiting = outbox.get(JOB)
    assert outbox.replace(waiting, waiting.claimed(Lease("t", NOON), NOON))
    assert store.of_job(JOB) == ()
    running = outbox.get(JOB)
    done = running.succeeded("t", Outcome("thrombus_found", FILES), NOON)
    barrier = threading.Barrier(4)
    won: list[bool] = []

    def succeed() -> None:
        barrier.wait()
        won.append(outbox.replace(running, done))

    threads = [threading.Thread(target=succeed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]
    assert store.of_job(JOB) == deliveries_of(done, [PACS])


def test_success_is_not_stored_without_its_deliveries(address: str, outbox: JobDatabase) -> None:
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE delivery_objects RENAME TO hidden")
    with pytest.raises(JobDatabaseError):
        finish(outbox)
    assert outbox.get(JOB).state is JobState.RUNNING
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM deliveries").scalar() == 0
    engine.dispose()


def test_a_delivery_comes_back_as_it_was_stored(outbox: JobDatabase) -> None:
    assert finish(outbox)
    store = DeliveryDatabase(outbox.engine)
    (delivery,) = store.due("pacs", NOON, 10)
    assert store.due("other", NOON, 10) == ()
    answers = [
        Answer(ObjectKind.SEGMENTATION, ObjectState.REFUSED, "A700H"),
        Answer(ObjectKind.STRUCTURED_REPORT, ObjectState.ACCEPTED, "0000H"),
    ]
    steps: list[Callable[[Delivery], Delivery]] = [
        lambda d: d.claimed(Lease("t", NOON + timedelta(seconds=30)), NOON),
        lambda d: d.named({ObjectKind.SEGMENTATION: "1.2"}),
        lambda d: d.answered(answers),
        lambda d: d.concluded(PACS, None, NOON),
        lambda d: d.asked_again(NOON + timedelta(days=1)),
    ]
    for number, step in enumerate(steps, 1):
        changed = step(delivery)
        assert store.replace(delivery, changed)
        assert not store.replace(delivery, changed)
        delivery = store.get(delivery.delivery_id)
        assert delivery == replace(changed, revision=number)


def test_one_of_many_claims_of_a_delivery_wins(outbox: JobDatabase) -> None:
    assert finish(outbox)
    store = DeliveryDatabase(outbox.engine)
    (seen,) = store.of_job(JOB)
    barrier = threading.Barrier(6)
    won: list[str] = []

    def claim(token: str) -> None:
        barrier.wait()
        if store.replace(seen, seen.claimed(Lease(token, NOON), NOON)):
            won.append(token)

    threads = [threading.Thread(target=claim, args=(f"t{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    # The lease has run out at once: the delivery is due again.
    (lost,) = store.due("pacs", NOON, 10)
    assert lost.lease == Lease(won[0], NOON)


def test_a_job_is_old_only_when_its_deliveries_are(outbox: JobDatabase) -> None:
    assert finish(outbox)
    store = DeliveryDatabase(outbox.engine)
    later = NOON + timedelta(days=100)
    assert outbox.ended_before(later) == ()
    (pending,) = store.of_job(JOB)
    over = pending.given_up(Failure("X", "x", "y"), NOON + timedelta(days=7))
    assert store.replace(pending, over)
    assert outbox.ended_before(NOON + timedelta(days=7)) == ()
    assert outbox.ended_before(NOON + timedelta(days=8)) == (JOB,)
    outbox.forget(JOB)
    assert store.of_job(JOB) == ()
    with pytest.raises(UnknownDeliveryError):
        store.get(over.delivery_id)


def test_deliveries_are_counted_by_destination(outbox: JobDatabase) -> None:
    for job_id in (JOB, "b" * 32):
        assert finish(outbox, job_id)
    store = DeliveryDatabase(outbox.engine)
    (first,) = store.of_job(JOB)
    assert store.replace(first, first.claimed(Lease("t", NOON), NOON))
    found = store.statistics()
    assert found.deliveries["pacs", "PENDING"] == 1
    assert found.deliveries["pacs", "SENDING"] == 1
    assert found.deliveries["pacs", "FAILED"] == 0
    assert found.attempts == {"pacs": 1}
    assert found.oldest_open_at == {"pacs": NOON}
    assert len(store.recent(10)) == 2
    assert store.recent(10, failed=True) == ()
    assert len(store.open_elsewhere(("other",))) == 2
    assert store.open_elsewhere(("pacs",)) == ()


def test_canaries(database: JobDatabase) -> None:
    database.ask_canary("old", NOON - timedelta(days=2))
    database.ask_canary("new", NOON)
    assert database.canary_answer("new") is None
    given = CanaryAnswer("CPUExecutionProvider", None)
    database.answer_canary("new", given, NOON)
    assert database.canary_answer("new") == given
    assert database.canary_answer("old") is None


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg://nobody:secret@127.0.0.1:1/none",
        "nonsense://secret",
        "no url: secret",
        "sqlite:////proc/secret/jobs.sqlite3",
    ],
)
def test_a_bad_address_is_named_without_its_secrets(address: str) -> None:
    with pytest.raises(JobDatabaseError) as caught:
        JobDatabase(address).upgrade()
    assert "secret" not in str(caught.value)
