"""Files of instances that were never recorded, as a crash between disk and database leaves them."""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from service.adapters.arrived_header import read_identity
from service.bootstrap.gateway import UNFINISHED_KEPT_S
from tests.arrival import ArrivalWorld, series
from tests.dicom_peers import LEFT_SOCKETS
from tests.processes import wait_until

DAY_S = 86_400
pytestmark = LEFT_SOCKETS


def left_by_a_crash(world: ArrivalWorld, instances: Iterable[Dataset], age_s: float) -> list[Path]:
    """Keep instances on disk and record none of them."""
    folders = world.service.gateway.arrivals.folders
    found = []
    for each in instances:
        file = folders.incoming / "x.dcm"
        each.save_as(file, enforce_file_format=True)
        os.utime(file, (time.time() - age_s,) * 2)
        instance = read_identity(file)
        folders.keep(file, instance)
        found.append(folders.path(instance.study_instance_uid, instance.sop_instance_uid))
    return found


def test_old_files_without_a_row_go_and_no_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ArrivalWorld(tmp_path) as world:
        images = series("a")
        world.send(images[:2])
        recorded = list(world.settings.arrivals_dir.glob("*/*.dcm"))
        for path in recorded:
            os.utime(path, (0, 0))
        gone = left_by_a_crash(world, images[2:4], UNFINISHED_KEPT_S + 60)
        young = left_by_a_crash(world, images[4:], UNFINISHED_KEPT_S - 60)
        # That of which nothing at all is known stays where no old studies are deleted.
        unknown = left_by_a_crash(world, series("b"), 100 * DAY_S)
        world.service.gateway.recover()
        assert [path.exists() for path in gone] == [False] * 2
        assert all(path.exists() for path in recorded + young + unknown)
        told = capsys.readouterr().out
        assert "unrecorded_discarded" in told
        assert "instances=2" in told
        assert set(world.send(images)) == {0x0000}
        assert world.on_disk() == 6 + len(unknown)


def test_studies_without_a_row_go_where_old_ones_are_deleted(tmp_path: Path) -> None:
    with ArrivalWorld(tmp_path, retention_days=3) as world:
        left_by_a_crash(world, series("b"), 4 * DAY_S)
        left_by_a_crash(world, series("c")[:2], 2 * DAY_S)
        world.service.gateway.recover()
        assert world.on_disk() == 2


def test_what_comes_while_its_old_file_is_swept_is_kept_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ArrivalWorld(tmp_path) as world:
        images = series("a")
        world.send(images[:1])
        (first, *_) = left_by_a_crash(world, images[1:], 2 * DAY_S)
        begun = time.time() - DAY_S
        folders = world.service.gateway.arrivals.folders
        discard = folders.discard
        told: list[int] = []
        came = threading.Thread(target=lambda: told.extend(world.send(images[1:])))

        def while_it_comes(files: Iterable[Path]) -> None:
            came.start()
            wait_until(lambda: first.stat().st_mtime > begun, 20, "the first one is on disk")
            discard(files)

        monkeypatch.setattr(folders, "discard", while_it_comes)
        world.service.gateway.recover()
        came.join()
        assert told == [0xA700] + [0x0000] * 4
        assert set(world.send(images)) == {0x0000}
        assert world.on_disk() == 6
