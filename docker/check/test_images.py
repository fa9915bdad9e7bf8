"""The composition's commands, from the images, with a PACS that sends and an archive that receives.

Run by ``make images-check``. Redis, PostgreSQL and Orthanc are those of this machine, on loopback.
"""

import json
import shutil
import socket
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import sqlalchemy as sa

from docker.check.composition import ROOT, Service, example_settings, read_composition
from docker.check.containers import Container
from tests.processes import free_port, system_postgres, wait_until
from tests.tools import TOOLS, find, missing

UID = 10001
QUIET_S = 4
RESULT_S = 900.0
START_S = 120.0


@dataclass(frozen=True)
class Site:
    """Everything around the service: folders, ports, servers."""

    data: Path
    secrets: Path
    config: Path
    logs: Path
    api_port: int
    dicom_port: int
    archive: httpx.Client


def test_a_pacs_sends_and_the_archive_gets_results(tmp_path: Path) -> None:
    services = read_composition(example_settings())
    with ExitStack() as stack:
        site = stack.enter_context(prepared_site(tmp_path))
        with container(services["migrate"], site) as migrate:
            migrated = migrate.run(migrate.service.command)
            assert migrated.returncode == 0, migrated.stderr
            tell(f"migrate: {migrated.stdout.strip().splitlines()[-1]}")
        names = ("worker", "api", "listener", "deliverer")
        running = [stack.enter_context(container(services[name], site)) for name in names]
        for each in running:
            start(each)
        for each in running:
            check_image(each)
        send_demo_study(site)
        wait_for_results(site)
        for each in running:
            assert each.running(), log_of(site, each)
            assert each.health(), log_of(site, each)
            assert each.written() == []


@contextmanager
def prepared_site(folder: Path) -> Iterator[Site]:
    """Make secrets and configuration with ports of their own, and start the servers."""
    needed("pg_dump")  # whose package brings the server
    # A short path that others than root may enter: sockets and containers of other users.
    with tempfile.TemporaryDirectory(prefix="images-", dir="/var/tmp") as place:
        home = Path(place)
        home.chmod(0o755)
        redis_port, orthanc_port = free_port(), free_port()
        with system_postgres() as admin:
            postgres = sa.make_url(admin)
            make_secrets(home, f"127.0.0.1:{postgres.port}", f"127.0.0.1:{redis_port}")
            make_database(admin, (home / "secrets/postgres_password").read_text())
            with (
                redis_of_the_composition(home, redis_port),
                orthanc_of_the_composition(home, orthanc_port) as archive,
            ):
                dicom_port = configure(home, orthanc_port)
                (home / "data").mkdir()
                shutil.chown(home / "data", UID, UID)
                logs = folder / "logs"
                logs.mkdir()
                yield Site(
                    home / "data", home / "secrets", home / "config", logs,
                    free_port(), dicom_port, archive,
                )  # fmt: skip


def needed(program: str) -> Path:
    """Return a program of this machine; a check that skips itself would check nothing."""
    found = find(program)
    assert found is not None, missing(TOOLS[program])
    return found


def make_secrets(home: Path, postgres: str, redis: str) -> None:
    script = ROOT / "docker" / "make_secrets.sh"
    subprocess.run([script, home / "secrets", postgres, redis], check=True, capture_output=True)
    # The engine mounts each file past the folder that only root may enter; buildah does not.
    (home / "secrets").chmod(0o755)


def make_database(admin: str, password: str) -> None:
    """Do what the image of PostgreSQL does at its first start."""
    engine = sa.create_engine(admin, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE ROLE thrombolens LOGIN PASSWORD '{password}'"))
        connection.execute(sa.text("CREATE DATABASE thrombolens OWNER thrombolens"))
    engine.dispose()


@contextmanager
def redis_of_the_composition(home: Path, port: int) -> Iterator[None]:
    """Run Redis with the configuration that is its secret."""
    (home / "redis").mkdir()
    command = [
        str(needed("redis-server")), str(home / "secrets/redis_conf"),
        "--port", str(port), "--bind", "127.0.0.1",
    ]  # fmt: skip
    with (home / "redis.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=home / "redis", stdout=log, stderr=log)
    try:
        wait_until(lambda: listens(port) or server.poll() is not None, START_S, "Redis listens")
        assert server.poll() is None, (home / "redis.log").read_text()
        yield
    finally:
        server.terminate()
        server.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def orthanc_of_the_composition(home: Path, port: int) -> Iterator[httpx.Client]:
    """Run Orthanc with the composition's configuration; yield a client that is let in."""
    told = json.loads((ROOT / "docker/orthanc/orthanc.json").read_text())
    told |= json.loads((home / "secrets/orthanc_users").read_text())
    storage = str(home / "orthanc")
    told |= {
        "HttpPort": port, "DicomPort": free_port(),
        "StorageDirectory": storage, "IndexDirectory": storage,
        "Plugins": [str(needed("libOrthancDicomWeb.so"))],
    }  # fmt: skip
    file = home / "orthanc.json"
    file.write_text(json.dumps(told))
    with (home / "orthanc.log").open("wb") as log:
        server = subprocess.Popen([str(needed("Orthanc")), str(file)], stdout=log, stderr=log)
    password = (home / "secrets/orthanc_password").read_text()
    limits = httpx.Limits(max_keepalive_connections=0)
    base = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=base, auth=("thrombolens", password), limits=limits) as client:
            wait_until(lambda: answers(client, "/system"), START_S, "Orthanc answers")
            yield client
    finally:
        server.kill()
        server.wait()


def answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


def configure(home: Path, orthanc_port: int) -> int:
    """Copy the configuration with chosen ports and less patience; return the DICOM port."""
    source = ROOT / "docker" / "config"
    port = free_port()
    (home / "config").mkdir()
    destinations = (source / "destinations.yaml").read_text()
    changed = destinations.replace("orthanc:8042", f"127.0.0.1:{orthanc_port}")
    assert changed != destinations
    (home / "config/destinations.yaml").write_text(changed)
    sources = (source / "sources.yaml").read_text()
    changed = sources.replace("port: 11112", f"port: {port}")
    changed = changed.replace("study_quiet_seconds: 60", f"study_quiet_seconds: {QUIET_S}")
    changed = changed.replace("series_quiet_seconds: 20", "series_quiet_seconds: 2")
    assert str(port) in changed
    assert f": {QUIET_S}," in changed
    (home / "config/sources.yaml").write_text(changed)
    return port


def container(service: Service, site: Site) -> Container:
    secrets = [f"{site.secrets / name}:/run/secrets/{name}:ro" for name in service.secrets]
    mounts = [f"{site.data}:/data", f"{site.config}:/etc/thrombolens:ro", *secrets]
    replaced = {"THROMBOLENS_HOST": "127.0.0.1", "THROMBOLENS_PORT": str(site.api_port)}
    return Container(service, mounts, replaced, site.logs / f"{service.name}.log")


def start(each: Container) -> None:
    """Start a service; print how long it took until its health check was content."""
    begun = time.monotonic()
    each.start()
    wait_until(lambda: each.health() or not each.running(), START_S, f"{each.service.name} is well")
    assert each.running(), f"{each.service.name} ended"
    tell(f"{each.service.name}: healthy {time.monotonic() - begun:.1f} s after its start")


def check_image(each: Container) -> None:
    """Check labels, user, what it is made of, and that nobody can install anything more."""
    assert "not a medical device" in each.labels()["org.opencontainers.image.description"]
    assert output(each, "id", "-u") == str(UID)
    bill = json.loads(output(each, "cat", "/opt/thrombolens/sbom.cdx.json"))
    parts = {part["name"].lower() for part in bill["components"]}
    assert "pydicom" in parts
    assert "torch" not in parts
    assert ("onnxruntime" in parts) == (each.service.name == "worker")
    assert each.run(["python", "-c", "import pip"]).returncode == 1
    assert each.run(["touch", "/opt/thrombolens/x"]).returncode == 1


def output(each: Container, *command: str) -> str:
    done = each.run(command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def send_demo_study(site: Site) -> None:
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(ROOT / "examples/demo-study.zip").extractall(folder)
        subprocess.run(
            [
                str(needed("storescu")), "+sd", "+r", "-R", "-aet", "PACS", "-aec", "THROMBOLENS",
                "127.0.0.1", str(site.dicom_port), folder,
            ],
            check=True,
        )  # fmt: skip


def wait_for_results(site: Site) -> None:
    """Wait until the archive holds segmentation and report; look at the metrics."""
    begun = time.monotonic()
    wait_until(
        lambda: archived(site) >= {"SEG", "SR"} or has_failed(site),
        RESULT_S,
        "SEG and SR are archived",
    )
    assert not has_failed(site), (site.logs / "worker.log").read_text()[-4000:]
    tell(f"SEG and SR in Orthanc {time.monotonic() - begun:.1f} s after the last instance was sent")
    assert 'thrombolens_jobs{state="SUCCEEDED"} 1.0' in metrics(site)


def has_failed(site: Site) -> bool:
    return 'thrombolens_jobs{state="FAILED"} 0.0' not in metrics(site)


def metrics(site: Site) -> str:
    return httpx.get(f"http://127.0.0.1:{site.api_port}/metrics").text


def archived(site: Site) -> set[str]:
    """Return the modalities of the series in Orthanc."""
    series = site.archive.get("/series", params={"expand": ""}).json()
    return {each["MainDicomTags"]["Modality"] for each in series}


def log_of(site: Site, each: Container) -> str:
    return (site.logs / f"{each.service.name}.log").read_text()[-4000:]


def tell(line: str) -> None:
    """Say something while the check goes on; pytest is run with ``-s``."""
    print(line, flush=True)  # noqa: T201 - a check's output is its print-out
