"""STOW-RS, the list of arrivals, and what a job shows of how its study arrived."""

import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydicom.dataset import Dataset

from tests.api import ApiWorld
from tests.arrival import FLAIR, PATIENT, plain, series
from tests.results import GRID, IMAGE, labels, segmentation_of
from tests.strategies import mr_series, uid

RELATED = 'multipart/related; type="application/dicom"; boundary=limit'
POLICY = {"series_quiet_seconds": 0.2, "study_quiet_seconds": 0.2, "deadline_seconds": 60}
STORED, FAILED, UNKNOWN = "00081199", "00081198", "0008119A"


def sources(folder: Path, **stow: Any) -> Path:
    path = folder / "sources.yaml"
    entry = {"name": "web", "kind": "stow", "policy": POLICY, **stow}
    path.write_text(yaml.safe_dump({"version": 1, "sources": [entry]}))
    return path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    with ApiWorld(tmp_path, sources=sources(tmp_path), arrival_reserve_bytes=0) as world:
        yield world


def encoded(instance: Dataset) -> bytes:
    buffer = BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def body(parts: Sequence[bytes]) -> bytes:
    head = b"--limit\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join([*(head + part + b"\r\n" for part in parts), b"--limit--\r\n"])


def store(
    world: ApiWorld, parts: Sequence[bytes], study: str = "", **headers: str
) -> httpx.Response:
    path = f"/dicom-web/studies{study}"
    sent = {"content-type": RELATED, **headers}
    return world.client.post(path, content=body(parts), headers=sent)


def reasons(answer: httpx.Response, sequence: str) -> list[int]:
    return [each["00081197"]["Value"][0] for each in answer.json()[sequence]["Value"]]


def started(world: ApiWorld) -> dict[str, Any]:
    """Wait for the study to be quiet, and return its job as the API shows it."""
    time.sleep(0.3)
    (job,) = world.gateway.arrivals.start_due()
    view: dict[str, Any] = world.client.get(f"/jobs/{job.job_id}").json()
    return view


def test_what_is_stored_becomes_a_job_that_says_how_it_arrived(world: ApiWorld) -> None:
    instances = series("a")
    answer = store(world, [encoded(each) for each in instances])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+json")
    told = [each["00081155"]["Value"][0] for each in answer.json()[STORED]["Value"]]
    assert told == [each.SOPInstanceUID for each in instances]
    (waiting,) = world.client.get("/arrivals").json()["arrivals"]
    assert (waiting["state"], waiting["new"], waiting["job_id"]) == ("COLLECTING", 6, None)
    assert waiting["starts_at"] is not None
    job = started(world)
    assert job["arrival"]["source"] == "web"
    assert job["arrival"]["reason"] == "quiet"
    assert job["arrival"]["policy"]["late_series"] == "rerun"
    assert (job["arrival"]["instances"], job["arrival"]["duplicates"]) == (6, 0)
    (arrival,) = world.client.get("/arrivals").json()["arrivals"]
    assert (arrival["state"], arrival["job_id"]) == ("STARTED", job["job_id"])
    upload = world.gateway.folders.upload(job["job_id"])
    assert len(list(upload.iterdir())) == 6


def test_the_response_says_that_nothing_can_be_retrieved(world: ApiWorld) -> None:
    answer = store(world, [encoded(series("a")[0]), b"no DICOM"]).json()
    # Type 2 (PS3.18 table I.1-1): present, and empty where there is no such address.
    assert answer["00081190"] == {"vr": "UR"}
    (stored,) = answer[STORED]["Value"]
    assert stored["00081190"] == {"vr": "UR"}
    (unknown,) = answer[UNKNOWN]["Value"]
    assert "00081190" not in unknown


def test_a_late_series_supersedes_and_both_jobs_say_so(world: ApiWorld) -> None:
    store(world, [encoded(each) for each in series("a")])
    first = started(world)
    store(world, [encoded(each) for each in series("a", "flair", **FLAIR)])
    second = started(world)
    first = world.client.get(f"/jobs/{first['job_id']}").json()
    assert first["arrival"]["superseded_by"] == second["job_id"]
    assert first["arrival"]["late"] == 6
    assert second["arrival"]["supersedes"] == first["job_id"]
    assert (second["arrival"]["round"], second["arrival"]["instances"]) == (2, 12)


def test_own_results_are_refused_and_counted(world: ApiWorld) -> None:
    images = mr_series(IMAGE)
    own = encoded(plain(segmentation_of(labels(GRID), images)))
    alone = store(world, [own])
    assert alone.status_code == 409
    assert reasons(alone, FAILED) == [0x0124]
    mixed = store(world, [own, encoded(images[0])])
    assert mixed.status_code == 202
    assert len(mixed.json()[STORED]["Value"]) == 1
    metrics = world.client.get("/metrics").text
    assert 'thrombolens_refused_instances_total{code="OWN_OUTPUT",source="web"} 2.0' in metrics
    assert 'thrombolens_arrived_instances{receipt="new",source="web"} 1.0' in metrics
    assert 'thrombolens_collecting_studies{source="web"} 1.0' in metrics


def test_instances_of_another_study_than_the_address_says_are_refused(world: ApiWorld) -> None:
    parts = [encoded(series("a")[0]), encoded(series("b")[0])]
    answer = store(world, parts, f"/{uid('study', 'a')}")
    assert answer.status_code == 202
    assert reasons(answer, FAILED) == [0x0110]


def test_what_is_no_dicom_is_told_without_a_name(world: ApiWorld) -> None:
    answer = store(world, [b"no DICOM at all", b"\0" * 128 + b"DICM"])
    assert answer.status_code == 409
    assert reasons(answer, UNKNOWN) == [0xC000, 0xC000]


def test_a_request_that_breaks_the_rules_is_a_problem(world: ApiWorld) -> None:
    path = "/dicom-web/studies"
    xml = {"content-type": 'multipart/related; type="application/dicom+xml"; boundary=limit'}
    assert world.client.post(path, content=b"x", headers=xml).status_code == 415
    related = {"content-type": RELATED}
    assert world.client.post(path, content=b"--limit--\r\n", headers=related).status_code == 400
    cut = body([encoded(series("a")[0])])[:-5]
    assert world.client.post(path, content=cut, headers=related).status_code == 400
    assert world.client.get("/arrivals").json()["arrivals"] == []
    assert world.left_over() == []


def test_nobody_is_named(world: ApiWorld, capfd: pytest.CaptureFixture[str]) -> None:
    store(world, [encoded(each) for each in series("a")])
    started(world)
    shown = world.client.get("/arrivals").text + world.client.get("/metrics").text
    shown += world.client.get("/jobs").text + "".join(capfd.readouterr())
    paths = [str(path) for path in world.settings.data_dir.rglob("*")]
    for told in (shown, *paths):
        assert PATIENT.split("^")[0] not in told
        assert "ID-a" not in told


def test_a_bearer_token_is_asked_for_where_there_is_one(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("hush\n")
    with ApiWorld(
        tmp_path, sources=sources(tmp_path, bearer_file=str(token)), arrival_reserve_bytes=0
    ) as world:
        parts = [encoded(series("a")[0])]
        assert store(world, parts).status_code == 401
        assert store(world, parts, authorization="Bearer wrong").status_code == 401
        assert store(world, parts, authorization="Bearer hush").status_code == 200


def test_without_such_a_source_nobody_can_store(tmp_path: Path) -> None:
    with ApiWorld(tmp_path) as world:
        answer = store(world, [encoded(series("a")[0])])
        assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_SOURCE")
        request = {"dicomweb": "archive", "study_instance_uid": "1.2.3"}
        answer = world.client.post("/segment", json=request)
        assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_SOURCE")


@pytest.mark.parametrize(
    "request_",
    [{"dicomweb": "x"}, {"dicomweb": "x", "study_instance_uid": "../1"}, {"colour": "red"}, []],
)
def test_a_request_for_a_study_must_be_whole(world: ApiWorld, request_: Any) -> None:
    answer = world.client.post("/segment", json=request_)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_REQUEST")
