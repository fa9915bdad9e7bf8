"""Settings: what is read, refused, masked, passed on and documented."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from service.domain.errors import ConfigurationError
from service.settings import PREFIX, Settings

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THROMBOLENS_PORT", "9999")
    monkeypatch.setenv("THROMBOLENS_BROKER_URL", "redis://:hush@localhost/0")
    settings = Settings.load()
    assert settings.port == 9999
    assert settings.broker_url == SecretStr("redis://:hush@localhost/0")
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("MAX_FILES", "0"),
        ("DEVICE", "tpu"),
        ("JOB_TIMEOUT_SECONDS", "-1"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ConfigurationError, match=PREFIX + name):
        Settings.load()


def test_a_lease_must_be_shorter_than_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THROMBOLENS_LEASE_SECONDS", "900")
    with pytest.raises(ConfigurationError, match="shorter than job_timeout_seconds"):
        Settings.load()


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


def test_a_child_gets_these_very_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("THROMBOLENS_MAX_FILES", "7")
    monkeypatch.setenv("THROMBOLENS_RETENTION_DAYS", "3")
    chosen = Settings(
        data_dir=tmp_path,
        broker_url=SecretStr("redis://:hush@localhost/0"),
        retention_days=None,
        lease_seconds=2.5,
    )
    environment = chosen.environment()
    monkeypatch.delenv("THROMBOLENS_RETENTION_DAYS")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == chosen


def test_without_addresses_everything_lies_in_one_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.database_address == f"sqlite:///{tmp_path / 'jobs.sqlite3'}"
    for folder in (settings.uploads_dir, settings.results_dir, settings.broker_dir):
        assert folder.parent == tmp_path


def test_every_setting_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", DOCUMENT.read_text(), re.MULTILINE))
    shown = {
        PREFIX + name.upper(): "none" if field.default is None else f"`{field.default}`"
        for name, field in Settings.model_fields.items()
        if name != "models_dir"
    }
    assert {name: rows.get(name) for name in shown} == shown
    assert set(rows) == {*shown, "THROMBOLENS_MODELS_DIR"}
