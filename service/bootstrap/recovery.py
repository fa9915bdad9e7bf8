"""The recovery of left-behind jobs, from time to time, beside whatever a process does."""

from collections.abc import Callable

import structlog

from service.application.background import Background

_log = structlog.get_logger(__name__)


class RecoveryLoop(Background):
    """Calls ``recover`` at once and then every so many seconds, until the context ends.

    Whatever goes wrong, it goes on: a process that still receives must still start studies.
    """

    def __init__(self, recover: Callable[[], object], interval_s: float) -> None:
        super().__init__("recovery")
        self._recover = recover
        self._interval_s = interval_s

    def run(self) -> None:
        """Recover, wait, recover."""
        while True:
            try:
                self._recover()
            except Exception:  # noqa: BLE001 - it is logged, and tried again
                _log.exception("recovery_failed")
            if self.ended.wait(self._interval_s):
                return
