"""What a process does from time to time, also after it failed."""

import threading

import pytest
import structlog

from service.bootstrap.recovery import RecoveryLoop
from service.domain.errors import JobDatabaseError


@pytest.mark.parametrize("fault", [JobDatabaseError("gone"), OSError(), ZeroDivisionError()])
def test_it_goes_on_after_any_error(fault: Exception) -> None:
    calls: list[int] = []
    again = threading.Event()

    def recover() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise fault
        again.set()

    with structlog.testing.capture_logs() as logs, RecoveryLoop(recover, 0.01):
        assert again.wait(5)
    assert [each["event"] for each in logs] == ["recovery_failed"]
