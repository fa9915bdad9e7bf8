"""Arrivals on SQLite and on a real PostgreSQL: counts, rounds and races."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from service.adapters.arrival_database import ArrivalDatabase
from service.adapters.job_database import JobDatabase
from service.domain.arrival import (
    Arrival,
    ArrivalLimits,
    ArrivalPolicy,
    ArrivedInstance,
    JobArrival,
    LateSeries,
    Receipt,
    Source,
    Start,
    StartReason,
)
from service.domain.errors import LimitExceededError, StorageError
from service.domain.job import Job

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STUDY = "1.2.3"
SCANNER = Source("scanner", ArrivalPolicy())
ONCE = Source("once", ArrivalPolicy(late_series=LateSeries.IGNORE))
LIMITS = ArrivalLimits(100, 10_000, 0)


@pytest.fixture
def arrivals(database: JobDatabase) -> ArrivalDatabase:
    return ArrivalDatabase(database.engine)


def instance(number: int, series: int = 1, **values: object) -> ArrivedInstance:
    plausible = ArrivedInstance(
        study_instance_uid=STUDY,
        series_instance_uid=f"1.2.3.{series}",
        sop_instance_uid=f"1.2.3.{series}.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
        size=10,
        is_input=True,
    )
    return replace(plausible, **values)  # type: ignore[arg-type] # values are checked by use


def found(arrivals: ArrivalDatabase) -> Arrival:
    arrival = arrivals.get(STUDY)
    assert arrival is not None
    return arrival


def whole(arrival: Arrival, reason: StartReason = StartReason.QUIET) -> Start:
    return Start(arrival, reason, arrival.all_series())


def job(start: Start, job_id: str) -> Job:
    return Job.queued(job_id * 32, "m:1", NOON, JobArrival.of(start))


def at_once(count: int, act: Callable[[int], None]) -> None:
    barrier = threading.Barrier(count)

    def wait_and_act(number: int) -> None:
        barrier.wait()
        act(number)

    threads = [threading.Thread(target=wait_and_act, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_what_comes_is_counted(arrivals: ArrivalDatabase) -> None:
    later = NOON + timedelta(seconds=5)
    assert arrivals.get(STUDY) is None
    assert arrivals.record(instance(1), SCANNER, LIMITS, NOON) is Receipt.NEW
    assert arrivals.record(instance(2, 2), SCANNER, LIMITS, later) is Receipt.NEW
    assert arrivals.record(instance(1), SCANNER, LIMITS, later) is Receipt.DUPLICATE
    other = instance(3, 3, is_input=False)
    assert arrivals.record(other, SCANNER, LIMITS, later + timedelta(days=1)) is Receipt.NO_INPUT
    arrival = found(arrivals)
    assert (arrival.instances, arrival.new, arrival.duplicates, arrival.rounds) == (2, 2, 1, 0)
    assert (arrival.first_new_at, arrival.last_seen_at) == (NOON, later)
    assert arrival.all_series() == ("1.2.3.1", "1.2.3.2")
    assert arrival.source == SCANNER
    assert arrivals.collecting() == (arrival,)
    assert arrivals.instances(whole(arrival)) == ("1.2.3.1.1", "1.2.3.2.2")
    assert arrivals.committed(["1.2.3.1.1", "1.2.3.3.3", "9"]).keys() == {"1.2.3.1.1", "1.2.3.3.3"}


def test_a_round_ends_with_its_job_and_the_next_one_supersedes_it(
    database: JobDatabase, arrivals: ArrivalDatabase
) -> None:
    arrivals.record(instance(1), SCANNER, LIMITS, NOON)
    first = whole(found(arrivals))
    assert arrivals.end_round(first, job(first, "a"))
    assert not arrivals.end_round(first, job(first, "b"))
    assert arrivals.collecting() == ()
    assert database.get("a" * 32).arrival == JobArrival.of(first)
    assert arrivals.record(instance(2), SCANNER, LIMITS, NOON) is Receipt.LATE
    second = whole(found(arrivals))
    assert second.instances == 2
    assert arrivals.end_round(second, job(second, "c"))
    older, newer = database.get("a" * 32).arrival, database.get("c" * 32).arrival
    assert older is not None
    assert newer is not None
    assert (older.superseded_by, older.late, newer.supersedes) == ("c" * 32, 1, "a" * 32)
    assert [each.job_id for each in database.recent(10)] == ["a" * 32, "c" * 32]


def test_what_comes_while_a_study_starts_is_late(
    database: JobDatabase, arrivals: ArrivalDatabase
) -> None:
    arrivals.record(instance(1), SCANNER, LIMITS, NOON)
    seen = found(arrivals)
    arrivals.record(instance(2), SCANNER, LIMITS, NOON + timedelta(seconds=1))
    # It was not quiet after all; at the deadline it is started all the same, without the new one.
    assert not arrivals.end_round(whole(seen), job(whole(seen), "a"))
    start = whole(seen, StartReason.DEADLINE)
    assert arrivals.end_round(start, job(start, "a"))
    (arrival,) = arrivals.collecting()
    assert (arrival.new, arrival.rounds) == (1, 1)
    told = database.get("a" * 32).arrival
    assert told is not None
    assert (told.instances, told.late) == (1, 1)


def test_a_clock_that_is_set_back_holds_up_no_study(arrivals: ArrivalDatabase) -> None:
    earlier = NOON - timedelta(minutes=1)
    arrivals.record(instance(9, 9, is_input=False), SCANNER, LIMITS, NOON)
    for moment in (NOON, earlier):
        arrivals.record(instance(1), SCANNER, LIMITS, moment)
        arrivals.record(instance(2), SCANNER, LIMITS, earlier)
    start = whole(found(arrivals))
    assert start.arrival.last_seen_at == NOON
    # An instance that came once more meanwhile shows that the study is not quiet.
    arrivals.record(instance(1), SCANNER, LIMITS, earlier)
    assert not arrivals.end_round(start, job(start, "a"))
    again = whole(found(arrivals))
    assert arrivals.end_round(again, job(again, "a"))


def test_a_source_that_ignores_what_is_late_does_so_from_the_start_on(
    database: JobDatabase, arrivals: ArrivalDatabase
) -> None:
    arrivals.record(instance(1), ONCE, LIMITS, NOON)
    arrivals.record(instance(1, 2), ONCE, LIMITS, NOON)
    start = Start(found(arrivals), StartReason.EARLY, ("1.2.3.1",))
    assert arrivals.end_round(start, job(start, "a"))
    assert arrivals.record(instance(2), ONCE, LIMITS, NOON) is Receipt.IGNORED
    assert arrivals.collecting() == ()
    told = database.get("a" * 32).arrival
    assert told is not None
    assert (told.instances, told.late) == (1, 2)
    # Another source that wants it gets all of it.
    assert arrivals.record(instance(3), SCANNER, LIMITS, NOON) is Receipt.LATE
    assert len(arrivals.instances(whole(found(arrivals)))) == 4


def test_one_of_many_starts_of_a_round_wins(
    database: JobDatabase, arrivals: ArrivalDatabase
) -> None:
    arrivals.record(instance(1), SCANNER, LIMITS, NOON)
    start = whole(found(arrivals))
    won: list[bool] = []
    at_once(6, lambda number: won.append(arrivals.end_round(start, job(start, f"{number}"))))
    assert sorted(won) == [False] * 5 + [True]
    assert len(database.recent(10)) == 1


def test_many_associations_at_once_lose_and_double_nothing(arrivals: ArrivalDatabase) -> None:
    receipts: list[Receipt] = []

    def send(number: int) -> None:
        for each in (*range(5), 100 + number):
            receipts.append(arrivals.record(instance(each), SCANNER, LIMITS, NOON))  # noqa: PERF401

    at_once(6, send)
    assert receipts.count(Receipt.NEW) == 5 + 6
    assert receipts.count(Receipt.DUPLICATE) == 5 * 5
    arrival = found(arrivals)
    assert (arrival.instances, arrival.new, arrival.duplicates) == (11, 11, 25)


def test_a_study_has_limits(arrivals: ArrivalDatabase) -> None:
    few = ArrivalLimits(2, 10_000, 0)
    for number in (1, 2):
        arrivals.record(instance(number), SCANNER, few, NOON)
    with pytest.raises(LimitExceededError, match="2 instances"):
        arrivals.record(instance(3), SCANNER, few, NOON)
    assert arrivals.record(instance(1), SCANNER, few, NOON) is Receipt.DUPLICATE
    with pytest.raises(LimitExceededError, match="25 bytes"):
        arrivals.record(instance(3), SCANNER, ArrivalLimits(9, 25, 0), NOON)
    assert found(arrivals).instances == 2


def test_a_study_is_forgotten_when_its_job_is(
    database: JobDatabase, arrivals: ArrivalDatabase
) -> None:
    arrivals.record(instance(1), SCANNER, LIMITS, NOON)
    later = NOON + timedelta(days=1)
    assert arrivals.idle_since(later) == ()
    start = whole(found(arrivals))
    assert arrivals.end_round(start, job(start, "a"))
    assert arrivals.idle_since(later) == ()
    database.forget("a" * 32)
    assert found(arrivals).job_id is None
    assert arrivals.idle_since(NOON) == ()
    assert arrivals.idle_since(later) == (STUDY,)
    buried: list[str] = []
    # Something came after the look.
    arrivals.record(instance(1), SCANNER, LIMITS, later)
    assert not arrivals.forget(STUDY, later, lambda: buried.append(STUDY))
    assert (arrivals.idle_since(later), buried) == ((), [])
    after = later + timedelta(seconds=1)
    assert arrivals.forget(STUDY, after, lambda: buried.append(STUDY))
    assert buried == [STUDY]
    assert arrivals.get(STUDY) is None
    with pytest.raises(StorageError):
        arrivals.record(instance(1), SCANNER, LIMITS, later, lambda: False)
    assert arrivals.get(STUDY) is None
    assert arrivals.record(instance(1), SCANNER, LIMITS, later) is Receipt.NEW


def test_sums_are_by_source(arrivals: ArrivalDatabase) -> None:
    arrivals.record(instance(1), SCANNER, LIMITS, NOON)
    arrivals.record(instance(1), SCANNER, LIMITS, NOON)
    for _ in range(2):
        arrivals.record_refusal("scanner", "OWN_OUTPUT")
    arrivals.record_refusal("web", "STORAGE_FAILED")
    sums = arrivals.statistics()
    assert sums.instances == {("scanner", "new"): 1, ("scanner", "duplicate"): 1}
    assert sums.refusals == {("scanner", "OWN_OUTPUT"): 2, ("web", "STORAGE_FAILED"): 1}
    assert sums.collecting == {"scanner": 1}


def renew_foreign_key(database: JobDatabase) -> None:
    """Make that of arrivals anew, as a restored backup may: PostgreSQL sees to it last then."""
    if database.engine.dialect.name != "postgresql":
        return
    (key,) = sa.inspect(database.engine).get_foreign_keys("arrivals")
    added = "FOREIGN KEY (job_id) REFERENCES jobs (job_id) ON DELETE SET NULL"
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE arrivals DROP CONSTRAINT {key['name']}")
        connection.exec_driver_sql(f"ALTER TABLE arrivals ADD CONSTRAINT {key['name']} {added}")


def test_an_instance_that_comes_while_its_job_is_deleted_is_recorded(
    database: JobDatabase, arrivals: ArrivalDatabase
) -> None:
    renew_foreign_key(database)
    arrivals.record(instance(1), SCANNER, LIMITS, NOON)
    start = whole(found(arrivals))
    assert arrivals.end_round(start, job(start, "a"))
    deletion = threading.Thread(target=database.forget, args=("a" * 32,))

    def while_it_is_locked() -> bool:
        deletion.start()
        # By now it has gone as far as it can.
        time.sleep(0.5)
        return True

    came = arrivals.record(instance(2), SCANNER, LIMITS, NOON, while_it_is_locked)
    deletion.join()
    assert came is Receipt.LATE
    assert database.recent(10) == ()
    assert (found(arrivals).job_id, found(arrivals).new) == (None, 1)


def test_nothing_is_recorded_at_a_standstill_and_reading_goes_on(
    arrivals: ArrivalDatabase,
) -> None:
    arrivals.record(instance(1), SCANNER, LIMITS, NOON)
    others = [instance(2), instance(3, study_instance_uid="9")]
    threads = [
        threading.Thread(target=arrivals.record, args=(each, SCANNER, LIMITS, NOON))
        for each in others
    ]
    with arrivals.standstill():
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert arrivals.studies() == (STUDY,)
        assert arrivals.recorded(STUDY) == ("1.2.3.1.1",)
    for thread in threads:
        thread.join()
    assert sorted(arrivals.studies()) == [STUDY, "9"]
    assert set(arrivals.recorded(STUDY)) == {"1.2.3.1.1", "1.2.3.1.2"}
