"""Deliveries as rows of the job database, and back."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from service.adapters.job_rows import failure_values, to_failure
from service.adapters.job_tables import deliveries, delivery_objects, delivery_steps
from service.domain.delivery import (
    DeliveredObject,
    Delivery,
    DeliveryState,
    DeliveryStep,
    ObjectState,
)
from service.domain.destination import ObjectKind
from service.domain.job import Lease


def add_deliveries(connection: sa.Connection, new: Iterable[Delivery]) -> None:
    """Add new deliveries within the transaction of a connection."""
    for delivery in new:
        values = delivery_values(delivery)
        connection.execute(
            deliveries.insert().values(
                delivery_id=delivery.delivery_id,
                job_id=delivery.job_id,
                destination=delivery.destination,
                revision=delivery.revision,
                **values,
            )
        )
        for number, each in enumerate(delivery.objects):
            connection.execute(
                delivery_objects.insert().values(
                    delivery_id=delivery.delivery_id,
                    number=number,
                    kind=each.kind.value,
                    **object_values(each),
                )
            )
        add_steps(connection, delivery, 0)


def add_steps(connection: sa.Connection, delivery: Delivery, known: int) -> None:
    """Add the steps of a delivery that are not yet stored."""
    for number, step in enumerate(delivery.steps[known:], known):
        connection.execute(
            delivery_steps.insert().values(
                delivery_id=delivery.delivery_id,
                number=number,
                before=step.before.value if step.before else None,
                after=step.after.value,
                at=step.at,
                reason=step.reason,
            )
        )


def delivery_values(delivery: Delivery) -> dict[str, Any]:
    """Return what may change of a delivery, without its revision."""
    lease = delivery.lease
    return {
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "lease": lease.token if lease else None,
        "lease_expires_at": lease.expires_at if lease else None,
        "begun_at": delivery.begun_at,
        "due_at": delivery.due_at,
        "finished_at": delivery.finished_at,
        **failure_values(delivery.failure),
    }


def object_values(each: DeliveredObject) -> dict[str, Any]:
    """Return what may change of an object."""
    return {
        "state": each.state.value,
        "sop_instance_uid": each.sop_instance_uid,
        "status": each.status,
    }


def to_delivery(
    row: sa.Row[Any], objects: Sequence[sa.Row[Any]], steps: Sequence[sa.Row[Any]]
) -> Delivery:
    """Return the delivery that rows of the three tables stand for."""
    return Delivery(
        delivery_id=row.delivery_id,
        job_id=row.job_id,
        destination=row.destination,
        begun_at=row.begun_at,
        due_at=row.due_at,
        objects=tuple(_to_object(each) for each in objects),
        state=DeliveryState(row.state),
        revision=row.revision,
        attempts=row.attempts,
        lease=Lease(row.lease, row.lease_expires_at) if row.lease else None,
        failure=to_failure(row),
        steps=tuple(_to_step(step) for step in steps),
    )


def _to_object(row: sa.Row[Any]) -> DeliveredObject:
    return DeliveredObject(
        ObjectKind(row.kind), ObjectState(row.state), row.sop_instance_uid, row.status
    )


def _to_step(row: sa.Row[Any]) -> DeliveryStep:
    before = DeliveryState(row.before) if row.before else None
    return DeliveryStep(before, DeliveryState(row.after), row.at, row.reason)
