"""A site around the images: folders, secrets, configuration, servers; and containers in it."""

import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import sqlalchemy as sa

from docker.check.composition import ROOT, Service
from docker.check.containers import Container
from docker.check.servers import (
    START_S,
    needed,
    orthanc_of_the_composition,
    redis_of_the_composition,
)
from tests.peers import Orthanc
from tests.processes import free_port, system_postgres, wait_until

UID = 10001
QUIET_S = 4


@dataclass(frozen=True)
class Site:
    """Everything around the service."""

    home: Path
    logs: Path
    api_port: int
    dicom_port: int
    archive: Orthanc

    @property
    def api(self) -> str:
        """Address of the API."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def metrics(self) -> str:
        """What Prometheus is told."""
        return httpx.get(f"{self.api}/metrics").text


@contextmanager
def prepared_site(logs: Path) -> Iterator[Site]:
    """Make secrets and configuration with ports of their own, and start the servers."""
    needed("pg_dump")  # whose package brings the server
    # A short path that others than root may enter: sockets and containers of other users.
    with tempfile.TemporaryDirectory(prefix="images-", dir="/var/tmp") as place:
        home = Path(place)
        home.chmod(0o755)
        redis_port, http_port, archive_port = free_port(), free_port(), free_port()
        with system_postgres() as admin:
            postgres = sa.make_url(admin)
            make_secrets(home, f"127.0.0.1:{postgres.port}", f"127.0.0.1:{redis_port}")
            make_database(admin, (home / "secrets/postgres_password").read_text())
            with (
                redis_of_the_composition(home, redis_port),
                orthanc_of_the_composition(home, http_port, archive_port) as client,
            ):
                dicom_port = configure(home, http_port)
                make_data_folder(home)
                archive = Orthanc(client, archive_port)
                yield Site(home, logs, free_port(), dicom_port, archive)


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


def make_data_folder(home: Path) -> None:
    """Make what the volume is, which the images' user owns."""
    (home / "data").mkdir()
    shutil.chown(home / "data", UID, UID)


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


def container(service: Service, site: Site, number: int = 1) -> Container:
    """Return a container of a service, with the mounts of the composition."""
    secrets = [f"{site.home}/secrets/{name}:/run/secrets/{name}:ro" for name in service.secrets]
    config = f"{site.home}/config:/etc/thrombolens:ro"
    mounts = [f"{site.home}/data:/data", config, *secrets]
    replaced = {"THROMBOLENS_HOST": "127.0.0.1", "THROMBOLENS_PORT": str(site.api_port)}
    return Container(service, mounts, replaced, site.logs / f"{service.name}-{number}.log")


def start(each: Container) -> None:
    """Start a service; print how long it took until its health check was content."""
    begun = time.monotonic()
    each.start()
    wait_until(lambda: each.health() or not each.running(), START_S, f"{each.service.name} is well")
    assert each.running(), f"{each.service.name} ended: {each.log()}"
    tell(f"{each.service.name}: healthy {time.monotonic() - begun:.1f} s after its start")


def image_named(name: str, services: dict[str, Service]) -> Service:
    """Return an image beside the composition, of the composition's version, as a service."""
    version = services["worker"].image.rpartition(":")[2]
    return Service(name, f"thrombolens/{name}:{version}", (), {}, (), ())


def output(each: Container, *command: str) -> str:
    """Return what a command in it printed; it has to end well."""
    done = each.run(command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def demo_study(folder: Path) -> Path:
    """Unpack the demo study."""
    with zipfile.ZipFile(ROOT / "examples/demo-study.zip") as packed:
        packed.extractall(folder)
    return folder


def send_study(folder: Path, port: int, called: str) -> None:
    """Send a folder as a PACS does."""
    command = [str(needed("storescu")), "+sd", "+r", "-R", "-aet", "PACS", "-aec", called]
    subprocess.run([*command, "127.0.0.1", str(port), folder], check=True)


def tell(line: str) -> None:
    """Say something while the check goes on; pytest is run with ``-s``."""
    print(line, flush=True)  # noqa: T201 - a check's output is its print-out
