"""The job database on SQLite and on a real PostgreSQL: schema, races, several processes."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.adapters.job_database import JobDatabase
from service.adapters.job_tables import metadata
from service.application.ports import CanaryAnswer
from service.domain.errors import JobDatabaseError, LeaseLostError
from service.domain.job import Failure, Job, JobState, Lease, Outcome
from tests.processes import postgres_server

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
JOB = "a" * 32


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a PostgreSQL server; give the address of its maintenance database."""
    with postgres_server(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite3'}"
    maintenance: str = request.getfixturevalue("postgres")
    engine = sa.create_engine(maintenance, isolation_level="AUTOCOMMIT")
    name = f"jobs_{abs(hash(request.node.name)) % 10**8}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return sa.make_url(maintenance).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def database(address: str) -> Iterator[JobDatabase]:
    database = JobDatabase(address)
    database.upgrade()
    yield database
    database.close()


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
