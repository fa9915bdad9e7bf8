"""The recovery of left-behind jobs, from time to time, beside whatever a process does."""

from collections.abc import Callable

import structlog

from service.application.background import Background
from service.domain.errors import ThrombolensError

_log = structlog.get_logger(__name__)


class RecoveryLoop(Background):
    """Calls ``recover`` at once and then every so many seconds, until the context ends."""

    def __init__(self, recover: Callable[[], object], interval_s: float) -> None:
        super().__init__("recovery")
        self._recover = recover
        self._interval_s = interval_s

    def run(self) -> None:
        """Recover, wait, recover."""
        while True:
            try:
                self._recover()
            except (ThrombolensError, OSError):
                _log.exception("recovery_failed")
            if self.ended.wait(self._interval_s):
                return
