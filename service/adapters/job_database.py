"""Jobs in SQLite or PostgreSQL, by SQLAlchemy; the schema is brought up to date at start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from service.adapters.database_engine import make_engine, reading, writing
from service.adapters.delivery_rows import add_deliveries
from service.adapters.job_rows import add_job, grouped, job_values, to_job, write_history
from service.adapters.job_tables import (
    arrivals,
    canaries,
    deliveries,
    job_arrivals,
    jobs,
    stages,
    transitions,
)
from service.application.ports import CanaryAnswer
from service.domain.delivery import deliveries_of
from service.domain.destination import Destination
from service.domain.errors import UnknownJobError
from service.domain.job import TRANSITIONS, Job, JobState

# Any number will do; all processes that upgrade one PostgreSQL database take this lock.
UPGRADE_LOCK = 7_346_512


UNFINISHED = [state.value for state in JobState if TRANSITIONS[state]]


@dataclass(frozen=True)
class JobStatistics:
    """Sums over all jobs known, for metrics.

    Attributes
    ----------
    jobs : mapping
        State to number of jobs; every state is there.
    oldest_queued_at : datetime or None
        When the oldest waiting job came (UTC).
    stages : mapping
        Stage to (how often it was finished, seconds in sum).
    failures : mapping
        Code to number of jobs that failed with it.
    """

    jobs: Mapping[str, int]
    oldest_queued_at: datetime | None
    stages: Mapping[str, tuple[int, float]]
    failures: Mapping[str, int]


class JobDatabase:
    """The truth about jobs: implements ``JobStore``, and keeps canaries and statistics.

    Parameters
    ----------
    address : str
        SQLAlchemy URL: ``sqlite:///...`` (kept in WAL mode) or ``postgresql+psycopg://...``.
    destinations : sequence of Destination
        Who gets the results: their deliveries are stored in the transaction that makes a job
        SUCCEEDED, whoever makes it.

    Raises
    ------
    JobDatabaseError
        From every method, if the database cannot be reached.
    """

    def __init__(self, address: str, destinations: Sequence[Destination] = ()) -> None:
        self.engine = make_engine(address)
        self._destinations = tuple(destinations)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def upgrade(self) -> None:
        """Bring the schema up to date; safe while other processes do the same.

        Raises
        ------
        JobDatabaseError
            If a step fails; none of it is kept then.
        """
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with writing(self.engine) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(UPGRADE_LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def revision(self) -> str | None:
        """Return the revision of the schema, None before the first upgrade."""
        with reading(self.engine) as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def check(self) -> None:
        """Ask the database for nothing, to see that it answers."""
        with reading(self.engine) as connection:
            connection.execute(sa.select(1))

    def add(self, job: Job) -> None:
        """Keep a new job."""
        with writing(self.engine) as connection:
            add_job(connection, job)

    def get(self, job_id: str) -> Job:
        """Return a job; see ``JobStore.get``."""
        found = self._select(jobs.c.job_id == job_id)
        if not found:
            raise UnknownJobError(f"there is no job {job_id!r}")
        return found[0]

    def recent(self, limit: int) -> tuple[Job, ...]:
        """Return the newest jobs, newest first."""
        return self._select(sa.true(), newest=limit)

    def unfinished(self) -> tuple[Job, ...]:
        """Return all jobs that have not ended, oldest first."""
        return self._select(jobs.c.state.in_(UNFINISHED))

    def ended_before(self, moment: datetime) -> tuple[str, ...]:
        """Return identifiers of jobs that ended, with all deliveries, before a moment (UTC)."""
        late = sa.or_(deliveries.c.finished_at.is_(None), deliveries.c.finished_at >= moment)
        needed = sa.exists().where(deliveries.c.job_id == jobs.c.job_id, late)
        query = sa.select(jobs.c.job_id).where(jobs.c.finished_at < moment, ~needed)
        with reading(self.engine) as connection:
            return tuple(connection.scalars(query))

    def forget(self, job_id: str) -> None:
        """Delete a job, its transitions, stages and deliveries."""
        # Whoever records what arrives locks the arrival first and its job's rows then; so do we.
        study = sa.select(job_arrivals.c.study_instance_uid).where(job_arrivals.c.job_id == job_id)
        arrival = sa.select(arrivals).where(arrivals.c.study_instance_uid.in_(study))
        with writing(self.engine) as connection:
            connection.execute(arrival.with_for_update())
            connection.execute(jobs.delete().where(jobs.c.job_id == job_id))

    def replace(self, before: Job, after: Job) -> bool:
        """Compare and swap by revision, all in one transaction; see ``JobStore.replace``."""
        unchanged = sa.and_(jobs.c.job_id == before.job_id, jobs.c.revision == before.revision)
        values = job_values(after) | {"revision": before.revision + 1}
        with writing(self.engine) as connection:
            if connection.execute(jobs.update().where(unchanged).values(**values)).rowcount != 1:
                return False
            write_history(connection, before, after)
            if after.state is not before.state:
                add_deliveries(connection, deliveries_of(after, self._destinations))
        return True

    def ask_canary(self, canary_id: str, now: datetime) -> None:
        """Note that a worker was asked for a sign of life; older questions are dropped."""
        with writing(self.engine) as connection:
            connection.execute(canaries.delete().where(canaries.c.asked_at < _day_before(now)))
            connection.execute(canaries.insert().values(canary_id=canary_id, asked_at=now))

    def answer_canary(self, canary_id: str, answer: CanaryAnswer, now: datetime) -> None:
        """Note a worker's answer."""
        values = {
            "answered_at": now,
            "execution_provider": answer.execution_provider,
            "failure_code": answer.failure_code,
        }
        with writing(self.engine) as connection:
            connection.execute(
                canaries.update().where(canaries.c.canary_id == canary_id).values(**values)
            )

    def canary_answer(self, canary_id: str) -> CanaryAnswer | None:
        """Return what a worker answered, or None if none did yet."""
        with reading(self.engine) as connection:
            row = connection.execute(
                sa.select(canaries).where(
                    canaries.c.canary_id == canary_id, canaries.c.answered_at.is_not(None)
                )
            ).one_or_none()
        return None if row is None else CanaryAnswer(row.execution_provider, row.failure_code)

    def statistics(self) -> JobStatistics:
        """Return sums over all jobs."""
        with reading(self.engine) as connection:
            by_state = _counted(connection, jobs.c.state)
            failures = _counted(connection, jobs.c.failure_code)
            oldest = connection.scalar(
                sa.select(sa.func.min(jobs.c.created_at)).where(
                    jobs.c.state == JobState.QUEUED.value
                )
            )
            rows = connection.execute(
                sa.select(stages.c.stage, sa.func.count(), sa.func.sum(stages.c.seconds))
                .where(stages.c.seconds.is_not(None))
                .group_by(stages.c.stage)
            )
            durations = {stage: (int(count), float(total)) for stage, count, total in rows}
        all_states = {state.value: by_state.get(state.value, 0) for state in JobState}
        return JobStatistics(all_states, oldest, durations, failures)

    def _select(
        self, condition: sa.ColumnElement[bool], *, newest: int | None = None
    ) -> tuple[Job, ...]:
        order = jobs.c.created_at.asc() if newest is None else jobs.c.created_at.desc()
        query = sa.select(jobs).where(condition).order_by(order, jobs.c.job_id).limit(newest)
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
            wanted = [row.job_id for row in rows]
            steps = grouped(connection, transitions, transitions.c.job_id, wanted)
            runs = grouped(connection, stages, stages.c.job_id, wanted)
            came = connection.execute(
                sa.select(job_arrivals).where(job_arrivals.c.job_id.in_(wanted))
            ).all()
        arrival_of = {row.job_id: row for row in came}
        return tuple(
            to_job(
                row,
                steps.get(row.job_id, []),
                runs.get(row.job_id, []),
                arrival_of.get(row.job_id),
            )
            for row in rows
        )


def _day_before(now: datetime) -> datetime:
    return datetime.fromtimestamp(now.timestamp() - 86_400, tz=UTC)


def _counted(connection: sa.Connection, column: sa.Column[Any]) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(column.is_not(None)).group_by(column)
    return {str(value): int(count) for value, count in connection.execute(query)}
