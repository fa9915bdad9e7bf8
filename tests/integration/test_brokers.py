"""The doorbell over files and over a real Redis: nothing torn, nothing twice, nothing lost."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from service.adapters.celery_queue import QUEUE, CeleryQueue, make_celery
from service.domain.errors import BrokerUnavailableError
from tests.processes import free_port, redis_server

SENDERS = 3
EACH = 60


@pytest.fixture(params=["files", "redis"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Celery]:
    if request.param == "files":
        yield make_celery(None, broker_dir=tmp_path, polling_seconds=0.01, visibility_seconds=60)
        return
    with redis_server(tmp_path, free_port()) as url:
        app = make_celery(url, broker_dir=tmp_path, polling_seconds=0.01, visibility_seconds=60)
        yield app
        app.close()


def job_ids(app: Celery, count: int) -> Iterator[str]:
    """Take so many messages; yield the job that each is about."""
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue(app.amqp.queues[QUEUE])
        for _ in range(count):
            message = queue.get(timeout=30)
            message.ack()
            yield json.loads(message.body)[0][0]


def test_messages_sent_while_others_are_read_arrive_whole_and_once(app: Celery) -> None:
    def send(sender: int) -> None:
        queue = CeleryQueue(app)
        for number in range(EACH):
            queue.ring(f"{sender}-{number}")

    senders = [threading.Thread(target=send, args=(number,)) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    received = list(job_ids(app, SENDERS * EACH))
    for sender in senders:
        sender.join()
    assert len(set(received)) == SENDERS * EACH
    first = [job_id for job_id in received if job_id.startswith("0-")]
    assert first == [f"0-{number}" for number in range(EACH)]


def test_files_leave_nothing_behind(tmp_path: Path) -> None:
    app = make_celery(None, broker_dir=tmp_path, polling_seconds=0.01, visibility_seconds=60)
    CeleryQueue(app).ring("a")
    assert len(list((tmp_path / "messages").iterdir())) == 1
    assert list(job_ids(app, 1)) == ["a"]
    assert list((tmp_path / "messages").iterdir()) == []


def test_a_broker_that_is_down_is_named_soon(tmp_path: Path) -> None:
    app = make_celery(
        "redis://:secret@127.0.0.1:1/0",
        broker_dir=tmp_path,
        polling_seconds=1,
        visibility_seconds=60,
    )
    with pytest.raises(BrokerUnavailableError) as caught:
        CeleryQueue(app).ring("a")
    assert "secret" not in str(caught.value)
    app.close()
