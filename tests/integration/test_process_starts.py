"""Processes that cannot start: one line that names the reason, never a traceback or a password."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api import write_model

CASES = {
    "THROMBOLENS_DATABASE_URL": ("postgresql+psycopg://u:hush@127.0.0.1:1/x", "JOB_DATABASE"),
    "THROMBOLENS_BROKER_URL": ("hush://somewhere", "BAD_CONFIGURATION"),
    "THROMBOLENS_DATA_DIR": ("/proc/nowhere", "STORAGE_FAILED"),
    "THROMBOLENS_PORT": ("hush", "BAD_CONFIGURATION"),
}


def started(process: str, data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"service.entrypoints.{process}"],
        env={**os.environ, "THROMBOLENS_DATA_DIR": str(data), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("process", ["api", "worker"])
@pytest.mark.parametrize("variable", CASES)
def test_a_bad_setting_ends_the_process_with_one_line(
    tmp_path_factory: pytest.TempPathFactory, process: str, variable: str
) -> None:
    value, code = CASES[variable]
    done = started(process, tmp_path_factory.mktemp("data"), **{variable: value})
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(code)
    assert "can be fixed by: operator of the service" in line
    assert "hush" not in line


def test_a_worker_that_cannot_infer_ends_before_it_takes_a_study(tmp_path: Path) -> None:
    heart = tmp_path / "heartbeat"
    done = started(
        "worker",
        tmp_path / "data",
        THROMBOLENS_DEVICE="cuda",
        THROMBOLENS_HEARTBEAT_FILE=str(heart),
    )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("PROVIDER_UNAVAILABLE: CUDAExecutionProvider")
    assert not heart.exists()


def test_a_worker_with_half_a_model_ends(tmp_path: Path) -> None:
    write_model(tmp_path / "models")
    done = started(
        "worker",
        tmp_path / "data",
        THROMBOLENS_MODELS_DIR=str(tmp_path / "models"),
        THROMBOLENS_DEFAULT_MODEL="net",
    )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("INVALID_MODEL")
