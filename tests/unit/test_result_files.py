"""Result folders: whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.adapters.result_files import JobFolders, write_folder
from service.domain.errors import StorageError


def test_a_new_folder_appears_with_all_its_files(tmp_path: Path) -> None:
    write_folder(tmp_path / "deep" / "out", {"a": b"1", "b": b"2"})
    assert {p.name: p.read_bytes() for p in (tmp_path / "deep" / "out").iterdir()} == {
        "a": b"1",
        "b": b"2",
    }
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        write_folder(tmp_path / "out", {"a": b"1", "no/such/folder": b"2"})
    assert list(tmp_path.iterdir()) == []


def test_files_of_an_earlier_result_go_and_other_files_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder(out, {"report.json": b"old", "segmentation.dcm": b"old"})
    (out / "notes.txt").write_bytes(b"mine")
    write_folder(out, {"report.json": b"new"}, outdated=("report.json", "segmentation.dcm"))
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {
        "report.json": b"new",
        "notes.txt": b"mine",
    }


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        write_folder(tmp_path / "file" / "out", {"a": b"1"})


def test_what_crashed_processes_left_is_swept_and_the_rest_kept(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path / "uploads", tmp_path / "results")
    incoming = tmp_path / "uploads" / ".incoming-1"
    unfinished = tmp_path / "results" / "job" / ".unfinished-1"
    kept = tmp_path / "results" / "job" / "lease"
    for folder in (incoming, unfinished, kept):
        folder.mkdir(parents=True)
    folders.sweep(3600)
    assert incoming.exists()
    folders.sweep(-1)
    assert not incoming.exists()
    assert not unfinished.exists()
    assert kept.exists()


def test_several_processes_may_sweep_at_the_same_time(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path / "uploads", tmp_path / "results")
    for number in range(200):
        folder = tmp_path / "uploads" / f".incoming-{number}"
        folder.mkdir()
        (folder / "000001").write_bytes(b"")
    with ThreadPoolExecutor(4) as pool:
        for swept in [pool.submit(folders.sweep, -1) for _ in range(4)]:
            swept.result()
    assert not list((tmp_path / "uploads").iterdir())


def test_files_beside_the_jobs_are_no_jobs(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path / "uploads", tmp_path / "results")
    (tmp_path / "uploads" / "notes.txt").write_text("of the operator")
    folders.upload("job").mkdir()
    assert folders.job_ids(-1) == ("job",)


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="data folder"):
        JobFolders(tmp_path / "file" / "uploads", tmp_path / "results")
