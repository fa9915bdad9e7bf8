"""Fetching from archives that do not do what they should."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import Response
from pydicom.dataset import Dataset

from tests.api import ApiWorld
from tests.arrival import FLAIR, PATIENT, series
from tests.http_peers import HttpServer, Received
from tests.processes import free_port, wait_until
from tests.strategies import uid

STUDY = uid("study", "a")
RELATED = 'multipart/related; type="application/dicom"; boundary=limit'


def listed(instances: list[Dataset], *keywords: str) -> Response:
    items = [json.loads(each.to_json()) for each in instances]
    kept = [{tag: item[tag] for tag in keywords if tag in item} for item in items]
    return Response(json.dumps(kept), media_type="application/dicom+json")


def parts(instances: list[Dataset]) -> bytes:
    body = b""
    for each in instances:
        buffer = BytesIO()
        each.save_as(buffer, enforce_file_format=True)
        body += b"--limit\r\nContent-Type: application/dicom\r\n\r\n" + buffer.getvalue() + b"\r\n"
    return body + b"--limit--\r\n"


class Archive:
    """Answers like an archive with one study; ``spoil`` may answer otherwise."""

    def __init__(
        self,
        spoil: Callable[[Received], Response | None] = lambda _: None,
        instances: Sequence[Dataset] = (),
    ) -> None:
        self.instances = list(instances) or series("a")
        self.spoil = spoil

    def __call__(self, request: Received) -> Response:
        spoilt = self.spoil(request)
        if spoilt is not None:
            return spoilt
        if not request.path.startswith(f"/studies/{STUDY}/series"):
            return Response(status_code=404)
        if request.path.endswith("/series"):
            firsts = {each.SeriesInstanceUID: each for each in reversed(self.instances)}
            return listed(list(reversed(firsts.values())), "0020000E", "00080060")
        wanted = request.path.removesuffix("/instances").rpartition("/")[2]
        found = [each for each in self.instances if each.SeriesInstanceUID == wanted]
        if request.path.endswith("/instances"):
            return listed(found, "00080018")
        return Response(parts(found), media_type=RELATED)


@contextmanager
def fetching(folder: Path, url: str, **settings: Any) -> Iterator[ApiWorld]:
    entry = {"name": "archive", "kind": "dicomweb", "url": url, "timeout_seconds": 10}
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "sources": [entry]}))
    with ApiWorld(folder, sources=path, arrival_reserve_bytes=0, **settings) as world:
        yield world


def ask(world: ApiWorld, study: str = STUDY) -> httpx.Response:
    return world.client.post("/segment", json={"dicomweb": "archive", "study_instance_uid": study})


def when(path: str, answer: Response) -> Callable[[Received], Response | None]:
    return lambda request: answer if request.path.endswith(path) else None


def wado(request: Received) -> bool:
    return "multipart" in request.headers.get("accept", "")


SPOILS: dict[str, Callable[[Received], Response | None]] = {
    "no-list": when("/series", Response(status_code=500)),
    "no-json": when("/series", Response("<html/>", media_type="text/html")),
    "endless-json": when("/series", Response("[" * 200_000, media_type="application/json")),
    "no-instances-listed": when("/instances", Response(status_code=503)),
    "wado-refuses": lambda r: Response(status_code=406) if wado(r) else None,
    "no-multipart": lambda r: Response(b"DICM") if wado(r) else None,
    "cut-off": lambda r: Response(parts(series("a"))[:-9], media_type=RELATED) if wado(r) else None,
    "too-few": lambda r: Response(parts(series("a")[:4]), media_type=RELATED) if wado(r) else None,
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=list(SPOILS))
def test_an_archive_that_fails_is_told_and_starts_nothing(
    tmp_path: Path, spoil: Callable[[Received], Response | None]
) -> None:
    with (
        HttpServer(Archive(spoil)).serving() as url,
        fetching(tmp_path, url) as world,
    ):
        answer = ask(world)
        assert (answer.status_code, answer.json()["code"]) == (502, "SOURCE_FAILED")
        assert answer.json()["fixed_by"] == "operator of the source"
        assert PATIENT.split("^")[0] not in answer.text
        assert world.client.get("/jobs").json()["jobs"] == []
        assert world.left_over() == []


@pytest.mark.parametrize("study", ["..", ".", "1..2", ".1", "1.", "", "1.2/..", "1" * 65])
def test_what_is_no_uid_is_asked_for_nowhere(tmp_path: Path, study: str) -> None:
    server = HttpServer(Archive())
    with server.serving() as url, fetching(tmp_path, url) as world:
        answer = ask(world, study)
        assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_REQUEST")
        assert server.received == []


@pytest.mark.parametrize("listed_as", ["..", "."])
def test_a_series_that_is_a_step_in_a_path_is_not_followed(tmp_path: Path, listed_as: str) -> None:
    archive = Archive()
    for each in archive.instances:
        each.add_new("SeriesInstanceUID", "LO", listed_as)
    server = HttpServer(archive)
    with server.serving() as url, fetching(tmp_path, url) as world:
        answer = ask(world)
        assert (answer.status_code, answer.json()["code"]) == (502, "SOURCE_FAILED")
        assert [each.path for each in server.received] == [f"/studies/{STUDY}/series"]


def test_what_came_before_the_failure_is_kept_and_the_rest_fetched(tmp_path: Path) -> None:
    archive = Archive(SPOILS["too-few"])
    server = HttpServer(archive)
    with server.serving() as url, fetching(tmp_path, url) as world:
        assert ask(world).status_code == 502
        archive.spoil = lambda _: None
        job = ask(world).json()
        assert job["arrival"]["instances"] == 6
        assert job["arrival"]["reason"] == "fetched"
        before = len(server.received)
        assert ask(world).json()["job_id"] == job["job_id"]
        assert not any(wado(each) for each in server.received[before:])


def test_a_series_that_came_whole_is_kept_when_the_next_one_fails(tmp_path: Path) -> None:
    both = [*series("a"), *series("a", "flair", **FLAIR)]
    second = both[-1].SeriesInstanceUID

    def broken(request: Received) -> Response | None:
        at_second = wado(request) and request.path.endswith(second)
        return Response(status_code=500) if at_second else None

    archive = Archive(broken, both)
    server = HttpServer(archive)
    with server.serving() as url, fetching(tmp_path, url) as world:
        assert ask(world).status_code == 502
        (arrival,) = world.client.get("/arrivals").json()["arrivals"]
        assert (arrival["state"], arrival["new"]) == ("COLLECTING", 6)
        archive.spoil = lambda _: None
        before = len(server.received)
        assert ask(world).json()["arrival"]["instances"] == 12
        again = [each.path for each in server.received[before:] if wado(each)]
        assert again == [f"/studies/{STUDY}/series/{second}"]
        assert world.left_over() == []


def test_fetches_that_take_long_leave_room_for_the_rest_of_the_api(tmp_path: Path) -> None:
    asked, answers = threading.Event(), threading.Event()

    def slow(_: Received) -> None:
        asked.set()
        answers.wait(20)

    with (
        HttpServer(Archive(slow)).serving() as url,
        fetching(tmp_path, url, max_fetches=1) as world,
    ):
        first: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: first.append(ask(world)))
        thread.start()
        try:
            wait_until(asked.is_set, 10, "the first fetch runs")
            refused = ask(world)
            assert (refused.status_code, refused.json()["code"]) == (503, "BUSY")
            assert int(refused.headers["retry-after"]) > 0
            assert world.client.get("/health/live").status_code == 200
        finally:
            answers.set()
            thread.join()
        assert first[0].status_code == 202
        assert ask(world).json()["job_id"] == first[0].json()["job_id"]


def test_a_job_that_was_cancelled_is_made_anew_when_asked_for(tmp_path: Path) -> None:
    with HttpServer(Archive()).serving() as url, fetching(tmp_path, url) as world:
        first = ask(world).json()["job_id"]
        assert world.client.delete(f"/jobs/{first}").status_code == 202
        second = ask(world).json()
        assert second["job_id"] != first
        assert (second["arrival"]["supersedes"], second["arrival"]["round"]) == (first, 2)


def test_nobody_there(tmp_path: Path) -> None:
    with fetching(tmp_path, f"http://127.0.0.1:{free_port()}") as world:
        assert (ask(world).status_code, ask(world).json()["code"]) == (502, "SOURCE_FAILED")


def test_a_study_that_the_archive_does_not_have(tmp_path: Path) -> None:
    with HttpServer(Archive()).serving() as url, fetching(tmp_path, url) as world:
        answer = ask(world, "1.2.3")
        assert (answer.status_code, answer.json()["code"]) == (404, "STUDY_NOT_FOUND")
