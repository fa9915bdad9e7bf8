"""Secrets, back-up and restore, by the scripts that operators run."""

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from service.adapters.job_database import JobDatabase
from service.bootstrap.migrating import migrate
from service.domain.job import Job
from service.settings import Settings
from tests import tools
from tests.older_schema import (
    JOB_ID,
    add_finished_job,
    finished_job,
    read_job,
    revision_of,
    upgrade_to,
)
from tests.processes import system_postgres

DOCKER = Path(__file__).resolve().parents[2] / "docker"
JOB = "a" * 32


def postgresql_programs() -> Path:
    """Return the folder of server and clients of one version; the wheel has no pg_dump."""
    found = sorted(tools.POSTGRESQL.glob("*/bin/pg_dump"))
    if not found:
        pytest.skip(tools.missing(tools.TOOLS["pg_dump"]))
    return found[-1].parent


def run(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    # The one that Debian puts on the search path chooses a version by itself.
    programs = f"{postgresql_programs()}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(DOCKER / script), *map(str, arguments)],
        env={**os.environ, "PATH": programs, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with system_postgres(postgresql_programs()) as url:
        yield url


def made_database(postgres: str, name: str) -> sa.URL:
    engine = sa.create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return sa.make_url(postgres).set(database=name)


def place(url: sa.URL, data: Path) -> dict[str, str]:
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return {"PGDUMP_URL": plain, "DATA_DIR": str(data)}


def test_what_was_backed_up_comes_back_and_overwrites_nothing(
    postgres: str, tmp_path: Path
) -> None:
    before, data = made_database(postgres, "before"), tmp_path / "data"
    (data / "results" / JOB).mkdir(parents=True)
    (data / "results" / JOB / "report.json").write_text("{}")
    (data / "uploads" / ".incoming-x").mkdir(parents=True)
    database = JobDatabase(before.render_as_string(hide_password=False))
    database.upgrade()
    job = Job.queued(JOB, "m:1", datetime(2026, 1, 1, tzinfo=UTC))
    database.add(job)
    database.close()
    saved = tmp_path / "backup"
    done = run("backup.sh", saved, **place(before, data))
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(saved.stat().st_mode) == 0o700
    assert run("backup.sh", saved, **place(before, data)).returncode == 1

    after, new = made_database(postgres, "after"), tmp_path / "new"
    new.mkdir()
    done = run("restore.sh", saved, **place(after, new))
    assert done.returncode == 0, done.stderr
    assert "schema 0003" in done.stdout
    restored = JobDatabase(after.render_as_string(hide_password=False))
    restored.upgrade()
    assert restored.get(JOB) == job
    restored.close()
    assert (new / "results" / JOB / "report.json").read_text() == "{}"
    assert not list((new / "uploads").iterdir()), "what was still arriving is no part of it"

    again = run("restore.sh", saved, **place(after, new))
    assert again.returncode == 1
    assert "nothing was restored" in again.stderr


def test_a_roll_back_is_a_restore_of_what_was_saved_before_the_upgrade(
    postgres: str, tmp_path: Path
) -> None:
    running, data = made_database(postgres, "running"), tmp_path / "data"
    address = running.render_as_string(hide_password=False)
    (data / "results").mkdir(parents=True)
    upgrade_to(address, "0002")
    add_finished_job(address)
    assert run("backup.sh", tmp_path / "saved", **place(running, data)).returncode == 0
    assert migrate(Settings(database_url=SecretStr(address))) == ("0002", "0003")
    # What came since is lost to a roll-back.
    later = Job.queued(JOB, "m:1", datetime(2026, 1, 1, tzinfo=UTC))
    database = JobDatabase(address)
    database.add(later)
    database.close()

    older, new = made_database(postgres, "older"), tmp_path / "new"
    new.mkdir()
    done = run("restore.sh", tmp_path / "saved", **place(older, new))
    assert done.returncode == 0, done.stderr
    assert "schema 0002" in done.stdout
    back = older.render_as_string(hide_password=False)
    assert revision_of(back) == "0002"
    # And forward again, when the reason for going back is gone.
    assert migrate(Settings(database_url=SecretStr(back))) == ("0002", "0003")
    assert read_job(back) == finished_job()
    assert jobs_in(back) == [JOB_ID]


def jobs_in(address: str) -> list[str]:
    database = JobDatabase(address)
    found = [job.job_id for job in database.recent(10)]
    database.close()
    return found


def test_a_damaged_backup_is_not_restored(postgres: str, tmp_path: Path) -> None:
    source, data = made_database(postgres, "whole"), tmp_path / "data"
    data.mkdir()
    assert run("backup.sh", tmp_path / "backup", **place(source, data)).returncode == 0
    with (tmp_path / "backup" / "database.dump").open("ab") as dump:
        dump.write(b"x")
    target = made_database(postgres, "target")
    new = tmp_path / "new"
    new.mkdir()
    assert run("restore.sh", tmp_path / "backup", **place(target, new)).returncode != 0
    assert not list(new.iterdir())


def test_secrets_are_random_safe_and_made_once(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        assert run("make_secrets.sh", folder).returncode == 0
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = sorted(each.name for each in first.iterdir())
    assert {stat.S_IMODE((first / name).stat().st_mode) for name in names} == {0o444}
    before = {name: (first / name).read_text() for name in names}
    for name in names:
        assert before[name] != (second / name).read_text(), name
        if name.endswith("_password"):
            assert re.fullmatch(r"[0-9a-f]{64}", before[name])
    assert run("make_secrets.sh", first).returncode == 0
    assert {name: (first / name).read_text() for name in names} == before
    password = before["postgres_password"]
    assert (
        before["database_url"].strip().endswith(f"thrombolens:{password}@postgres:5432/thrombolens")
    )
    users = json.loads(before["orthanc_users"])
    assert users == {"RegisteredUsers": {"thrombolens": before["orthanc_password"]}}
