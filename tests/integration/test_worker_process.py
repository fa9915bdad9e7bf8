"""A real worker process with a small analysis: cancelling, crashing, hanging, readiness."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from tests.api import write_model
from tests.processes import Processes, free_port, wait_until

PATIENCE_S = 120.0


def settings_in(folder: Path, **values: float) -> Settings:
    write_model(folder / "models")
    chosen: dict[str, object] = {
        "data_dir": folder / "data",
        "models_dir": folder / "models",
        "default_model": "net",
        "port": free_port(),
        "recovery_interval_seconds": 0.5,
    }
    return Settings(**chosen | values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    folder = tmp_path_factory.mktemp("worker")
    with Processes(settings_in(folder), folder) as processes:
        processes.start_api()
        processes.start("-m", "tests.fake_worker")
        wait_until(processes.ready, PATIENCE_S, "a worker is ready")
        yield processes


def test_readiness_comes_from_an_inference_in_the_worker(processes: Processes) -> None:
    view = processes.client.get("/health/ready").json()
    assert (view["evidence"], view["execution_provider"]) == ("inference", "FakeExecutionProvider")


def test_a_running_job_is_cancelled_at_its_next_stage(processes: Processes) -> None:
    job_id = processes.post(b"sleep 9")
    wait_until(lambda: processes.job(job_id)["state"] == "RUNNING", PATIENCE_S, "it runs")
    assert processes.client.delete(f"/jobs/{job_id}").json()["state"] == "CANCELLING"
    view = processes.result_of(job_id, PATIENCE_S)
    assert (view["state"], view["attempts"]) == ("CANCELLED", 1)
    assert processes.client.get(f"/jobs/{job_id}/report").status_code == 404


def test_a_worker_tells_of_its_jobs_and_celery_of_nothing_more(processes: Processes) -> None:
    job_id = processes.post(b"empty")
    processes.result_of(job_id, PATIENCE_S)

    def events() -> list[str]:
        return [one["event"] for one in records(processes) if one.get("job_id") == job_id]

    # The log comes a moment after the database.
    wait_until(lambda: "job_succeeded" in events(), 10, "the end is logged")
    assert [event for event in events() if event != "job_queued"] == [
        "job_started",
        "job_succeeded",
    ]
    assert not [one for one in records(processes) if one["logger"].startswith("celery")]


def records(processes: Processes) -> list[dict[str, Any]]:
    whole = processes.logs().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def test_a_crash_fails_the_job_and_not_the_worker(processes: Processes) -> None:
    view = processes.result_of(processes.post(b"crash"), PATIENCE_S)
    assert view["failure"]["code"] == "INTERNAL_ERROR"
    assert "DOE" not in str(view)
    view = processes.result_of(processes.post(b"empty"), PATIENCE_S)
    assert (view["state"], view["result"]) == ("SUCCEEDED", "no_thrombus_found")
    assert "DOE" not in processes.logs()
    assert "ZeroDivisionError" in processes.logs()


def test_an_error_of_the_input_is_told_as_it_is(processes: Processes) -> None:
    view = processes.result_of(processes.post(b"fail"), PATIENCE_S)
    assert view["failure"] == {
        "code": "NOT_DICOM",
        "message": "none of 1 files is a DICOM instance",
        "fixed_by": "sender of the study",
    }


def test_a_worker_that_hangs_past_the_deadline_fails_the_job_and_ends(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, job_timeout_seconds=4, lease_seconds=2)
    with Processes(settings, tmp_path) as processes:
        processes.start_api()
        worker = processes.start("-m", "tests.fake_worker")
        job_id = processes.post(b"sleep 900")
        view = processes.result_of(job_id, PATIENCE_S)
        assert (view["state"], view["failure"]["code"]) == ("FAILED", "TIMEOUT")
        assert worker.wait(PATIENCE_S) == 70
        assert processes.client.get(f"/jobs/{job_id}/report").status_code == 404
