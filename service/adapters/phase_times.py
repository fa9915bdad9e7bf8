"""How long studies took from door to result, by phase, from the rows that all processes write.

So it does not matter how many workers there are, nor which of them still lives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa

from service.adapters.database_engine import reading
from service.adapters.job_tables import (
    arrived_instances,
    canaries,
    deliveries,
    job_arrivals,
    jobs,
)
from service.domain.delivery import DeliveryState
from service.domain.job import JobState

ENDED_WELL = (DeliveryState.SENT.value, DeliveryState.DELIVERED.value)


class Phase(StrEnum):
    """What a study goes through."""

    # From its first instance to the job; an upload does not wait.
    ARRIVAL = "arrival"
    # Until the attempt that succeeded began: the queue, and attempts before it.
    QUEUE = "queue"
    ANALYSIS = "analysis"
    # Until the last destination had everything.
    DELIVERY = "delivery"
    # From the first instance, or the upload, to the last of these.
    TOTAL = "total"


@dataclass(frozen=True)
class Sighting:
    """When a provider last ran a test inference (UTC)."""

    provider: str
    at: datetime


def phase_seconds(engine: sa.Engine, since: datetime) -> Mapping[Phase, Sequence[float]]:
    """Return seconds of every phase, of each job that succeeded since a moment (UTC)."""
    found: dict[Phase, list[float]] = {phase: [] for phase in Phase}
    with reading(engine) as connection:
        for row in connection.execute(_moments(since)):
            moments = (row.first_at or row.created_at, row.created_at, row.started_at)
            ends = (row.finished_at, row.delivered_at)
            for phase, seconds in _phases(*moments, *ends).items():
                found[phase].append(seconds)
    return found


def _phases(
    came: datetime,
    created: datetime,
    started: datetime,
    finished: datetime,
    delivered: datetime | None,
) -> Mapping[Phase, float]:
    steps = {
        Phase.ARRIVAL: (came, created),
        Phase.QUEUE: (created, started),
        Phase.ANALYSIS: (started, finished),
        Phase.TOTAL: (came, delivered or finished),
    }
    if delivered is not None:
        steps[Phase.DELIVERY] = (finished, delivered)
    # Clocks of several machines may differ by a little.
    return {phase: max(0.0, (end - begin).total_seconds()) for phase, (begin, end) in steps.items()}


def _moments(since: datetime) -> sa.Select[tuple[datetime, ...]]:
    first = (
        sa.select(sa.func.min(arrived_instances.c.received_at))
        .join(
            job_arrivals,
            sa.and_(
                job_arrivals.c.study_instance_uid == arrived_instances.c.study_instance_uid,
                job_arrivals.c.round == arrived_instances.c.round,
            ),
        )
        .where(job_arrivals.c.job_id == jobs.c.job_id)
        .scalar_subquery()
    )
    delivered = (
        sa.select(sa.func.max(deliveries.c.finished_at))
        .where(deliveries.c.job_id == jobs.c.job_id, deliveries.c.state.in_(ENDED_WELL))
        .scalar_subquery()
    )
    return sa.select(
        first.label("first_at"),
        jobs.c.created_at,
        jobs.c.started_at,
        jobs.c.finished_at,
        delivered.label("delivered_at"),
    ).where(
        jobs.c.state == JobState.SUCCEEDED.value,
        jobs.c.started_at.is_not(None),
        jobs.c.finished_at >= since,
    )


def providers_seen(engine: sa.Engine) -> tuple[Sighting, ...]:
    """Return when every execution provider last ran a test inference, of those still known."""
    query = (
        sa.select(canaries.c.execution_provider, sa.func.max(canaries.c.answered_at))
        .where(canaries.c.execution_provider.is_not(None))
        .group_by(canaries.c.execution_provider)
    )
    with reading(engine) as connection:
        return tuple(Sighting(name, at) for name, at in connection.execute(query))


def failed_inferences(engine: sa.Engine) -> Mapping[str, int]:
    """Return how often a test inference failed, by code, of those still known."""
    query = (
        sa.select(canaries.c.failure_code, sa.func.count())
        .where(canaries.c.failure_code.is_not(None))
        .group_by(canaries.c.failure_code)
    )
    with reading(engine) as connection:
        return {code: int(count) for code, count in connection.execute(query)}
