"""The whole service as separate processes: real Redis, real workers, real inference."""

import io
import json
import os
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from service.adapters.job_database import JobDatabase
from service.domain.job import JobState
from service.settings import Settings
from tests.processes import (
    Processes,
    free_port,
    is_running,
    redis_server,
    sigkill,
    wait_until,
)
from tests.strategies import mr_series
from tests.tiny_model import CLOT, NAME, install_tiny_model, small_head
from tests.unit.test_analyse_study import SWI

SERIES: dict[str, Any] = {**SWI, "PatientName": "DOE^JANE"}
# A machine that is busy with other things takes long.
PATIENCE_S = 240.0
SERVE = "from service.bootstrap.processes import serve; from service.settings import Settings; "


def zipped(*, clot: bool) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for instance in mr_series(small_head(clot=clot), **SERIES):
            buffer = io.BytesIO()
            instance.save_as(buffer, enforce_file_format=True)
            archive.writestr(f"DOE_JANE/{instance.SOPInstanceUID}", buffer.getvalue())
    return stream.getvalue()


@pytest.fixture(scope="module")
def study() -> bytes:
    return zipped(clot=True)


def settings_in(folder: Path, broker_url: str | None = None) -> Settings:
    install_tiny_model(folder / "models")
    return Settings(
        data_dir=folder / "data",
        models_dir=folder / "models",
        default_model=NAME,
        port=free_port(),
        broker_url=broker_url,
        inference_threads=1,
        # Longer than a thread waits for its turn on a machine that is far too busy.
        lease_seconds=10,
        max_attempts=5,
        recovery_interval_seconds=0.5,
        ring_again_seconds=2,
    )


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    with redis_server(tmp_path, free_port()) as url:
        yield url


def stored_states(settings: Settings, job_id: str) -> list[tuple[JobState, str | None]]:
    """Return the states a job went through, with the lease of each, from the database."""
    database = JobDatabase(settings.database_address)
    steps = database.get(job_id).transitions
    database.close()
    return [(step.after, step.lease) for step in steps]


def test_ten_studies_two_workers_and_one_killed_give_ten_results(
    tmp_path: Path, redis: str, study: bytes
) -> None:
    settings = settings_in(tmp_path, redis)
    with Processes(settings, tmp_path) as processes:
        processes.start_api()
        workers = [processes.start("-m", "service.entrypoints.worker") for _ in range(2)]
        ready = wait_until(
            lambda: processes.client.get("/health/ready").status_code == 200,
            60,
            "a worker is ready",
        )
        assert ready
        job_ids = [processes.post(study) for _ in range(10)]

        def running() -> list[str]:
            return [j for j in job_ids if processes.job(j)["state"] == "RUNNING"]

        wait_until(lambda: len(running()) == 2, PATIENCE_S, "both workers run a job")
        sigkill(workers[0])
        views = [processes.result_of(j, PATIENCE_S) for j in job_ids]

        assert [view["state"] for view in views] == ["SUCCEEDED"] * 10
        assert max(view["attempts"] for view in views) >= 2
        for job_id in job_ids:
            steps = stored_states(settings, job_id)
            (lease,) = [lease for state, lease in steps if state is JobState.SUCCEEDED]
            (folder,) = (settings.results_dir / job_id).iterdir()
            assert folder.name == lease
        reports = [processes.client.get(f"/jobs/{j}/report").json() for j in job_ids]
        assert {report["result"] for report in reports} == {"thrombus_found"}
        assert len({report["segmentation_sop_instance_uid"] for report in reports}) == 1
        assert "DOE" not in processes.logs()


def test_a_bell_that_rings_into_the_void_is_rung_again(tmp_path: Path, study: bytes) -> None:
    """Redis is down when the study comes, then starts empty: the database knows the job."""
    port = free_port()
    settings = settings_in(tmp_path, f"redis://127.0.0.1:{port}/0")
    with Processes(settings, tmp_path) as processes:
        processes.start_api()
        job_id = processes.post(study)
        assert processes.client.get("/health/ready").status_code == 503
        with redis_server(tmp_path, port):
            processes.start("-m", "service.entrypoints.worker")
            view = processes.result_of(job_id, PATIENCE_S)
    assert view["state"] == "SUCCEEDED"


def serving(processes: Processes) -> subprocess.Popen[bytes]:
    """Start the embedded service and wait until it is ready."""
    process = processes.start("-c", SERVE + "raise SystemExit(serve(Settings.load()))")
    wait_until(processes.alive, PATIENCE_S, "the API answers")
    wait_until(processes.ready, PATIENCE_S, "a worker is ready")
    return process


def children_of(process: subprocess.Popen[bytes]) -> dict[str, int]:
    """Return the process numbers of API and worker."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in listed}
    return {command[2].rsplit(".", 1)[1]: pid for pid, command in commands.items()}


def test_the_embedded_service_analyses_a_study(tmp_path: Path, study: bytes) -> None:
    with Processes(settings_in(tmp_path), tmp_path) as processes:
        process = serving(processes)
        view = processes.result_of(processes.post(study), PATIENCE_S)
        assert (view["state"], view["result"]) == ("SUCCEEDED", "thrombus_found")
        results = {
            link: processes.client.get(path).content
            for link, path in view["links"].items()
            if link not in ("self", "events", "deliveries")
        }
        dicom = {"segmentation", "structured-report"}
        assert set(results) == {"report", "fhir", "mask", "preview"} | dicom
        (finding,) = json.loads(results["report"])["findings"]
        assert finding["centroid_lps"] == pytest.approx(CLOT, abs=2.0)
        segmentation = pydicom.dcmread(io.BytesIO(results["segmentation"]))
        assert segmentation.Modality == "SEG"
        report = pydicom.dcmread(io.BytesIO(results["structured-report"]))
        assert report.StudyInstanceUID == segmentation.StudyInstanceUID
        assert json.loads(results["fhir"])["resourceType"] == "Bundle"
        assert results["preview"].startswith(b"\x89PNG")
        children = children_of(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not any(is_running(pid) for pid in children.values())


def test_the_embedded_service_survives_its_worker_and_its_own_end(
    tmp_path: Path, study: bytes
) -> None:
    with Processes(settings_in(tmp_path), tmp_path) as processes:
        process = serving(processes)
        first = processes.post(study)
        wait_until(lambda: processes.job(first)["state"] == "RUNNING", PATIENCE_S, "the job runs")
        os.kill(children_of(process)["worker"], signal.SIGKILL)
        view = processes.result_of(first, PATIENCE_S)
        assert view["state"] == "SUCCEEDED"
        assert view["attempts"] >= 2

        second = processes.post(study)
        children = children_of(process)
        sigkill(process)
        wait_until(
            lambda: not any(is_running(pid) for pid in children.values()), 30, "the children end"
        )
        serving(processes)
        view = processes.result_of(second, PATIENCE_S)
        assert view["state"] == "SUCCEEDED"
        assert processes.job(first)["state"] == "SUCCEEDED"


def test_bad_studies_fail_with_a_reason_and_good_ones_go_on(tmp_path: Path) -> None:
    with Processes(settings_in(tmp_path), tmp_path) as processes:
        serving(processes)
        bad = processes.post(b"no dicom at all")
        negative = processes.post(zipped(clot=False))
        view = processes.result_of(bad, PATIENCE_S)
        assert (view["state"], view["failure"]["code"]) == ("FAILED", "NOT_DICOM")
        view = processes.result_of(negative, PATIENCE_S)
        assert (view["state"], view["result"]) == ("SUCCEEDED", "no_thrombus_found")
        answer = processes.client.get(f"/jobs/{negative}/segmentation")
        assert (answer.status_code, answer.json()["code"]) == (404, "RESULT_NOT_AVAILABLE")
        assert processes.client.get(f"/jobs/{negative}/report").status_code == 200
