"""The folder of what arrived, and what is swept out of it."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from service.adapters.arrival_files import ArrivalFolders

HOUR_S = 3600.0


@pytest.fixture
def folders(tmp_path: Path) -> ArrivalFolders:
    (tmp_path / "uploads").mkdir()
    return ArrivalFolders(tmp_path / "arrivals", tmp_path / "uploads")


def old(path: Path) -> Path:
    os.utime(path, (0, 0))
    return path


def test_half_files_go_when_they_are_old_and_a_folder_holds_up_nothing(
    folders: ArrivalFolders,
) -> None:
    for name in ("a", "c", "young"):
        (folders.incoming / name).write_bytes(b"half")
    (folders.incoming / "b").mkdir()
    for name in ("a", "b", "c"):
        old(folders.incoming / name)
    folders.sweep(HOUR_S)
    assert sorted(path.name for path in folders.incoming.iterdir()) == ["b", "young"]


def test_studies_of_which_nothing_is_recorded_go_when_they_are_old(folders: ArrivalFolders) -> None:
    paths = {uid: folders.path(uid, "1.2.3").parent for uid in ("1.1", "1.2", "1.3")}
    for path in paths.values():
        path.mkdir()
        (path / "x.dcm").write_bytes(b"image")
    for uid in ("1.1", "1.2"):
        old(paths[uid])
    assert folders.bury_unrecorded(lambda: nullcontext({"1.1"}), HOUR_S) == 1
    folders.discard_buried()
    assert {uid for uid, path in paths.items() if path.exists()} == {"1.1", "1.3"}
    # Nothing is asked where nothing is old.
    old_ones = [path for path in paths.values() if path.exists()]
    for path in old_ones:
        os.utime(path)
    assert folders.bury_unrecorded(lambda: pytest.fail("asked"), HOUR_S) == 0
