"""The folder of what arrived, and what is swept out of it."""

import os
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
