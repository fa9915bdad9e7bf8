"""Health checks and the migration, as a container engine runs them."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from service.bootstrap.checking import OLDEST_BEAT_S
from service.settings import Settings
from tests.api import ApiWorld, write_model
from tests.processes import Processes, free_port, sigkill, wait_until


def run(settings: Settings, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"service.entrypoints.{module}", *arguments],
        env=settings.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


def health(settings: Settings, check: str) -> int:
    return run(settings, "health", check).returncode


def listening(folder: Path, **listener: object) -> Settings:
    """Return settings of a listener that lets health checks in from this machine."""
    sources = {
        "version": 1,
        "listener": {"host": "127.0.0.1", "port": free_port(), **listener},
        "sources": [
            {"name": "pacs", "kind": "c-store", "calling_ae": ["PACS"]},
            {
                "name": "health",
                "kind": "c-store",
                "calling_ae": ["HEALTHCHECK"],
                "addresses": ["127.0.0.1"],
            },
        ],
    }
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump(sources))
    write_model(folder / "models")
    return Settings(
        data_dir=folder / "data",
        models_dir=folder / "models",
        default_model="net",
        sources=path,
    )


def test_echo_is_answered_as_long_as_the_listener_lives(tmp_path: Path) -> None:
    settings = listening(tmp_path)
    assert health(settings, "echo") == 1
    with Processes(settings, tmp_path) as processes:
        listener = processes.start("-m", "service.entrypoints.listener")
        wait_until(lambda: health(settings, "echo") == 0, 60, "C-ECHO is answered")
        sigkill(listener)
        assert health(settings, "echo") == 1


def test_a_listener_with_tls_is_not_said_to_be_ill_but_not_to_be_checkable(tmp_path: Path) -> None:
    tls = {"certificate_file": "/x.pem", "key_file": "/x.key"}
    done = run(listening(tmp_path, tls=tls), "health", "echo")
    assert done.returncode == 1
    assert "tls is not supported" in done.stderr


def test_a_heart_that_stopped_is_noticed(tmp_path: Path) -> None:
    settings = Settings(heartbeat_file=tmp_path / "beat")
    assert health(settings, "heartbeat") == 1
    (tmp_path / "beat").touch()
    assert health(settings, "heartbeat") == 0
    old = (tmp_path / "beat").stat().st_mtime - OLDEST_BEAT_S - 1
    os.utime(tmp_path / "beat", (old, old))
    assert health(settings, "heartbeat") == 1


def test_a_deliverer_beats(tmp_path: Path) -> None:
    destinations = tmp_path / "destinations.yaml"
    inbox = {"name": "inbox", "kind": "folder", "path": str(tmp_path)}
    destinations.write_text(yaml.safe_dump({"version": 1, "destinations": [inbox]}))
    settings = Settings(
        data_dir=tmp_path / "data", destinations=destinations, heartbeat_file=tmp_path / "beat"
    )
    with Processes(settings, tmp_path) as processes:
        processes.start("-m", "service.entrypoints.deliverer")
        wait_until((tmp_path / "beat").exists, 60, "the deliverer beats")


def test_an_api_without_workers_is_not_ready(tmp_path: Path) -> None:
    with ApiWorld(tmp_path) as world:
        port = world.client.base_url.port
        assert health(Settings(port=port), "ready") == 1
    assert health(Settings(port=free_port()), "ready") == 1


@pytest.mark.parametrize("words", [(), ("everything",), ("ready", "echo")])
def test_an_unknown_check_is_no_illness(words: tuple[str, ...]) -> None:
    assert run(Settings(), "health", *words).returncode == 2


def test_the_migration_says_what_it_did_and_does_it_once(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    first = run(settings, "migrate")
    assert (first.returncode, first.stdout) == (0, "schema 0003, was not there\n")
    assert run(settings, "migrate").stdout == "schema 0003, was 0003\n"


def test_an_older_version_refuses_a_newer_schema(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    run(settings, "migrate")
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite3")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    done = run(settings, "migrate")
    assert done.returncode == 1
    assert "JOB_DATABASE_UNAVAILABLE" in done.stderr
