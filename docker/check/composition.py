"""What ``docker-compose.yml`` says, as far as a check of the images needs it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
# ${NAME}, ${NAME:-default}, ${NAME:?message}; $$ is a dollar sign.
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\})")


_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class Service:
    """One service.

    Attributes
    ----------
    secrets : tuple of str
        Names of those that lie under /run/secrets.
    health : tuple of str
        Command of its own check; empty if the image's is used.
    """

    name: str
    image: str
    command: tuple[str, ...]
    environment: dict[str, str]
    secrets: tuple[str, ...]
    health: tuple[str, ...]


def example_settings() -> dict[str, str]:
    """Return the settings of ``.env.example``."""
    lines = EXAMPLE.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def read_composition(settings: dict[str, str]) -> dict[str, Service]:
    """Return all services by name, with the settings put in."""
    whole = filled_file(settings)
    return {name: _service(name, told) for name, told in whole["services"].items()}


def filled_file(settings: dict[str, str]) -> dict[str, Any]:
    """Return the whole file with the settings put in."""
    filled: dict[str, Any] = _filled(yaml.safe_load(FILE.read_text()), settings)
    return filled


def _service(name: str, told: dict[str, Any]) -> Service:
    secrets = [each for each in told.get("secrets", []) if isinstance(each, str)]
    test = told.get("healthcheck", {}).get("test", [])
    return Service(
        name=name,
        image=told["image"],
        command=tuple(told.get("command", ())),
        environment={key: str(value) for key, value in told.get("environment", {}).items()},
        secrets=tuple(secrets),
        health=tuple(test[1:]) if test[:1] == ["CMD"] else (),
    )


def _filled(told: Any, settings: dict[str, str]) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(told, dict):
        return {key: _filled(value, settings) for key, value in told.items()}
    if isinstance(told, list):
        return [_filled(value, settings) for value in told]
    if not isinstance(told, str):
        return told
    text = fill(told, settings)
    # What is a truth value after it was put in, Compose takes for one.
    return text if text == told else _TRUTH.get(text, text)


def fill(text: str, settings: dict[str, str]) -> str:
    """Put settings into a text as Compose does.

    Raises
    ------
    KeyError
        If one that must be set is not.
    """

    def value(found: re.Match[str]) -> str:
        if found["name"] is None:
            return "$"
        if settings.get(found["name"]):
            return settings[found["name"]]
        if found["kind"] == "-":
            return found["rest"]
        raise KeyError(found["name"])

    return _VARIABLE.sub(value, text)
