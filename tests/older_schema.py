"""A job database as an older version left it: its schema, and a finished job in rows of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from service.adapters.job_database import JobDatabase
from service.domain.job import Job, JobState, Outcome, Transition

MIGRATIONS = Path(__file__).resolve().parents[1] / "service" / "adapters" / "migrations"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
JOB_ID, LEASE = "b" * 32, "c" * 32
QUEUED = Transition(None, JobState.QUEUED, NOON, "received")
SUCCEEDED = Transition(
    JobState.RUNNING, JobState.SUCCEEDED, NOON + timedelta(minutes=1), "analysed", LEASE
)


def upgrade_to(address: str, revision: str) -> None:
    """Bring a database to a revision, with the steps that the older version had."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with _connected(address) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def add_finished_job(address: str) -> None:
    """Write rows as the first version did, by the columns that the tables have now."""
    job = {
        "job_id": JOB_ID, "model": "net:1", "created_at": NOON, "state": "SUCCEEDED",
        "revision": 2, "attempts": 1, "results_lease": LEASE, "started_at": NOON,
        "finished_at": SUCCEEDED.at, "rung_at": NOON, "progress": 1.0,
        "result": "thrombus_found", "files": ["mask", "report"],
    }  # fmt: skip
    with _connected(address) as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
        rows = tables.tables["jobs"].insert()
        connection.execute(rows, job | {"lease": None, "stage": None, "failure_code": None})
        for number, step in enumerate((QUEUED, SUCCEEDED)):
            connection.execute(
                tables.tables["job_transitions"].insert(),
                {
                    "job_id": JOB_ID, "number": number, "before": step.before,
                    "after": step.after, "at": step.at, "reason": step.reason,
                    "lease": step.lease,
                },
            )  # fmt: skip


def finished_job() -> Job:
    """Return what this version has to make of those rows."""
    return Job(
        JOB_ID, "net:1", NOON, JobState.SUCCEEDED, revision=2, attempts=1, results_lease=LEASE,
        started_at=NOON, rung_at=NOON, progress=1.0,
        outcome=Outcome("thrombus_found", ("mask", "report")), transitions=(QUEUED, SUCCEEDED),
    )  # fmt: skip


def read_job(address: str) -> Job:
    """Read the job as this version does."""
    database = JobDatabase(address)
    try:
        return database.get(JOB_ID)
    finally:
        database.close()


def revision_of(address: str) -> str | None:
    """Return the revision of the schema."""
    database = JobDatabase(address)
    try:
        return database.revision()
    finally:
        database.close()


@contextmanager
def _connected(address: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        yield connection
    engine.dispose()
