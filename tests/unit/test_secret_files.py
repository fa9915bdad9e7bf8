"""Settings that may hold passwords, in files."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from service.domain.errors import ConfigurationError
from service.settings import PREFIX, Settings

VARIABLE = PREFIX + "DATABASE_URL"
ADDRESS = "postgresql+psycopg://thrombolens:hush@db/thrombolens"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
        monkeypatch.delenv(PREFIX + name.upper() + "_FILE", raising=False)


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "database_url"
    file.write_text(ADDRESS + "\n")
    monkeypatch.setenv(VARIABLE + "_FILE", str(file))
    return file


def test_a_secret_is_read_from_its_file(secret: Path) -> None:
    settings = Settings.load()
    assert settings.database_url == SecretStr(ADDRESS)
    assert "hush" not in repr(settings)


def test_a_child_gets_the_value_and_not_the_file(secret: Path) -> None:
    environment = Settings.load().environment()
    assert environment[VARIABLE] == ADDRESS
    assert VARIABLE + "_FILE" not in environment


def test_file_and_value_together_are_refused(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "sqlite://")
    with pytest.raises(ConfigurationError, match="both set"):
        Settings.load()


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_secret_is_refused(secret: Path, content: bytes) -> None:
    secret.write_bytes(content)
    with pytest.raises(ConfigurationError, match=VARIABLE + "_FILE"):
        Settings.load()


def test_a_missing_file_is_refused_and_named(secret: Path) -> None:
    secret.unlink()
    with pytest.raises(ConfigurationError, match=str(secret)):
        Settings.load()


def test_settings_that_are_no_secrets_have_no_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "port"
    file.write_text("9999")
    monkeypatch.setenv(PREFIX + "PORT_FILE", str(file))
    assert Settings.load().port == 8000
