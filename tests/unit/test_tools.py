"""Where tests find the programs of others, and what they say when there is none."""

from pathlib import Path

import pytest

from tests import tools
from tests.tools import find, require


def _program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty world: environment, search path and Debian's PostgreSQL versions."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "environment" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "system"))
    monkeypatch.setattr(tools, "POSTGRESQL", tmp_path / "postgresql")
    monkeypatch.setattr(tools, "SBIN", ())
    return tmp_path


def test_the_environment_comes_before_the_system(places: Path) -> None:
    assert find("initdb") is None
    debian = _program(places / "postgresql" / "15" / "bin", "initdb")
    assert find("initdb") == debian
    system = _program(places / "system", "initdb")
    assert find("initdb") == system
    wheel = _program(places / "environment", "initdb")
    assert find("initdb") == wheel


def test_a_namesake_in_the_environment_is_not_the_program_of_the_system(places: Path) -> None:
    _program(places / "environment", "storescu")
    assert find("storescu") is None
    system = _program(places / "system", "storescu")
    assert find("storescu") == system


@pytest.mark.usefixtures("places")
def test_a_missing_program_is_a_skip_that_names_it_and_its_sources() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"missing: .* dicom3tools or .* package"):
        require("dciodvfy")
    with pytest.raises(pytest.skip.Exception, match=r"missing: .* Debian package dcmtk$"):
        require("storescu")
    with pytest.raises(pytest.skip.Exception, match=r"wheel dcmqi$"):
        require("segimage2itkimage")
