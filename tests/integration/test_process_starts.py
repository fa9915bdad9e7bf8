"""Processes that cannot start: one line that names the reason, never a traceback or a password."""

import os
import subprocess
import sys

import pytest

CASES = {
    "THROMBOLENS_DATABASE_URL": ("postgresql+psycopg://u:hush@127.0.0.1:1/x", "JOB_DATABASE"),
    "THROMBOLENS_BROKER_URL": ("hush://somewhere", "BAD_CONFIGURATION"),
    "THROMBOLENS_DATA_DIR": ("/proc/nowhere", "STORAGE_FAILED"),
    "THROMBOLENS_PORT": ("hush", "BAD_CONFIGURATION"),
}


@pytest.mark.parametrize("process", ["api", "worker"])
@pytest.mark.parametrize("variable", CASES)
def test_a_bad_setting_ends_the_process_with_one_line(
    tmp_path_factory: pytest.TempPathFactory, process: str, variable: str
) -> None:
    value, code = CASES[variable]
    data = str(tmp_path_factory.mktemp("data"))
    done = subprocess.run(
        [sys.executable, "-m", f"service.entrypoints.{process}"],
        env={**os.environ, "THROMBOLENS_DATA_DIR": data, variable: value},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(code)
    assert "can be fixed by: operator of the service" in line
    assert "hush" not in line
