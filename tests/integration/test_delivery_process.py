"""The process that delivers: killed, hanging, told to stop, and what the commands show of it."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.adapters.destination_files import read_destinations
from service.bootstrap.delivering import ABANDONED, DeliveryService
from service.settings import Settings
from tests.delivered import JOB, UIDS, DeliveryWorld
from tests.dicom_peers import LEFT_SOCKETS, StoragePeer
from tests.processes import Processes, free_port, sigkill, wait_until
from tests.stalling import HALF_ACCEPT, Stalling

pytestmark = LEFT_SOCKETS
DELIVERER = "service.entrypoints.deliverer"


def installed(folder: Path, *destinations: dict[str, Any]) -> tuple[Settings, DeliveryWorld]:
    """Return settings with a file of destinations, and a world on the same data."""
    path = folder / "destinations.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "destinations": list(destinations)}))
    settings = Settings(
        data_dir=folder / "data",
        destinations=path,
        lease_seconds=1.0,
        delivery_interval_seconds=0.1,
    )
    world = DeliveryWorld(folder, *read_destinations(path))
    world.clock.now = datetime.now(UTC)
    return settings, world


def pacs(port: int, **values: Any) -> dict[str, Any]:
    place = {"name": "pacs", "kind": "c-store", "host": "127.0.0.1", "port": port}
    return {**place, "called_ae": "PACS", "confirm": "none", "timeout_seconds": 2, **values}


def share(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    return {"name": "share", "kind": "folder", "path": str(folder)}


@contextmanager
def running(service: DeliveryService) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield thread
    finally:
        service.end()
        thread.join()


def state(world: DeliveryWorld, destination: str, job_id: str = JOB) -> str:
    found = {each.destination: each for each in world.store.of_job(job_id)}
    return found[destination].state.value


def test_one_that_hangs_blocks_nobody_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        settings, world = installed(tmp_path, pacs(port), share(tmp_path / "share"))
        jobs = [f"{number:032x}" for number in range(3)]
        for job_id in jobs:
            world.finish(job_id)
        with running(DeliveryService(settings)):
            wait_until(
                lambda: all(state(world, "share", each) == "SENT" for each in jobs),
                5,
                "the folder has everything",
            )
            assert {state(world, "pacs", each) for each in jobs} == {"SENDING", "PENDING"}


# The library does not close a socket that was shut: the interpreter does, some time later.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_those_that_stop_in_an_answer_are_tried_again_and_block_nobody(tmp_path: Path) -> None:
    retry = {"retry": {"first_seconds": 0.1, "longest_seconds": 0.1}, "timeout_seconds": 0.3}
    with (
        Stalling(HALF_ACCEPT, b"x").serving() as dimse,
        Stalling(b"HTTP/1.1 200 OK\r\n", b"x").serving() as http,
    ):
        web = {"name": "web", "kind": "stow", "url": f"http://127.0.0.1:{http}", "confirm": "none"}
        settings, world = installed(
            tmp_path, pacs(dimse, **retry), {**web, **retry}, share(tmp_path / "share")
        )
        world.finish()

        def attempts() -> dict[str, int]:
            return {each.destination: each.attempts for each in world.store.of_job(JOB)}

        with running(DeliveryService(settings)):
            wait_until(lambda: state(world, "share") == "SENT", 5, "the folder has everything")
            wait_until(lambda: min(attempts()["pacs"], attempts()["web"]) >= 2, 15, "tried again")


def test_a_receiver_that_comes_back_gets_everything(tmp_path: Path) -> None:
    port = free_port()
    retry = {"first_seconds": 0.2, "longest_seconds": 0.4}
    settings, world = installed(tmp_path, pacs(port, retry=retry))
    world.finish()
    peer = StoragePeer()
    with Processes(settings, tmp_path) as processes:
        process = processes.start("-m", DELIVERER)
        wait_until(lambda: world.only().attempts >= 2, 20, "two attempts failed")
        with peer.listening(port):
            wait_until(lambda: world.only().state == "SENT", 10, "it was sent")
        process.terminate()
        assert process.wait(10) == 0
    assert sorted(peer.sent) == sorted(UIDS.values())


def test_a_process_killed_while_it_sends_is_followed_by_another(tmp_path: Path) -> None:
    first = threading.Event()
    release = threading.Event()

    def slowly(_: str) -> int:
        if not first.is_set():
            first.set()
            release.wait(20)
        return 0x0000

    peer = StoragePeer(status=slowly)
    with peer.listening() as port:
        settings, world = installed(tmp_path, pacs(port, timeout_seconds=20))
        world.finish()
        with Processes(settings, tmp_path) as processes:
            process = processes.start("-m", DELIVERER)
            assert first.wait(20)
            assert world.only().state == "SENDING"
            sigkill(process)
            release.set()
            processes.start("-m", DELIVERER)
            wait_until(lambda: world.only().state == "SENT", 20, "another process sent it")
    assert "the process that sent was lost" in [step.reason for step in world.only().steps]
    assert set(peer.sent) == set(UIDS.values())
    assert world.only().attempts == 2


def test_two_processes_send_each_delivery_once(tmp_path: Path) -> None:
    peer = StoragePeer()
    with peer.listening() as port:
        settings, world = installed(tmp_path, pacs(port))
        jobs = [f"{number:032x}" for number in range(6)]
        for job_id in jobs:
            world.finish(job_id)
        with running(DeliveryService(settings)), running(DeliveryService(settings)):
            wait_until(
                lambda: all(state(world, "pacs", each) == "SENT" for each in jobs), 15, "all sent"
            )
    assert len(peer.sent) == len(jobs) * len(UIDS)
    assert {world.only(each).attempts for each in jobs} == {1}


def test_the_commands_show_deliveries_and_send_them_again(tmp_path: Path) -> None:
    settings, world = installed(tmp_path, pacs(free_port()), share(tmp_path / "share"))
    world.finish()
    world.deliverer("share").deliver_due()
    shown = _command(settings, "deliveries")
    assert "share" in shown
    assert "SENT" in shown
    assert "PENDING" in shown
    assert "0 shown" in _command(settings, "deliveries", "--failed")
    sent = next(each for each in world.store.of_job(JOB) if each.destination == "share")
    assert "2 shown" in _command(settings, "deliveries", "--job", JOB)
    assert "PENDING, to share" in _command(settings, "deliveries", "resend", sent.delivery_id)
    assert state(world, "share") == "PENDING"
    assert "UNKNOWN_DELIVERY" in _command(settings, "deliveries", "resend", "0" * 32, status=1)


@pytest.mark.parametrize("fault", ["unset", "broken", "secret"])
def test_a_process_that_cannot_deliver_says_why_in_one_line(tmp_path: Path, fault: str) -> None:
    hook = {"name": "hook", "kind": "webhook", "url": "http://x", "hmac_key_file": "/absent"}
    settings, _ = installed(tmp_path, hook)
    if fault == "unset":
        settings = settings.model_copy(update={"destinations": None})
    elif fault == "broken":
        (tmp_path / "destinations.yaml").write_text("version: 1\ndestinations: [{name: x}]")
    told = _command(settings, "deliver", status=1)
    (line,) = told.strip().splitlines()
    assert "can be fixed by: operator of the service" in line


def test_two_processes_cannot_wait_for_reports_on_one_port(tmp_path: Path) -> None:
    port = free_port()
    confirm = {"confirm": "storage-commitment", "commitment_port": port}
    settings, _ = installed(tmp_path, pacs(free_port(), **confirm))
    with Processes(settings, tmp_path) as processes:
        first = processes.start("-m", DELIVERER)
        wait_until(lambda: "delivery_started" in processes.logs(), 20, "the first one started")
        (line,) = _command(settings, "deliver", status=1).strip().splitlines()
        assert f"destination pacs: commitment_port {port} cannot be listened on" in line
        assert "can be fixed by: operator of the service" in line
        first.terminate()
        assert first.wait(10) == 0
        processes.start("-m", DELIVERER)
        wait_until(lambda: processes.logs().count("delivery_started") == 2, 20, "another started")


def test_a_loop_that_breaks_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, world = installed(tmp_path, share(tmp_path / "share"))
    world.finish()
    service = DeliveryService(settings)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(service._store, "due", broken)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    begun = time.monotonic()
    assert service.run() is False
    assert time.monotonic() - begun < 5
    assert ABANDONED == 70


def _command(settings: Settings, *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "service.entrypoints.cli", *arguments],
        env=settings.environment() | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_the_log_names_nobody(tmp_path: Path) -> None:
    settings, world = installed(tmp_path, share(tmp_path / "share"))
    world.finish()
    with Processes(settings, tmp_path) as processes:
        processes.start("-m", DELIVERER)
        wait_until(lambda: world.only().state == "SENT", 20, "it was sent")
        wait_until(lambda: "delivery_ended" in processes.logs(), 5, "it is logged")
        assert "Hush" not in processes.logs()
        assert json.loads(processes.logs().splitlines()[0])
