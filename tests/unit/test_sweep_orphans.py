"""Folders of jobs that a crash left between the disk and the database."""

import os
import time
from pathlib import Path

import pytest

from service.adapters.job_database import JobDatabase
from service.adapters.result_files import JobFolders
from service.application.sweep_orphans import discard_orphans, discard_stale_results
from service.bootstrap.gateway import Gateway
from service.domain.job import Job, JobLimits, Outcome
from service.settings import Settings
from tests.fakes import FakeClock

LIMITS = JobLimits(lease_seconds=30, timeout_seconds=900, max_attempts=3, ring_again_seconds=60)
DAY_S = 86_400.0


@pytest.fixture
def folders(tmp_path: Path) -> JobFolders:
    return JobFolders(tmp_path / "uploads", tmp_path / "results")


def aged(folder: Path, days: float) -> Path:
    folder.mkdir(parents=True)
    for path in (folder, folder.parent):
        os.utime(path, (time.time() - days * DAY_S,) * 2)
    return folder


def stored(database: JobDatabase, job_id: str) -> Job:
    job = Job.queued(job_id, "m:1", FakeClock()())
    database.add(job)
    return job


def test_a_folder_without_a_job_goes_when_it_is_old(
    database: JobDatabase, folders: JobFolders
) -> None:
    stored(database, "known")
    orphan, kept = (aged(folders.upload(name), 3) for name in ("orphan", "known"))
    young = aged(folders.upload("young"), 1)
    discard_orphans(database, folders, 2 * DAY_S)
    assert not orphan.exists()
    assert kept.exists()
    assert young.exists()


def test_results_of_the_worker_that_lost_go_and_the_others_stay(
    database: JobDatabase, folders: JobFolders
) -> None:
    clock = FakeClock()
    queued = stored(database, "done")
    assert database.replace(queued, queued.claimed(LIMITS.lease("winner", clock()), clock()))
    running = database.get("done")
    done = running.succeeded("winner", Outcome("no_thrombus_found", ("report.json",)), clock())
    assert database.replace(running, done)
    stored(database, "waiting")
    lost, won = (aged(folders.results("done", name), 3) for name in ("loser", "winner"))
    waiting = aged(folders.results("waiting", "lease"), 3)
    discard_stale_results(database, folders, 2 * DAY_S)
    assert not lost.exists()
    assert won.exists()
    assert waiting.exists()


@pytest.mark.parametrize(("retention_days", "kept"), [(None, True), (5.0, True), (2.0, False)])
def test_the_service_discards_orphans_only_where_old_studies_are_deleted(
    tmp_path: Path, retention_days: float | None, kept: bool
) -> None:
    settings = Settings(data_dir=tmp_path / "data", retention_days=retention_days)
    gateway = Gateway(settings)
    orphan = aged(gateway.folders.upload("orphan"), 3)
    gateway.recover()
    gateway.close()
    assert orphan.exists() is kept
