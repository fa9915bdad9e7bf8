"""The compose file: valid by the specification, hardened, complete, and told in .env.example."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import yaml

from docker.check.composition import EXAMPLE, FILE, ROOT, example_settings, filled_file

compose_spec = pytest.importorskip("compose_spec", reason="compose-spec comes with the extra dev")
OURS = {"migrate", "api", "listener", "deliverer", "worker", "worker-gpu"}


@pytest.fixture(scope="module")
def composition() -> dict[str, Any]:
    return filled_file(example_settings())


def test_it_follows_the_specification(composition: dict[str, Any]) -> None:
    told = compose_spec.PyCompose.from_yaml(yaml.safe_dump(composition))
    told.validate()
    told.validate_networks()
    told.validate_secrets()
    told.validate_volumes()
    assert set(told.service_names()) >= OURS


def test_every_setting_of_the_environment_file_is_used_and_explained() -> None:
    text = FILE.read_text()
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", text)) | {"COMPOSE_PROFILES"}
    assert used == set(example_settings())
    lines = EXAMPLE.read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match(r"^[A-Z_]+=", line):
            assert before.startswith("#") or re.match(r"^[A-Z_]+=", before), line


def test_our_processes_are_hardened(composition: dict[str, Any]) -> None:
    for name in OURS:
        service = composition["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in service, "the image's user is the one"
        assert "privileged" not in service


def test_any_number_of_workers_can_run(composition: dict[str, Any]) -> None:
    worker = composition["services"]["worker"]
    assert "ports" not in worker
    assert "container_name" not in worker


def test_nothing_starts_before_the_migration_ended(composition: dict[str, Any]) -> None:
    for name in OURS - {"migrate"}:
        after = composition["services"][name]["depends_on"]["migrate"]
        assert after == {"condition": "service_completed_successfully"}


def test_every_image_has_a_version(composition: dict[str, Any]) -> None:
    for service in composition["services"].values():
        _, _, tag = service["image"].rpartition(":")
        assert re.search(r"\d", tag), service["image"]


def test_no_secret_stands_in_a_file_of_the_repository(composition: dict[str, Any]) -> None:
    for name, secret in composition["secrets"].items():
        assert secret == {"file": f"docker/secrets/{name}"}
    for service in composition["services"].values():
        for variable in service.get("environment", {}):
            if re.search(r"PASSWORD|SECRET|TOKEN|URL", variable):
                assert variable.endswith("FILE")
    assert "/docker/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def mounted_files(composition: dict[str, Any]) -> Iterator[str]:
    for service in composition["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                yield source


def test_every_mounted_file_is_there(composition: dict[str, Any]) -> None:
    for source in mounted_files(composition):
        assert (ROOT / source).exists(), source
