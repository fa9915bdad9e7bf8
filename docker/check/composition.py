"""What Docker Compose makes of ``docker-compose.yml`` and ``.env.example``, without an engine."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tools import COMPOSE

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"


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


def read_composition() -> dict[str, Service]:
    """Return all services of all profiles by name."""
    whole = configured(COMPOSE_PROFILES="*")
    return {name: _service(name, told) for name, told in whole["services"].items()}


def configured(**changed: str) -> dict[str, Any]:
    """Return the file as Docker Compose understands it, with some settings changed.

    Raises
    ------
    RuntimeError
        If it does not accept the file, or has a warning about it.
    """
    done = subprocess.run(
        [COMPOSE, "--file", FILE, "--env-file", EXAMPLE, "config", "--format", "json"],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **changed},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode or done.stderr:
        raise RuntimeError(done.stderr)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _service(name: str, told: dict[str, Any]) -> Service:
    targets = [Path(each["target"]) for each in told.get("secrets", [])]
    test = told.get("healthcheck", {}).get("test", [])
    return Service(
        name=name,
        image=told["image"],
        command=tuple(told.get("command") or ()),
        environment=told.get("environment", {}),
        secrets=tuple(each.name for each in targets if each.parent == Path("/run/secrets")),
        health=tuple(test[1:]) if test[:1] == ["CMD"] else (),
    )
