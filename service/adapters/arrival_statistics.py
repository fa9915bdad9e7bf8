"""Sums over all that arrived, for metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from service.adapters.job_tables import arrivals, arrived_instances, refused_instances
from service.domain.arrival import Receipt

_came = arrived_instances.c


@dataclass(frozen=True)
class ArrivalStatistics:
    """Sums over all that arrived, for metrics.

    Attributes
    ----------
    instances : mapping
        (source, receipt) to number of instances; copies count as duplicates.
    refusals : mapping
        (source, code) to number of instances that were refused.
    collecting : mapping
        Source to number of studies that are not started yet.
    """

    instances: Mapping[tuple[str, str], int]
    refusals: Mapping[tuple[str, str], int]
    collecting: Mapping[str, int]


def sums(connection: sa.Connection) -> ArrivalStatistics:
    """Return sums over all arrivals."""
    counts = connection.execute(
        sa.select(_came.source, _came.receipt, sa.func.count(), sa.func.sum(_came.copies)).group_by(
            _came.source, _came.receipt
        )
    ).all()
    refusals = connection.execute(sa.select(refused_instances)).all()
    collecting = connection.execute(
        sa.select(arrivals.c.source, sa.func.count())
        .where(arrivals.c.new > 0)
        .group_by(arrivals.c.source)
    ).all()
    instances = {(source, receipt): int(count) for source, receipt, count, _ in counts}
    for source, _, _, copies in counts:
        key = (source, Receipt.DUPLICATE.value)
        instances[key] = instances.get(key, 0) + int(copies)
    return ArrivalStatistics(
        instances,
        {(row.source, row.code): int(row.instances) for row in refusals},
        {source: int(count) for source, count in collecting},
    )
