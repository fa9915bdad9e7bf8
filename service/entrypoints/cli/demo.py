"""The demo: the embedded service is started, used over REST as a client would, and stopped."""

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from service.domain.errors import ThrombolensError
from service.domain.result_file import ResultFile
from service.entrypoints.cli.views import StageBar, show_findings
from service.settings import Settings

START_LIMIT_S = 60.0
JOB_LIMIT_S = 300.0
PAUSE_S = 0.2


class DemoError(ThrombolensError):
    """The demo did not come to its end."""

    code = "DEMO_FAILED"
    fixed_by = "operator of the service"


def run_demo(settings: Settings, study: Path, out: Path, console: Console) -> None:
    """Send one study to a service started for it and leave the results in a folder.

    Raises
    ------
    DemoError
        If the service does not start or the job does not succeed; says why.
    """
    console.print(f"Starting the service; the study {study.name} is simulated.")
    with (
        tempfile.TemporaryDirectory(prefix="thrombolens-demo-") as data,
        _service(settings, Path(data)) as client,
    ):
        answer = client.post("/segment", files={"files": (study.name, study.read_bytes())})
        _require(answer, httpx.codes.ACCEPTED)
        job = answer.headers["Location"]
        console.print(f"POST /segment: {answer.status_code}, {job}")
        _follow(client, job, console)
        written = _fetch(client, job, out)
        show_findings(console, client.get(f"{job}/report").json())
    console.print(f"Written to {out}: {', '.join(written)}", soft_wrap=True)


@contextmanager
def _service(settings: Settings, data: Path) -> Iterator[httpx.Client]:
    """Run ``thrombolens serve`` on a free port of the loopback; end it by its process id."""
    port = _free_port()
    own = settings.model_copy(
        update={
            "data_dir": data,
            "host": "127.0.0.1",
            "port": port,
            "log_level": "WARNING",
            # Whatever this machine serves besides: the demo must never take its jobs.
            "broker_url": None,
            "database_url": None,
            "destinations": None,
            "sources": None,
            "retention_days": None,
        }
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "service.entrypoints.cli", "serve"], env=own.environment()
    )
    try:
        address = f"http://127.0.0.1:{port}"
        # A proxy of the environment is not for the loopback.
        with httpx.Client(base_url=address, timeout=60.0, trust_env=False) as client:
            _wait_until_ready(client, process)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise DemoError(f"the service ended at its start with status {process.returncode}")
        try:
            if client.get("/health/ready").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(PAUSE_S)
    raise DemoError(f"the service was not ready within {START_LIMIT_S:.0f} s")


def _follow(client: httpx.Client, job: str, console: Console) -> None:
    """Show the stages until the job ends."""
    end = time.monotonic() + JOB_LIMIT_S
    with StageBar(console) as bar:
        while time.monotonic() < end:
            state: dict[str, Any] = client.get(job).raise_for_status().json()
            bar.stage(state["stage"] or state["state"], state["progress"])
            if state["state"] == "SUCCEEDED":
                return
            if state["state"] in {"FAILED", "CANCELLED"}:
                raise DemoError(f"the job is {state['state']}: {state['failure']}")
            time.sleep(PAUSE_S)
    raise DemoError(f"the job did not end within {JOB_LIMIT_S:.0f} s")


def _fetch(client: httpx.Client, job: str, out: Path) -> list[str]:
    """Write the results that the job has; a negative study has no segmentation."""
    out.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    for file in ResultFile:
        answer = client.get(f"{job}/{file.link}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            (out / file).unlink(missing_ok=True)
            continue
        _require(answer, httpx.codes.OK)
        (out / file).write_bytes(answer.content)
        written.append(file)
    return written


def _require(answer: httpx.Response, status: int) -> None:
    if answer.status_code != status:
        raise DemoError(f"{answer.request.url.path} answered {answer.status_code}: {answer.text}")
