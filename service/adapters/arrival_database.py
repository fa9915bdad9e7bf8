"""Arrivals in the job database: implements ``ArrivalStore``, and sums for metrics.

Whatever changes an arrival first locks its row, so that all of it happens one after the other,
whichever process an instance came to.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from service.adapters.arrival_statistics import ArrivalStatistics, sums
from service.adapters.database_engine import reading, writing
from service.adapters.job_rows import add_job
from service.adapters.job_tables import (
    arrivals,
    arrived_instances,
    job_arrivals,
    refused_instances,
)
from service.domain.arrival import (
    Arrival,
    ArrivalLimits,
    ArrivalPolicy,
    ArrivedInstance,
    ArrivedSeries,
    LateSeries,
    Receipt,
    Source,
    Start,
    StartReason,
)
from service.domain.errors import LimitExceededError, StorageError
from service.domain.job import Job

_study = arrivals.c.study_instance_uid
_came = arrived_instances.c
_INPUTS = _came.receipt != Receipt.NO_INPUT.value
_IS_NEW = sa.and_(_came.round.is_(None), _came.receipt.in_([Receipt.NEW.value, Receipt.LATE.value]))
_IS_IGNORED = sa.and_(_came.round.is_(None), _came.receipt == Receipt.IGNORED.value)


class ArrivalDatabase:
    """The truth about arrivals, in the tables beside those of jobs.

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

    def holds(self, study_instance_uid: str, sop_instance_uid: str) -> bool:
        """Whether an instance of a study came before."""
        with reading(self._engine) as connection:
            return _find(connection, study_instance_uid, sop_instance_uid) is not None

    def committed(self, sop_instance_uids: Sequence[str]) -> Mapping[str, str]:
        """Return SOP class by SOP Instance UID of those instances that are kept."""
        query = sa.select(_came.sop_instance_uid, _came.sop_class_uid)
        with reading(self._engine) as connection:
            found = connection.execute(query.where(_came.sop_instance_uid.in_(sop_instance_uids)))
            return {row.sop_instance_uid: row.sop_class_uid for row in found}

    def record(
        self,
        instance: ArrivedInstance,
        source: Source,
        limits: ArrivalLimits,
        now: datetime,
        kept: Callable[[], bool] = lambda: True,
    ) -> Receipt:
        """Note an instance; see ``ArrivalStore.record``."""
        with writing(self._engine) as connection:
            row = _locked(connection, instance.study_instance_uid, source, now)
            if not kept():
                raise StorageError("its study was forgotten while it came")
            known = _find(connection, instance.study_instance_uid, instance.sop_instance_uid)
            if known is not None:
                _note_copy(connection, row, known, now)
                return Receipt.DUPLICATE
            _check_limits(row, instance, limits)
            receipt = _receipt(row, instance, source)
            _note_instance(connection, row, instance, source, receipt, now)
        return receipt

    def record_refusal(self, source: str, code: str) -> None:
        """Count an instance that was refused."""
        new = _insert(self._engine)(refused_instances).values(source=source, code=code, instances=1)
        with writing(self._engine) as connection:
            connection.execute(
                new.on_conflict_do_update(
                    index_elements=["source", "code"],
                    set_={"instances": refused_instances.c.instances + 1},
                )
            )

    def collecting(self) -> tuple[Arrival, ...]:
        """Return the arrivals that have something new, those first that came first."""
        return self._select(arrivals.c.new > 0, arrivals.c.last_seen_at.asc(), None)

    def recent(self, limit: int) -> tuple[Arrival, ...]:
        """Return the arrivals to which something came last, the last one first."""
        return self._select(sa.true(), arrivals.c.last_seen_at.desc(), limit)

    def get(self, study_instance_uid: str) -> Arrival | None:
        """Return an arrival, or None if nothing of that study came."""
        found = self._select(_study == study_instance_uid, _study, None)
        return found[0] if found else None

    def instances(self, start: Start) -> tuple[str, ...]:
        """Return the SOP Instance UIDs of what a start puts into its job, in order of coming."""
        query = sa.select(_came.sop_instance_uid).where(_of(start), _INPUTS)
        with reading(self._engine) as connection:
            return tuple(connection.scalars(query.order_by(_came.number)))

    def end_round(self, start: Start, job: Job) -> bool:
        """Keep the new job and end the round; see ``ArrivalStore.end_round``."""
        arrival = start.arrival
        with writing(self._engine) as connection:
            row = connection.execute(
                sa.select(arrivals).where(_study == arrival.study_instance_uid).with_for_update()
            ).one_or_none()
            if row is None or row.rounds != arrival.rounds:
                return False
            if start.reason is StartReason.QUIET and _came_since(connection, arrival):
                return False
            add_job(connection, job)
            _mark_superseded(connection, job)
            connection.execute(
                arrived_instances.update()
                .where(_of(start), _INPUTS, _came.round.is_(None))
                .values(round=arrival.rounds + 1)
            )
            _open_next(connection, row, job)
        return True

    def studies(self) -> tuple[str, ...]:
        """Return all studies of which anything came."""
        with reading(self._engine) as connection:
            return tuple(connection.scalars(sa.select(_study)))

    def recorded(self, study_instance_uid: str) -> tuple[str, ...]:
        """Return the SOP Instance UIDs of all that came of a study."""
        mine = sa.select(_came.sop_instance_uid).where(
            _came.study_instance_uid == study_instance_uid
        )
        with reading(self._engine) as connection:
            return tuple(connection.scalars(mine))

    @contextmanager
    def standstill(self) -> Iterator[None]:
        """Hold up whoever would record; see ``ArrivalStore.standstill``."""
        with writing(self._engine) as connection:
            if connection.dialect.name == "postgresql":
                # In SQLite one transaction writes at a time anyway.
                connection.exec_driver_sql("LOCK TABLE arrivals IN SHARE ROW EXCLUSIVE MODE")
            yield

    def idle_since(self, moment: datetime) -> tuple[str, ...]:
        """Return studies that may be forgotten; see ``ArrivalStore.idle_since``."""
        with reading(self._engine) as connection:
            return tuple(connection.scalars(sa.select(_study).where(_idle(moment))))

    def forget(self, study_instance_uid: str, moment: datetime, bury: Callable[[], None]) -> bool:
        """Delete an arrival and its instances if it is idle; see ``ArrivalStore.forget``."""
        idle = sa.and_(_study == study_instance_uid, _idle(moment))
        with writing(self._engine) as connection:
            # Its row is locked by that until the transaction ends.
            if connection.execute(arrivals.delete().where(idle)).rowcount != 1:
                return False
            bury()
        return True

    def statistics(self) -> ArrivalStatistics:
        """Return sums over all arrivals."""
        with reading(self._engine) as connection:
            return sums(connection)

    def _select(
        self, condition: sa.ColumnElement[bool], order: sa.ColumnElement[Any], limit: int | None
    ) -> tuple[Arrival, ...]:
        query = sa.select(arrivals).where(condition).order_by(order, _study).limit(limit)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
            wanted = [row.study_instance_uid for row in rows]
            grouped: dict[str, list[sa.Row[Any]]] = {}
            for series in connection.execute(_series_query(wanted)):
                grouped.setdefault(series.study_instance_uid, []).append(series)
        return tuple(_to_arrival(row, grouped.get(row.study_instance_uid, [])) for row in rows)


def _insert(engine: sa.Engine | sa.Connection) -> Any:  # noqa: ANN401 - the two have no common type
    """Return the insert that knows what to do about a row that is there already."""
    return postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert


def _locked(connection: sa.Connection, study: str, source: Source, now: datetime) -> sa.Row[Any]:
    """Return the row of an arrival, made if needed, locked until the transaction ends."""
    values = {"rounds": 0, "job_id": None, "instances": 0, "new": 0, "bytes": 0}
    new = _insert(connection)(arrivals).values(
        study_instance_uid=study, last_seen_at=now, **_source_values(source), **values
    )
    row = None
    # Not at the first time if somebody forgets the study just now.
    while row is None:
        connection.execute(new.on_conflict_do_nothing())
        query = sa.select(arrivals).where(_study == study).with_for_update()
        row = connection.execute(query).one_or_none()
    return row


def _idle(moment: datetime) -> sa.ColumnElement[bool]:
    no_job = arrivals.c.job_id.is_(None)
    return sa.and_(arrivals.c.new == 0, arrivals.c.last_seen_at < moment, no_job)


def _source_values(source: Source) -> dict[str, Any]:
    return {"source": source.name, "policy": source.policy.to_json()}


def _find(connection: sa.Connection, study: str, sop_instance_uid: str) -> sa.Row[Any] | None:
    return connection.execute(
        sa.select(arrived_instances).where(
            _came.study_instance_uid == study, _came.sop_instance_uid == sop_instance_uid
        )
    ).one_or_none()


def _came_since(connection: sa.Connection, arrival: Arrival) -> bool:
    """Whether anything that can be analysed came after an arrival was read."""
    mine = sa.and_(_came.study_instance_uid == arrival.study_instance_uid, _INPUTS)
    number, copies, seen_at = connection.execute(
        sa.select(
            sa.func.max(_came.number), sa.func.sum(_came.copies), sa.func.max(_came.seen_at)
        ).where(mine)
    ).one()
    return (number, int(copies), seen_at) != (
        arrival.mark,
        arrival.duplicates,
        arrival.last_seen_at,
    )


def _note_copy(
    connection: sa.Connection, row: sa.Row[Any], known: sa.Row[Any], now: datetime
) -> None:
    connection.execute(
        arrived_instances.update()
        .where(_came.number == known.number)
        .values(copies=known.copies + 1, seen_at=max(known.seen_at, now))
    )
    if known.receipt != Receipt.NO_INPUT.value:
        _touch(connection, row, last_seen_at=max(row.last_seen_at, now))
        _count_on_job(connection, row.job_id, job_arrivals.c.duplicates)


def _check_limits(row: sa.Row[Any], instance: ArrivedInstance, limits: ArrivalLimits) -> None:
    if row.instances >= limits.max_instances:
        raise LimitExceededError(f"a study has more than {limits.max_instances} instances")
    if row.bytes + instance.size > limits.max_bytes:
        raise LimitExceededError(f"a study has more than {limits.max_bytes} bytes")


def _receipt(row: sa.Row[Any], instance: ArrivedInstance, source: Source) -> Receipt:
    if not instance.is_input:
        return Receipt.NO_INPUT
    if row.rounds == 0:
        return Receipt.NEW
    ignores = source.policy.late_series is LateSeries.IGNORE
    return Receipt.IGNORED if ignores else Receipt.LATE


def _note_instance(
    connection: sa.Connection,
    row: sa.Row[Any],
    instance: ArrivedInstance,
    source: Source,
    receipt: Receipt,
    now: datetime,
) -> None:
    connection.execute(
        arrived_instances.insert().values(
            study_instance_uid=instance.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            sop_instance_uid=instance.sop_instance_uid,
            sop_class_uid=instance.sop_class_uid,
            source=source.name,
            receipt=receipt.value,
            received_at=now,
            seen_at=now,
            copies=0,
        )
    )
    is_new = receipt in (Receipt.NEW, Receipt.LATE)
    # Whoever sends the first new instance opens the round.
    opener = _source_values(source) if is_new and row.new == 0 else {}
    changed = {"instances": row.instances + 1, "bytes": row.bytes + instance.size}
    # What is no input says nothing about images that may still come.
    seen = {"last_seen_at": max(row.last_seen_at, now)} if instance.is_input else {}
    _touch(connection, row, new=row.new + is_new, **changed, **opener, **seen)
    if receipt in (Receipt.LATE, Receipt.IGNORED):
        _count_on_job(connection, row.job_id, job_arrivals.c.late)


def _touch(connection: sa.Connection, row: sa.Row[Any], **values: Any) -> None:  # noqa: ANN401
    connection.execute(arrivals.update().where(_study == row.study_instance_uid).values(**values))


def _count_on_job(
    connection: sa.Connection, job_id: str | None, column: sa.Column[int], count: int = 1
) -> None:
    """Add to a number that the last job of the study shows."""
    if job_id is not None:
        connection.execute(
            job_arrivals.update()
            .where(job_arrivals.c.job_id == job_id)
            .values({column.name: column + count})
        )


def _mark_superseded(connection: sa.Connection, job: Job) -> None:
    if job.arrival is not None and job.arrival.supersedes is not None:
        older = job_arrivals.c.job_id == job.arrival.supersedes
        connection.execute(job_arrivals.update().where(older).values(superseded_by=job.job_id))


def _open_next(connection: sa.Connection, row: sa.Row[Any], job: Job) -> None:
    """Note the job, and what came too late for it: the next round, or ignored."""
    left = sa.and_(_came.study_instance_uid == row.study_instance_uid, _IS_NEW)
    ignores = ArrivalPolicy.from_json(row.policy).late_series is LateSeries.IGNORE
    receipt = Receipt.IGNORED if ignores else Receipt.LATE
    late = connection.execute(
        arrived_instances.update().where(left).values(receipt=receipt.value)
    ).rowcount
    _touch(connection, row, rounds=row.rounds + 1, job_id=job.job_id, new=0 if ignores else late)
    _count_on_job(connection, job.job_id, job_arrivals.c.late, late)


def _of(start: Start) -> sa.ColumnElement[bool]:
    return sa.and_(
        _came.study_instance_uid == start.arrival.study_instance_uid,
        _came.number <= start.arrival.mark,
        _came.series_instance_uid.in_(start.series),
    )


def _series_query(studies: list[str]) -> sa.Select[Any]:
    return (
        sa.select(
            _came.study_instance_uid,
            _came.series_instance_uid,
            sa.func.count().label("instances"),
            sa.func.count(sa.case((_IS_NEW, 1))).label("new"),
            sa.func.count(sa.case((_IS_IGNORED, 1))).label("ignored"),
            sa.func.min(sa.case((_IS_NEW, _came.received_at))).label("first_new_at"),
            sa.func.max(_came.seen_at).label("last_seen_at"),
            sa.func.sum(_came.copies).label("copies"),
            sa.func.max(_came.number).label("mark"),
        )
        .where(_came.study_instance_uid.in_(studies), _INPUTS)
        .group_by(_came.study_instance_uid, _came.series_instance_uid)
    )


def _to_arrival(row: sa.Row[Any], series: Sequence[sa.Row[Any]]) -> Arrival:
    return Arrival(
        study_instance_uid=row.study_instance_uid,
        source=Source(row.source, ArrivalPolicy.from_json(row.policy)),
        rounds=row.rounds,
        job_id=row.job_id,
        series=tuple(
            ArrivedSeries(
                series_instance_uid=each.series_instance_uid,
                instances=int(each.instances),
                new=int(each.new),
                first_new_at=each.first_new_at,
                last_seen_at=each.last_seen_at,
                ignored=int(each.ignored),
            )
            for each in series
        ),
        duplicates=sum(int(each.copies) for each in series),
        mark=max((int(each.mark) for each in series), default=0),
    )
