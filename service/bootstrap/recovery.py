"""The recovery of left-behind jobs, from time to time, beside whatever a process does."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from service.domain.errors import ThrombolensError

_log = structlog.get_logger(__name__)


class RecoveryLoop:
    """Calls ``recover`` at once and then every so many seconds, until the context ends."""

    def __init__(self, recover: Callable[[], object], interval_s: float) -> None:
        self._recover = recover
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="recovery", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            try:
                self._recover()
            except (ThrombolensError, OSError):
                _log.exception("recovery_failed")
            if self._ended.wait(self._interval_s):
                return
