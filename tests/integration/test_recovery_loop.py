"""What a process does from time to time, also after it failed."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import structlog

from service.bootstrap.recovery import RecoveryLoop
from service.domain.errors import JobDatabaseError
from tests.arrival import ArrivalWorld, series
from tests.dicom_peers import LEFT_SOCKETS
from tests.strategies import uid

pytestmark = LEFT_SOCKETS


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


def test_a_study_that_nobody_can_start_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ArrivalWorld(tmp_path) as world:
        world.send(series("a"))
        world.send(series("b"))
        folders = world.service.gateway.arrivals.folders
        gather = folders.gather

        def fragile(study: str, uids: Sequence[str]) -> Path:
            if study == uid("study", "a"):
                raise ZeroDivisionError
            return gather(study, uids)

        monkeypatch.setattr(folders, "gather", fragile)
        (job,) = world.after(30)
        assert job.arrival is not None
        assert job.arrival.study_instance_uid == uid("study", "b")
