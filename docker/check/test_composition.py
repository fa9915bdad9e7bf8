"""The compose file: as Docker Compose understands it, hardened, complete, told in .env.example."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from docker.check.composition import EXAMPLE, FILE, ROOT, configured, example_settings
from tests.tools import require_compose

OURS = {"migrate", "api", "listener", "deliverer", "worker", "worker-gpu"}
ALWAYS = {"migrate", "api", "listener", "deliverer"}
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


@pytest.fixture(scope="module", autouse=True)
def _compose() -> None:
    require_compose()


@pytest.fixture(scope="module")
def composition() -> dict[str, Any]:
    return configured(COMPOSE_PROFILES="*")


@pytest.mark.parametrize(
    ("profiles", "started"),
    [
        ("bundled,cpu,archive", {"redis", "postgres", "worker", "orthanc"}),
        ("bundled,gpu,archive", {"redis", "postgres", "worker-gpu", "orthanc"}),
        ("cpu", {"worker"}),
        (
            "bundled,gpu,observability,gpu-metrics",
            {"redis", "postgres", "worker-gpu", "prometheus", "grafana", "gpu-metrics"},
        ),
    ],
)
def test_profiles_choose_what_is_started(profiles: str, started: set[str]) -> None:
    assert set(configured(COMPOSE_PROFILES=profiles)["services"]) == ALWAYS | started


def test_the_example_starts_what_the_documentation_says() -> None:
    assert set(configured()["services"]) == ALWAYS | {"redis", "postgres", "worker", "orthanc"}


def test_servers_elsewhere_need_no_others_and_a_way_out() -> None:
    told = configured(COMPOSE_PROFILES="cpu", INTERNAL_NETWORK_CLOSED="false")
    assert not told["networks"]["internal"].get("internal", False)
    for service in told["services"].values():
        needed = [name for name, how in service["depends_on"].items() if how["required"]]
        assert set(needed) <= {"migrate"}
    assert configured()["networks"]["internal"]["internal"] is True


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
    for name in ("worker", "worker-gpu"):
        assert not composition["services"][name].keys() & {"ports", "container_name", "hostname"}


def test_a_gpu_is_reserved_for_its_worker_alone(composition: dict[str, Any]) -> None:
    def devices(name: str) -> list[dict[str, Any]]:
        resources = composition["services"][name].get("deploy", {}).get("resources", {})
        return list(resources.get("reservations", {}).get("devices", []))

    (device,) = devices("worker-gpu")
    assert (device["driver"], device["capabilities"], device["count"]) == ("nvidia", ["gpu"], 1)
    assert not devices("worker")


def test_nothing_starts_before_the_migration_ended(composition: dict[str, Any]) -> None:
    for name in OURS - {"migrate"}:
        after = composition["services"][name]["depends_on"]["migrate"]
        assert after["condition"] == "service_completed_successfully"
        assert after["required"] is True


def test_every_image_has_a_version(composition: dict[str, Any]) -> None:
    for service in composition["services"].values():
        _, _, tag = service["image"].rpartition(":")
        assert re.search(r"\d", tag), service["image"]


def test_all_images_have_one_base_of_one_version() -> None:
    bases = {
        re.findall(r"^ARG PYTHON_IMAGE=(.+)$", f.read_text(), re.MULTILINE)[0] for f in DOCKERFILES
    }
    assert len(DOCKERFILES) == 3
    assert len(bases) == 1
    assert re.fullmatch(r"docker\.io/library/python:\d+\.\d+\.\d+-slim-bookworm", *bases)


def test_no_secret_stands_in_a_file_of_the_repository(composition: dict[str, Any]) -> None:
    for name, secret in composition["secrets"].items():
        assert Path(secret["file"]) == ROOT / "docker" / "secrets" / name
    for service in composition["services"].values():
        for variable in service.get("environment", {}):
            if re.search(r"PASSWORD|SECRET|TOKEN|URL", variable):
                assert variable.endswith("FILE")
    assert "/docker/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_every_mounted_file_is_there(composition: dict[str, Any]) -> None:
    mounted = [
        Path(volume["source"])
        for service in composition["services"].values()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    ]
    assert len(mounted) > 5
    for source in mounted:
        assert source.exists(), source
