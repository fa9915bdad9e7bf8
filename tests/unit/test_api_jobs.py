"""Doors for jobs and operation: state, events, results, cancelling, health, metrics, problems."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.adapters.report_json import report_to_json
from service.application.ports import CanaryAnswer
from service.bootstrap.gateway import utc_now
from service.domain.errors import GeometryError
from service.domain.geometry import Geometry
from service.domain.job import Failure, Job
from service.domain.volume import Volume
from tests.api import RESULTS, ApiWorld
from tests.results import report_of
from tests.strategies import mr_series
from tests.unit.test_api_studies import assert_problem

MEDIA_TYPES = {
    "report": "application/json",
    "structured-report": "application/dicom",
    "key-image": "application/dicom",
    "segmentation": "application/dicom",
    "mask": "application/gzip",
    "preview": "image/png",
}
NAMES = dict(zip(MEDIA_TYPES, RESULTS, strict=True))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    with ApiWorld(tmp_path_factory.mktemp("api")) as world:
        yield world


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[ApiWorld]:
    """Give an API that no other test has used."""
    with ApiWorld(tmp_path) as world:
        yield world


def events(world: ApiWorld, job: Job, **headers: str) -> list[dict[str, Any]]:
    """Follow a job to its end; return the events with their data read."""
    answer = world.client.get(f"/jobs/{job.job_id}/events", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.text.replace("\r\n", "\n").strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


def test_a_running_job_shows_stage_and_progress(world: ApiWorld) -> None:
    job = world.claim(world.queue_job())
    job = world.put(job, job.entered("1" * 32, "infer", 0.4, utc_now()))
    view = world.client.get(f"/jobs/{job.job_id}").json()
    assert (view["state"], view["stage"], view["progress"]) == ("RUNNING", "infer", 0.4)
    assert view["timings"]["waited_s"] >= 0
    assert [stage["stage"] for stage in view["timings"]["stages"]] == ["read", "infer"]
    assert view["timings"]["stages"][1]["seconds"] is None
    assert [step["after"] for step in view["transitions"]] == ["QUEUED", "RUNNING"]
    assert "1" * 32 not in json.dumps(view)


def test_a_failed_job_names_the_reason_and_who_can_fix_it(world: ApiWorld) -> None:
    job = world.claim(world.queue_job())
    error = GeometryError("slices are 3 and 5 mm apart")
    job = world.put(job, job.failed(Failure.of(error), utc_now()))
    view = world.client.get(f"/jobs/{job.job_id}").json()
    assert view["failure"] == {
        "code": "BAD_GEOMETRY",
        "message": "slices are 3 and 5 mm apart",
        "fixed_by": "sender of the study",
    }
    assert_problem(world.client.get(f"/jobs/{job.job_id}/report"), 404, "RESULT_NOT_AVAILABLE")


def test_jobs_are_listed_newest_first(world: ApiWorld) -> None:
    made = [world.queue_job().job_id for _ in range(3)]
    listed = world.client.get("/jobs", params={"limit": 2}).json()["jobs"]
    assert [job["job_id"] for job in listed] == [made[2], made[1]]
    assert_problem(world.client.get("/jobs", params={"limit": 0}), 422, "INVALID_REQUEST")


@pytest.mark.parametrize("link", MEDIA_TYPES)
def test_results_are_served_and_linked(world: ApiWorld, link: str) -> None:
    job = world.finish(world.claim(world.queue_job()), "thrombus_found")
    answer = world.client.get(world.client.get(f"/jobs/{job.job_id}").json()["links"][link])
    assert answer.content == RESULTS[NAMES[link]]
    assert answer.headers["content-type"] == MEDIA_TYPES[link]


@pytest.mark.parametrize("link", MEDIA_TYPES)
def test_results_of_a_waiting_job_are_not_there_yet(world: ApiWorld, link: str) -> None:
    answer = world.client.get(f"/jobs/{world.queue_job().job_id}/{link}")
    assert_problem(answer, 404, "RESULT_NOT_AVAILABLE")
    assert "QUEUED" in answer.json()["detail"]


def test_a_negative_study_has_a_report_and_no_segmentation(world: ApiWorld) -> None:
    job = world.claim(world.queue_job())
    job = world.finish(job, "no_thrombus_found", ("report.json", "preview.png"))
    base = f"/jobs/{job.job_id}"
    assert world.client.get(f"{base}/report").status_code == 200
    assert "segmentation" not in world.client.get(base).json()["links"]
    answer = world.client.get(f"{base}/segmentation")
    assert_problem(answer, 404, "RESULT_NOT_AVAILABLE")
    assert "no thrombus was found" in answer.json()["detail"]


def test_what_was_not_written_is_told_with_its_reason(world: ApiWorld) -> None:
    job = world.claim(world.queue_job())
    job = world.finish(job, "no_thrombus_found", ("report.json", "preview.png"))
    answer = world.client.get(f"/jobs/{job.job_id}/key-image")
    assert "THROMBOLENS_KEY_IMAGE was not set" in answer.json()["detail"]
    job = world.claim(world.queue_job())
    job = world.finish(job, "insufficient_input", ("report.json",))
    answer = world.client.get(f"/jobs/{job.job_id}/preview")
    assert "could not be analysed" in answer.json()["detail"]
    job = world.finish(world.claim(world.queue_job()), "thrombus_found", ("report.json",))
    answer = world.client.get(f"/jobs/{job.job_id}/segmentation")
    assert "did not write it" in answer.json()["detail"]


def test_reports_are_served_as_fhir(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Volume(np.ones((3, 4, 4), np.int16), Geometry(np.eye(4), (3, 4, 4), "1.2.3"))
    written = report_to_json(report_of(None, mr_series(image)))
    monkeypatch.setitem(RESULTS, "report.json", written)
    job = world.finish(world.claim(world.queue_job()), "no_thrombus_found", ("report.json",))
    links = world.client.get(f"/jobs/{job.job_id}").json()["links"]
    answer = world.client.get(links["fhir"])
    assert answer.headers["content-type"] == "application/fhir+json"
    kinds = [entry["resource"]["resourceType"] for entry in answer.json()["entry"]]
    assert kinds == ["DiagnosticReport", "Device", "Observation"]


def test_a_report_of_another_version_has_no_fhir(world: ApiWorld) -> None:
    job = world.finish(world.claim(world.queue_job()), "thrombus_found")
    answer = world.client.get(f"/jobs/{job.job_id}/fhir")
    assert_problem(answer, 404, "RESULT_NOT_AVAILABLE")
    assert "another version" in answer.json()["detail"]


def test_cancelling(world: ApiWorld) -> None:
    waiting, running = world.queue_job(), world.claim(world.queue_job())
    answer = world.client.delete(f"/jobs/{waiting.job_id}")
    assert (answer.status_code, answer.json()["state"]) == (202, "CANCELLED")
    answer = world.client.delete(f"/jobs/{running.job_id}")
    assert (answer.status_code, answer.json()["state"]) == (202, "CANCELLING")
    assert_problem(world.client.delete(f"/jobs/{waiting.job_id}"), 409, "ILLEGAL_TRANSITION")
    assert_problem(world.client.delete(f"/jobs/{running.job_id}"), 409, "ILLEGAL_TRANSITION")


@pytest.mark.parametrize("path", ["", "/events", *(f"/{link}" for link in MEDIA_TYPES)])
def test_unknown_jobs_are_named(world: ApiWorld, path: str) -> None:
    assert_problem(world.client.get(f"/jobs/nope{path}"), 404, "UNKNOWN_JOB")
    assert_problem(world.client.delete("/jobs/nope"), 404, "UNKNOWN_JOB")


def test_events_follow_a_job_to_its_end(world: ApiWorld) -> None:
    job = world.queue_job()

    def work() -> None:
        time.sleep(0.4)
        claimed = world.claim(job)
        time.sleep(0.4)
        world.finish(claimed, "thrombus_found")

    worker = threading.Thread(target=work)
    worker.start()
    found = events(world, job)
    worker.join()
    assert [event["data"]["state"] for event in found] == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert {event["event"] for event in found} == {"job"}
    numbers = [int(event["id"]) for event in found]
    assert numbers == sorted(set(numbers))


def test_a_renewed_lease_is_no_event(world: ApiWorld) -> None:
    job = world.claim(world.queue_job())

    def work() -> None:
        time.sleep(0.3)
        renewed = world.put(job, job.renewed(world.gateway.limits.lease("1" * 32, utc_now())))
        time.sleep(0.3)
        world.finish(renewed, "thrombus_found")

    worker = threading.Thread(target=work)
    worker.start()
    states = [event["data"]["state"] for event in events(world, job)]
    worker.join()
    assert states == ["RUNNING", "SUCCEEDED"]


def test_events_are_taken_up_again(world: ApiWorld) -> None:
    job = world.finish(world.claim(world.queue_job()), "thrombus_found")
    (last,) = events(world, job, **{"last-event-id": "0"})
    assert last["data"]["state"] == "SUCCEEDED"
    path = f"/jobs/{job.job_id}/events"
    assert world.client.get(path, headers={"last-event-id": last["id"]}).status_code == 204
    answer = world.client.get(path, headers={"last-event-id": "seven"})
    assert_problem(answer, 422, "INVALID_REQUEST")


def test_health(fresh: ApiWorld) -> None:
    assert fresh.client.get("/health/live").json() == {"status": "live"}
    fresh.claim(fresh.queue_job())
    ready = fresh.client.get("/health/ready").json()
    assert (ready["status"], ready["evidence"]) == ("ready", "running_job")


def test_no_worker_is_asked_once_however_many_want_to_know(fresh: ApiWorld) -> None:
    """Those who wait for a check take its answer; the next ones take it for a moment."""
    with ThreadPoolExecutor(8) as many:
        answers = list(many.map(lambda _: fresh.client.get("/health/ready"), range(8)))
    for answer in (*answers, fresh.client.get("/health/ready")):
        assert_problem(answer, 503, "NO_WORKER")
    assert len(_canaries(fresh)) == 1


def test_readiness_holds_for_some_seconds(tmp_path: Path) -> None:
    """A canary is answered once; the second question is answered from memory."""
    with ApiWorld(tmp_path, ready_timeout_seconds=5) as world:
        database = world.gateway.database

        def answer_one() -> None:
            while not (asked := _canaries(world)):
                time.sleep(0.02)
            answer = CanaryAnswer("CPUExecutionProvider", None)
            database.answer_canary(asked[0], answer, utc_now())

        worker = threading.Thread(target=answer_one)
        worker.start()
        first = world.client.get("/health/ready").json()
        worker.join()
        assert first["execution_provider"] == "CPUExecutionProvider"
        assert world.client.get("/health/ready").json() == first
        assert len(_canaries(world)) == 1


def _canaries(world: ApiWorld) -> list[str]:
    """Return the identifiers of the canaries that were sent."""
    database = world.settings.data_dir / "jobs.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute("SELECT canary_id FROM canaries")]


def test_metrics_count_jobs_stages_failures_and_requests(fresh: ApiWorld) -> None:
    fresh.queue_job()
    fresh.finish(fresh.claim(fresh.queue_job()), "thrombus_found")
    failing = fresh.claim(fresh.queue_job())
    fresh.put(failing, failing.failed(Failure.of(GeometryError("x")), utc_now()))
    answer = fresh.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    assert 'thrombolens_jobs{state="QUEUED"} 1.0' in lines
    assert 'thrombolens_jobs{state="SUCCEEDED"} 1.0' in lines
    assert 'thrombolens_jobs{state="RUNNING"} 0.0' in lines
    assert 'thrombolens_stage_seconds_count{stage="read"} 2.0' in lines
    assert 'thrombolens_job_failures_total{code="BAD_GEOMETRY"} 1.0' in lines
    age = next(line for line in lines if line.startswith("thrombolens_oldest_queued_seconds "))
    assert float(age.split()[1]) > 0
    assert any('route="/segment",status="202"' in line for line in lines)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing/here", 404, "NOT_FOUND"),
        ("PUT", "/segment", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/jobs/x/report", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_wrong_paths_and_methods(
    world: ApiWorld, method: str, path: str, status: int, code: str
) -> None:
    assert_problem(world.client.request(method, path), status, code)


def test_a_database_that_fails_is_a_problem_not_a_crash(fresh: ApiWorld) -> None:
    with fresh.broken_database():
        for path in ("/jobs", "/jobs/x", "/metrics"):
            assert_problem(fresh.client.get(path), 503, "JOB_DATABASE_UNAVAILABLE")


def test_an_unexpected_error_tells_nothing_about_the_inside(fresh: ApiWorld) -> None:
    @fresh.app.get("/crash")
    def crash() -> None:
        raise ZeroDivisionError("DOE^JANE at /secret/path")

    answer = fresh.client.get("/crash")
    assert_problem(answer, 500, "INTERNAL_ERROR")
    assert "secret" not in answer.text
