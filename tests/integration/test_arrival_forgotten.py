"""Instances that come at the moment at which their study is forgotten."""

import threading
from pathlib import Path
from typing import Any

import pytest

from service.domain.arrival import Receipt
from tests.arrival import FLAIR, ArrivalWorld, series
from tests.dicom_peers import LEFT_SOCKETS

pytestmark = LEFT_SOCKETS


def test_what_comes_while_its_study_is_forgotten_is_refused_or_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ArrivalWorld(tmp_path) as world:
        world.send(series("a"))
        (job,) = world.after(30)
        world.clock.pass_by(10 * 86_400)
        gateway = world.service.gateway
        gateway.folders.discard(job.job_id)
        gateway.database.forget(job.job_id)
        arrivals = gateway.arrivals
        bury = arrivals.folders.bury
        everything = series("a") + series("a", "flair", **FLAIR)
        told: list[int] = []
        came = threading.Thread(target=lambda: told.extend(world.send(everything)))

        record = arrivals.database.record
        recording = threading.Event()

        def and_say_so(*arguments: Any) -> Receipt:
            recording.set()
            return record(*arguments)

        def while_it_comes(study: str) -> None:
            came.start()
            # Then the first one was known, its file there, and it waits for the row of its study.
            assert recording.wait(60)
            bury(study)

        monkeypatch.setattr(arrivals.database, "record", and_say_so)
        monkeypatch.setattr(arrivals.folders, "bury", while_it_comes)
        arrivals.forget_old(1)
        came.join()
        # It was known when it came, and its file went: refused, and sent once more.
        assert told == [0xA700] + [0x0000] * 11
        assert set(world.send(everything)) == {0x0000}
        (again,) = world.after(30)
        assert again.arrival is not None
        assert (again.arrival.instances, world.on_disk()) == (12, 12)
        assert list(world.settings.arrivals_dir.glob(".buried-*")) == []
