"""A modality sends to Orthanc, a rule there forwards to us, and our results stand in Orthanc."""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
import yaml

from service.settings import Settings
from tests.e2e.test_service import PATIENCE_S, SERIES, SERVE, settings_in
from tests.peers import Orthanc, orthanc, storescu
from tests.processes import Processes, free_port, wait_until
from tests.strategies import mr_series, uid, write_instances
from tests.tiny_model import small_head

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo-study.zip"
POLICY = {"series_quiet_seconds": 1, "study_quiet_seconds": 3, "deadline_seconds": 120}
# The whole study again with every change to it, our own results too: as rules in hospitals do.
ROUTING = """
function OnStableStudy(studyId, tags, metadata)
  RestApiPost('/modalities/thrombolens/store',
    '{"Resources": ["' .. studyId .. '"], "Synchronous": false}')
end
"""


@dataclass(frozen=True)
class Round:
    """A running service and a running Orthanc that know each other."""

    service: Processes
    archive: Orthanc

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.service.client.get("/jobs").json()["jobs"]
        return found

    def result(self) -> dict[str, Any]:
        """Wait for the one job to succeed."""
        wait_until(self.jobs, PATIENCE_S, "a job; " + self.service.logs()[-2000:])
        (job,) = self.jobs()
        return self.service.result_of(job["job_id"], PATIENCE_S)

    def written(self, study: str) -> list[str]:
        """Return the modalities of our results that the archive has of a study."""
        return [each for each in self.archive.modalities(study) if each != "MR"]

    def wait_for_results(self, study: str) -> None:
        wait_until(
            lambda: self.written(study) == ["SEG", "SR"],
            PATIENCE_S,
            f"SEG and SR are in Orthanc; {self.written(study)}",
        )

    def metric(self, name: str) -> float:
        lines = self.service.client.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def configured(
    folder: Path, settings: Settings, archive_port: int, listener: int, web: int
) -> Settings:
    sources = [
        {"name": "router", "kind": "c-store", "calling_ae": ["ORTHANC"], "policy": POLICY},
        {"name": "web", "kind": "stow", "policy": POLICY},
        {"name": "archive", "kind": "dicomweb", "url": f"http://127.0.0.1:{web}/dicom-web"},
    ]
    place = {"host": "127.0.0.1", "port": listener}
    destination = {
        "name": "archive",
        "kind": "stow",
        "url": f"http://127.0.0.1:{web}/dicom-web",
        "confirm": "qido",
    }
    content: dict[str, dict[str, Any]] = {
        "sources": {"listener": place, "sources": sources},
        "destinations": {"destinations": [destination]},
    }
    for name, values in content.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"version": 1, **values}))
    return settings.model_copy(
        update={
            "sources": folder / "sources.yaml",
            "destinations": folder / "destinations.yaml",
            "delivery_interval_seconds": 0.5,
        }
    )


Running = Callable[[Settings], Round]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Give what starts a service with these settings beside an Orthanc that routes to it."""
    opened: list[Any] = []

    def start(settings: Settings) -> Round:
        listener = free_port()
        rule = tmp_path / "routing.lua"
        rule.write_text(ROUTING)
        us = {"AET": "THROMBOLENS", "Host": "127.0.0.1", "Port": listener}
        web = {"us": [f"http://127.0.0.1:{settings.port}/dicom-web/"]}
        archive = orthanc(
            tmp_path / "orthanc",
            StableAge=2,
            LuaScripts=[str(rule)] if settings.default_model.startswith("upatt") else [],
            DicomModalities={"thrombolens": us},
            DicomWeb={"Enable": True, "Root": "/dicom-web/", "Servers": web},
        )
        opened.append(archive)
        found = archive.__enter__()
        chosen = configured(
            tmp_path, settings, found.dicom_port, listener, int(found.client.base_url.port or 0)
        )
        service = Processes(chosen, tmp_path)
        opened.append(service)
        service.start("-c", SERVE + "serve(Settings.load())")
        wait_until(service.alive, PATIENCE_S, "the API answers")
        wait_until(lambda: "listener_started" in service.logs(), PATIENCE_S, "it listens")
        return Round(service, found)

    yield start
    for each in reversed(opened):
        each.__exit__(None, None, None)


def small_study(folder: Path, name: str) -> tuple[str, list[Path]]:
    study = uid("study", name)
    attributes = {**SERIES, "StudyInstanceUID": study, "SeriesInstanceUID": uid("series", name)}
    return study, write_instances(mr_series(small_head(clot=True), **attributes), folder / name)


def test_from_the_modality_over_a_rule_of_orthanc_and_back(
    tmp_path: Path, running: Running
) -> None:
    with zipfile.ZipFile(DEMO) as packed:
        packed.extractall(tmp_path / "demo")
    paths = [path for path in sorted((tmp_path / "demo").rglob("*")) if path.is_file()]
    study = str(pydicom.dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)
    settings = Settings(data_dir=tmp_path / "data", port=free_port(), inference_threads=1)
    round_ = running(settings)
    storescu(round_.archive.dicom_port, "ORTHANC", paths)
    job = round_.result()
    assert job["result"] == "thrombus_found", job
    assert job["arrival"]["source"] == "router"
    assert job["arrival"]["instances"] == len(paths)
    round_.wait_for_results(study)
    # The rule sends the study once more, now with our results, which are refused.
    wait_until(
        lambda: round_.metric("thrombolens_refused_instances_total") > 0,
        60,
        "our results come back; " + round_.service.logs()[-2000:],
    )
    wait_until(lambda: round_.metric("thrombolens_collecting_studies") == 0, 60, "nothing waits")
    assert len(round_.jobs()) == 1
    assert round_.written(study) == ["SEG", "SR"]


def test_by_stow_from_orthanc_and_back(tmp_path: Path, running: Running) -> None:
    round_ = running(settings_in(tmp_path))
    study, paths = small_study(tmp_path, "stow")
    storescu(round_.archive.dicom_port, "ORTHANC", paths)
    (stored,) = round_.archive.client.get("/studies").json()
    sent = round_.archive.client.post("/dicom-web/servers/us/stow", json={"Resources": [stored]})
    assert sent.status_code == 200, sent.text
    job = round_.result()
    assert (job["arrival"]["source"], job["arrival"]["instances"]) == ("web", len(paths))
    round_.wait_for_results(study)
    assert len(round_.jobs()) == 1


def test_fetched_from_orthanc_and_back(tmp_path: Path, running: Running) -> None:
    round_ = running(settings_in(tmp_path))
    study, paths = small_study(tmp_path, "pull")
    storescu(round_.archive.dicom_port, "ORTHANC", paths)
    wanted = {"dicomweb": "archive", "study_instance_uid": study}
    answer = round_.service.client.post("/segment", json=wanted)
    assert answer.status_code == 202, answer.text
    job = round_.result()
    assert job["job_id"] == answer.json()["job_id"]
    assert (job["arrival"]["reason"], job["arrival"]["instances"]) == ("fetched", len(paths))
    round_.wait_for_results(study)
    # Once more: nothing is new, our own results there are not fetched.
    again = round_.service.client.post("/segment", json=wanted)
    assert (again.status_code, again.json()["job_id"]) == (202, job["job_id"])
    unknown = {"dicomweb": "archive", "study_instance_uid": "1.2.3"}
    missing = round_.service.client.post("/segment", json=unknown)
    assert (missing.status_code, missing.json()["code"]) == (404, "STUDY_NOT_FOUND")
    assert len(round_.jobs()) == 1
