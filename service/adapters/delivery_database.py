"""Deliveries in the job database: implements ``DeliveryStore``, and sums for metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.adapters.database_engine import reading, writing
from service.adapters.delivery_rows import (
    add_steps,
    delivery_values,
    object_values,
    to_delivery,
)
from service.adapters.job_rows import grouped
from service.adapters.job_tables import deliveries, delivery_objects, delivery_steps
from service.domain.delivery import Delivery, DeliveryState
from service.domain.errors import UnknownDeliveryError

OPEN = [state.value for state in DeliveryState if state.open]


@dataclass(frozen=True)
class DeliveryStatistics:
    """Sums over all deliveries known, for metrics.

    Attributes
    ----------
    deliveries : mapping
        (destination, state) to number; every state is there for every destination known.
    attempts : mapping
        Destination to how often sending began.
    oldest_open_at : mapping
        Destination to when its oldest open delivery began (UTC).
    """

    deliveries: Mapping[tuple[str, str], int]
    attempts: Mapping[str, int]
    oldest_open_at: Mapping[str, datetime]


class DeliveryDatabase:
    """The truth about deliveries, in the tables beside those of jobs.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        That of the job database, which also makes the tables.

    Raises
    ------
    JobDatabaseError
        From every method, if the database cannot be reached.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def get(self, delivery_id: str) -> Delivery:
        """Return a delivery; see ``DeliveryStore.get``."""
        found = self._select(deliveries.c.delivery_id == delivery_id)
        if not found:
            raise UnknownDeliveryError(f"there is no delivery {delivery_id!r}")
        return found[0]

    def of_job(self, job_id: str) -> tuple[Delivery, ...]:
        """Return the deliveries of a job, by name of destination."""
        return self._select(deliveries.c.job_id == job_id)

    def recent(self, limit: int, *, failed: bool = False) -> tuple[Delivery, ...]:
        """Return the deliveries that began last, newest first.

        Parameters
        ----------
        failed : bool
            Only those that failed, for good or at the last attempt.
        """
        condition = deliveries.c.failure_code.is_not(None) if failed else sa.true()
        return self._select(condition, deliveries.c.begun_at.desc(), limit)

    def due(self, destination: str, now: datetime, limit: int) -> tuple[Delivery, ...]:
        """Return what may be sent now; see ``DeliveryStore.due``."""
        waits = sa.and_(
            deliveries.c.state == DeliveryState.PENDING.value, deliveries.c.due_at <= now
        )
        lost = sa.and_(
            deliveries.c.state == DeliveryState.SENDING.value,
            deliveries.c.lease_expires_at <= now,
        )
        mine = deliveries.c.destination == destination
        return self._select(sa.and_(mine, sa.or_(waits, lost)), deliveries.c.due_at, limit)

    def open_elsewhere(self, known: tuple[str, ...]) -> tuple[Delivery, ...]:
        """Return open deliveries to any other destination than these."""
        foreign = deliveries.c.destination.not_in(known)
        return self._select(sa.and_(foreign, deliveries.c.state.in_(OPEN)))

    def replace(self, before: Delivery, after: Delivery) -> bool:
        """Compare and swap by revision; see ``DeliveryStore.replace``."""
        key = deliveries.c.delivery_id == before.delivery_id
        unchanged = sa.and_(key, deliveries.c.revision == before.revision)
        values = delivery_values(after) | {"revision": before.revision + 1}
        with writing(self._engine) as connection:
            changed = connection.execute(deliveries.update().where(unchanged).values(**values))
            if changed.rowcount != 1:
                return False
            for number, each in enumerate(after.objects):
                if each != before.objects[number]:
                    _write_object(connection, after.delivery_id, number, object_values(each))
            add_steps(connection, after, len(before.steps))
        return True

    def statistics(self) -> DeliveryStatistics:
        """Return sums over all deliveries."""
        place, state = deliveries.c.destination, deliveries.c.state
        with reading(self._engine) as connection:
            counts = connection.execute(
                sa.select(place, state, sa.func.count()).group_by(place, state)
            ).all()
            attempts = connection.execute(
                sa.select(place, sa.func.count())
                .join(delivery_steps)
                .where(delivery_steps.c.after == DeliveryState.SENDING.value)
                .group_by(place)
            ).all()
            oldest = connection.execute(
                sa.select(place, sa.func.min(deliveries.c.begun_at))
                .where(state.in_(OPEN))
                .group_by(place)
            ).all()
        names = {str(name) for name, _, _ in counts}
        every = {(name, each.value): 0 for name in sorted(names) for each in DeliveryState}
        return DeliveryStatistics(
            every | {(name, state): int(count) for name, state, count in counts},
            {name: int(count) for name, count in attempts},
            {str(name): moment for name, moment in oldest},
        )

    def _select(
        self,
        condition: sa.ColumnElement[bool],
        order: sa.ColumnElement[Any] = deliveries.c.destination,
        limit: int | None = None,
    ) -> tuple[Delivery, ...]:
        query = sa.select(deliveries).where(condition)
        query = query.order_by(order, deliveries.c.delivery_id).limit(limit)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
            wanted = [row.delivery_id for row in rows]
            objects = grouped(connection, delivery_objects, delivery_objects.c.delivery_id, wanted)
            steps = grouped(connection, delivery_steps, delivery_steps.c.delivery_id, wanted)
        return tuple(
            to_delivery(row, objects.get(row.delivery_id, []), steps.get(row.delivery_id, []))
            for row in rows
        )


def _write_object(
    connection: sa.Connection, delivery_id: str, number: int, values: dict[str, Any]
) -> None:
    key = sa.and_(
        delivery_objects.c.delivery_id == delivery_id, delivery_objects.c.number == number
    )
    connection.execute(delivery_objects.update().where(key).values(**values))
