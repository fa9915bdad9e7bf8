"""API and worker as processes of their own, and both together as one command."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import structlog

from service.adapters.structured_log import configure_logs
from service.settings import Settings

_log = structlog.get_logger(__name__)

API = "service.entrypoints.api"
WORKER = "service.entrypoints.worker"
DELIVERER = "service.entrypoints.deliverer"
LISTENER = "service.entrypoints.listener"
ATTACHED = "--attached"
# A child that was told to end may finish what it does for so long.
GRACE_S = 10.0
POLL_S = 0.2
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


def run_api(settings: Settings) -> NoReturn:
    """Become the API process."""
    _become(API, settings)


def run_worker(settings: Settings) -> NoReturn:
    """Become a worker process."""
    _become(WORKER, settings)


def run_deliverer(settings: Settings) -> NoReturn:
    """Become a process that delivers results."""
    _become(DELIVERER, settings)


def run_listener(settings: Settings) -> NoReturn:
    """Become the process that listens for studies."""
    _become(LISTENER, settings)


def serve(settings: Settings) -> int:
    """Run the API and one worker as children until told to stop (SIGINT, SIGTERM).

    Where there are destinations, a process that delivers runs beside them, and where there are
    sources, one that listens. Any of these but the API is started again when it ends. The children
    end with this process, however it ends.

    Returns
    -------
    int
        Exit status: that of the API if it ended by itself, else 0.
    """
    configure_logs(settings.log_level)
    told = threading.Event()
    when_told_to_stop(told.set)
    api = Child(API, settings)
    others = [Child(module, settings) for module in _beside_the_api(settings)]
    try:
        while not told.wait(POLL_S):
            status = api.status()
            if status is not None:
                _log.error("api_ended", exit_code=status)
                return status or 1
            for child in others:
                child.revive()
        return 0
    finally:
        for child in (api, *others):
            child.tell()
        for child in (api, *others):
            child.end()


def _beside_the_api(settings: Settings) -> list[str]:
    modules = [WORKER]
    if settings.destinations is not None:
        modules.append(DELIVERER)
    if settings.sources is not None:
        modules.append(LISTENER)
    return modules


class Child:
    """A process that lives as long as a pipe from us to it is open."""

    def __init__(self, module: str, settings: Settings) -> None:
        self._module = module
        self._command = [sys.executable, "-m", module, ATTACHED]
        self._environment = settings.environment()
        self._pause_s = FIRST_PAUSE_S
        self._start()

    def _start(self) -> None:
        self._begun = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            self._command,
            env=self._environment,
            stdin=subprocess.PIPE,
            # Ctrl-C in a terminal reaches us alone; we tell the children.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process identifier."""
        return self._process.pid

    def status(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._process.poll()

    def revive(self) -> None:
        """Start it again if it has ended, after a pause that grows while it keeps ending."""
        status = self.status()
        lived = time.monotonic() - self._begun
        if status is None:
            if lived > LONGEST_PAUSE_S:
                self._pause_s = FIRST_PAUSE_S
            return
        if lived < self._pause_s:
            return
        _log.warning("child_ended", module=self._module, exit_code=status)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self.tell()
        self._start()

    def tell(self) -> None:
        """Tell it to end."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def end(self) -> None:
        """Wait for its end; after the time of grace, end it."""
        try:
            self._process.wait(GRACE_S + 2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def when_told_to_stop(stop: Callable[[], None]) -> None:
    """Call this at SIGINT and SIGTERM, which end this process no more by themselves."""

    def handle(_: int, __: FrameType | None) -> None:
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)


def end_with_parent() -> None:
    """Make this process end when its parent does, or closes the pipe to our standard input."""
    threading.Thread(target=_wait_for_parent, name="parent", daemon=True).start()


def _wait_for_parent() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(0)


def _become(module: str, settings: Settings) -> NoReturn:
    command = [sys.executable, "-m", module]
    os.execve(sys.executable, command, settings.environment())  # noqa: S606 - our own module
