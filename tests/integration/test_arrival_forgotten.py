"""Instances that come at the moment at which their study is forgotten."""

import threading
import time
from pathlib import Path

import pytest

from tests.arrival import FLAIR, ArrivalWorld, series


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

        def while_it_comes(study: str) -> None:
            came.start()
            # By now the first one waits for the row of its study.
            time.sleep(0.5)
            bury(study)

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
