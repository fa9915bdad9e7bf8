"""Servers of this machine that stand in for those of the composition, on loopback."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from docker.check.composition import ROOT
from tests.processes import free_port, wait_until
from tests.tools import TOOLS, find, missing

START_S = 120.0


def needed(program: str) -> Path:
    """Return a program of this machine; a check that skips itself would check nothing."""
    found = find(program)
    assert found is not None, missing(TOOLS[program])
    return found


@contextmanager
def redis_of_the_composition(home: Path, port: int) -> Iterator[None]:
    """Run Redis with the configuration that is its secret."""
    (home / "redis").mkdir()
    command = [
        str(needed("redis-server")), str(home / "secrets/redis_conf"),
        "--port", str(port), "--bind", "127.0.0.1",
    ]  # fmt: skip
    with running(command, home / "redis", home / "redis.log") as server:
        wait_until(lambda: listens(port) or server.poll() is not None, START_S, "Redis listens")
        assert server.poll() is None, (home / "redis.log").read_text()
        yield


@contextmanager
def orthanc_of_the_composition(home: Path, port: int, dicom_port: int) -> Iterator[httpx.Client]:
    """Run Orthanc with the composition's configuration; yield a client that is let in."""
    told = json.loads((ROOT / "docker/orthanc/orthanc.json").read_text())
    told |= json.loads((home / "secrets/orthanc_users").read_text())
    storage = str(home / "orthanc")
    told |= {
        "HttpPort": port, "DicomPort": dicom_port,
        "StorageDirectory": storage, "IndexDirectory": storage,
        "Plugins": [str(needed("libOrthancDicomWeb.so"))],
    }  # fmt: skip
    file = home / "orthanc.json"
    file.write_text(json.dumps(told))
    password = (home / "secrets/orthanc_password").read_text()
    limits = httpx.Limits(max_keepalive_connections=0)
    base = f"http://127.0.0.1:{port}"
    with (
        running([str(needed("Orthanc")), str(file)], home, home / "orthanc.log"),
        httpx.Client(
            base_url=base, auth=("thrombolens", password), limits=limits, timeout=30
        ) as client,
    ):
        wait_until(lambda: answers(client, "/system"), START_S, "Orthanc answers")
        assert httpx.get(f"{base}/system").status_code == 401, "nobody else is let in"
        yield client


@contextmanager
def prometheus_of_the_composition(home: Path, api_port: int) -> Iterator[httpx.Client]:
    """Run Prometheus with the composition's configuration and rules, asking every second."""
    folder = home / "prometheus"
    shutil.copytree(ROOT / "docker/prometheus", folder)
    file = folder / "prometheus.yml"
    told = file.read_text()
    for before, after in (
        ("api:8000", f"127.0.0.1:{api_port}"),
        ("gpu-metrics:9400", f"127.0.0.1:{free_port()}"),
        ("_interval: 15s", "_interval: 1s"),
    ):
        assert before in told
        told = told.replace(before, after)
    file.write_text(told)
    port = free_port()
    program = shutil.which("prometheus")
    assert program is not None, "run.sh installs the Debian package prometheus"
    command = [
        program, f"--config.file={file}",
        f"--storage.tsdb.path={home / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (
        running(command, home, home / "prometheus.log"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        wait_until(lambda: answers(client, "/-/ready"), START_S, "Prometheus answers")
        yield client


@contextmanager
def running(command: Sequence[str], folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a folder; end it with the context."""
    with log.open("wb") as stream:
        server = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=stream)
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(client: httpx.Client, path: str) -> bool:
    """Whether a server answers with 200."""
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False
