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
from tests.authority import Authority
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


def entry_of(authority: Authority, prefix: str, name: str) -> dict[str, str]:
    certificate, key = authority.issue(name)
    return {f"{prefix}certificate_file": str(certificate), f"{prefix}key_file": str(key)}


@pytest.mark.parametrize("asks_for_certificates", [False, True])
def test_echo_is_answered_over_tls(
    tmp_path: Path, ours: Authority, asks_for_certificates: bool
) -> None:
    tls = entry_of(ours, "", "listener")
    if asks_for_certificates:
        tls |= {"ca_file": str(ours.certificate)} | entry_of(ours, "check_", "check")
    settings = listening(tmp_path, tls=tls)
    with Processes(settings, tmp_path) as processes:
        listener = processes.start("-m", "service.entrypoints.listener")
        wait_until(lambda: health(settings, "echo") == 0, 60, "C-ECHO is answered")
        sigkill(listener)
        assert health(settings, "echo") == 1


def test_whoever_has_the_port_with_another_certificate_is_not_our_listener(
    tmp_path: Path, ours: Authority
) -> None:
    settings = listening(tmp_path, tls=entry_of(ours, "", "listener"))
    with Processes(settings, tmp_path) as processes:
        processes.start("-m", "service.entrypoints.listener")
        wait_until(lambda: health(settings, "echo") == 0, 60, "C-ECHO is answered")
        # Of the same authority, and for the same address.
        change_tls(settings, entry_of(ours, "", "impostor"))
        assert health(settings, "echo") == 1


def test_a_check_that_nobody_vouches_for_is_not_let_in(tmp_path: Path, ours: Authority) -> None:
    foreign = Authority(tmp_path / "foreign")
    own = entry_of(ours, "", "listener") | {"ca_file": str(ours.certificate)}
    settings = listening(tmp_path, tls=own | entry_of(ours, "check_", "check"))
    with Processes(settings, tmp_path) as processes:
        processes.start("-m", "service.entrypoints.listener")
        wait_until(lambda: health(settings, "echo") == 0, 60, "C-ECHO is answered")
        change_tls(settings, own | entry_of(foreign, "check_", "check"))
        assert health(settings, "echo") == 1
        change_tls(settings, own)
        done = run(settings, "health", "echo")
        assert done.returncode == 1
        assert "check_certificate_file" in done.stderr


def change_tls(settings: Settings, tls: dict[str, str]) -> None:
    """Change what the next check reads; the listener goes on as it started."""
    assert settings.sources is not None
    told = yaml.safe_load(settings.sources.read_text())
    told["listener"]["tls"] = tls
    settings.sources.write_text(yaml.safe_dump(told))


@pytest.mark.parametrize(
    ("tls", "told"),
    [
        ({"certificate_file": "/x.pem", "key_file": "/x.key"}, "cannot be used"),
        (
            {"certificate_file": "/x", "key_file": "/x", "check_key_file": "/x"},
            "need each other",
        ),
    ],
)
def test_files_of_tls_that_are_no_use_are_named(
    tmp_path: Path, tls: dict[str, str], told: str
) -> None:
    done = run(listening(tmp_path, tls=tls), "health", "echo")
    assert done.returncode == 1
    assert told in done.stderr


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
