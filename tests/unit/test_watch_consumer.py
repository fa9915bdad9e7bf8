"""A worker that lives but hears no bell ends itself; a healthy one never does."""

from pathlib import Path

import pytest

from service.adapters.celery_queue import CeleryQueue, make_celery
from service.adapters.job_database import JobDatabase
from service.application.watch_consumer import ConsumerWatch
from service.domain.job import Job, Lease
from tests.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def watch(database: JobDatabase, clock: FakeClock, *, broker: bool = True) -> ConsumerWatch:
    return ConsumerWatch(database, clock, 30, lambda: broker)


def test_four_rings_that_nobody_heard(database: JobDatabase, clock: FakeClock) -> None:
    watching = watch(database, clock)
    database.add(Job.queued("a", "m:1", clock()))
    clock.pass_by(119)
    assert not watching.is_deaf()
    clock.pass_by(1)
    assert watching.is_deaf()


def test_without_waiting_jobs_silence_is_fine(database: JobDatabase, clock: FakeClock) -> None:
    watching = watch(database, clock)
    running = Job.queued("a", "m:1", clock()).claimed(Lease("t", clock()), clock())
    database.add(running)
    clock.pass_by(10_000)
    assert not watching.is_deaf()


def test_a_worker_that_was_busy_until_now_is_not_deaf(
    database: JobDatabase, clock: FakeClock
) -> None:
    watching = watch(database, clock)
    database.add(Job.queued("a", "m:1", clock()))
    with watching.busy():
        clock.pass_by(1000)
        assert not watching.is_deaf()
    clock.pass_by(119)
    assert not watching.is_deaf()


def test_a_job_that_came_back_just_now_does_not_count(
    database: JobDatabase, clock: FakeClock
) -> None:
    watching = watch(database, clock)
    job = Job.queued("a", "m:1", clock()).claimed(Lease("t", clock()), clock())
    clock.pass_by(1000)
    database.add(job.released(clock(), "the worker was lost"))
    assert not watching.is_deaf()


def test_a_broker_that_is_down_is_no_fault_of_the_worker(
    database: JobDatabase, clock: FakeClock
) -> None:
    watching = watch(database, clock, broker=False)
    database.add(Job.queued("a", "m:1", clock()))
    clock.pass_by(10_000)
    assert not watching.is_deaf()


def test_rings_that_failed_while_the_broker_was_down_are_not_unheard(
    database: JobDatabase, clock: FakeClock
) -> None:
    up = False
    watching = ConsumerWatch(database, clock, 30, lambda: up)
    database.add(Job.queued("a", "m:1", clock()))
    for _ in range(1000):
        clock.pass_by(10)
        assert not watching.is_deaf()
    up = True
    assert not watching.is_deaf()
    clock.pass_by(119)
    assert not watching.is_deaf()
    clock.pass_by(1)
    assert watching.is_deaf()


@pytest.mark.parametrize(("url", "answers"), [(None, True), ("redis://127.0.0.1:1/0", False)])
def test_the_broker_is_asked(tmp_path: Path, url: str | None, answers: bool) -> None:
    app = make_celery(url, broker_dir=tmp_path, polling_seconds=0.2, visibility_seconds=60)
    assert CeleryQueue(app).broker_answers() is answers
    app.close()


def test_a_worker_without_a_broker_cannot_hear(database: JobDatabase, clock: FakeClock) -> None:
    watching = watch(database, clock, broker=False)
    assert not watching.is_deaf()
    assert not watching.can_hear
    with watching.busy():
        assert watching.can_hear


def test_a_worker_with_a_broker_can_hear(database: JobDatabase, clock: FakeClock) -> None:
    watching = watch(database, clock)
    assert not watching.can_hear, "nobody asked yet"
    assert not watching.is_deaf()
    assert watching.can_hear
