"""Delivery by STOW-RS and QIDO-RS to a real HTTP server that behaves well or badly."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import Response

from service.domain.destination import ObjectKind
from tests.delivered import PATIENT, STUDY, UIDS, DeliveryWorld, entry
from tests.http_peers import DICOM_JSON, HttpServer, Received
from tests.processes import free_port

SEG = UIDS[ObjectKind.SEGMENTATION]
SR = UIDS[ObjectKind.STRUCTURED_REPORT]
KEY = UIDS[ObjectKind.KEY_IMAGE]


def item(uid: str, **reason: int) -> dict[str, Any]:
    """Return an item of a store response in DICOM JSON."""
    tags = {"FailureReason": "00081197", "WarningReason": "00081196"}
    told = {tags[name]: {"vr": "US", "Value": [code]} for name, code in reason.items()}
    return {"00081155": {"vr": "UI", "Value": [uid]}, **told}


def response(status: int, stored: list[Any], failed: list[Any]) -> Response:
    content: dict[str, Any] = {}
    if stored:
        content["00081199"] = {"vr": "SQ", "Value": stored}
    if failed:
        content["00081198"] = {"vr": "SQ", "Value": failed}
    return Response(json.dumps(content), status, media_type=DICOM_JSON)


def spoilt(status: int, warning: Any, failure: Any, number: str) -> Response:
    """Return a response about all objects with a number that JSON does not know as reason."""
    stored = [item(each, WarningReason=warning) for each in (SEG, SR, KEY) if warning]
    failed = [item(each, FailureReason=failure) for each in (SEG, SR, KEY) if failure]
    body = bytes(response(status, stored, failed).body).decode()
    return Response(body.replace(str(warning or failure), number), status, media_type=DICOM_JSON)


def all_stored(came: Received) -> Response:
    return response(200, [item(uid) for uid in came.uids()], [])


class Archive:
    """A good DICOMweb service: stores, and finds what it holds."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.finds = True

    def __call__(self, came: Received) -> Response:
        if came.method == "POST":
            self.held |= set(came.uids())
            return all_stored(came)
        assert came.path == f"/dicom-web/studies/{STUDY}/instances"
        uid = came.query["SOPInstanceUID"]
        if not self.finds or uid not in self.held:
            return Response(status_code=204)
        found = [{"00080018": {"vr": "UI", "Value": [uid]}}]
        return Response(json.dumps(found), media_type=DICOM_JSON)


def world_for(folder: Path, address: str, **values: Any) -> DeliveryWorld:
    chosen = {"confirm": "none", "timeout_seconds": 3} | values
    world = DeliveryWorld(folder, entry(kind="stow", url=f"{address}/dicom-web/", **chosen))
    world.finish()
    return world


def delivered(folder: Path, script: Any, **values: Any) -> tuple[DeliveryWorld, HttpServer]:
    server = HttpServer(script)
    with server.serving() as address:
        world = world_for(folder, address, **values)
        assert world.deliverer().deliver_due() == 1
    return world, server


def test_what_is_found_afterwards_is_delivered(tmp_path: Path) -> None:
    world, server = delivered(tmp_path, Archive(), confirm="qido")
    store, *queries = server.received
    assert (store.method, store.path) == ("POST", "/dicom-web/studies")
    assert store.headers["content-type"].startswith('multipart/related; type="application/dicom"')
    assert store.headers["accept"] == DICOM_JSON
    assert store.uids() == [SEG, SR, KEY]
    assert {str(each.PatientName) for each in store.instances()} == {PATIENT}
    assert len(queries) == 3
    assert world.only().state == "DELIVERED"


def test_what_is_not_found_is_sent_again(tmp_path: Path) -> None:
    archive = Archive()
    archive.finds = False
    server = HttpServer(archive)
    with server.serving() as address:
        world = world_for(tmp_path, address, confirm="qido")
        world.deliverer().deliver_due()
        assert world.only().state == "PENDING"
        assert set(world.statuses().values()) == {"QIDO-RS did not find it"}
        archive.finds = True
        world.clock.pass_by(10)
        world.deliverer().deliver_due()
    assert [each.method for each in server.received].count("POST") == 2
    assert world.only().state == "DELIVERED"


def test_a_search_that_answers_for_the_whole_study_is_read_for_ours(tmp_path: Path) -> None:
    def script(came: Received) -> Response:
        if came.method == "POST":
            return all_stored(came)
        found = [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in ("9.9", SEG)]
        return Response(json.dumps(found), media_type=DICOM_JSON)

    world, _ = delivered(tmp_path, script, confirm="qido")
    assert world.states() == {
        "segmentation": "CONFIRMED",
        "structured_report": "REFUSED",
        "key_image": "REFUSED",
    }


@pytest.mark.parametrize("status", [202, 409])
def test_only_the_instances_that_failed_are_sent_again(tmp_path: Path, status: int) -> None:
    def grudging(_: Received) -> Response:
        return response(
            status,
            [item(SR), item(KEY, WarningReason=0xB000)],
            [item(SEG, FailureReason=0xA700)],
        )

    server = HttpServer(grudging)
    with server.serving() as address:
        world = world_for(tmp_path, address)
        world.deliverer().deliver_due()
        assert world.statuses() == {
            "segmentation": f"HTTP {status}, A700H",
            "structured_report": f"HTTP {status}",
            "key_image": f"HTTP {status}, warning B000H",
        }
        assert world.only().state == "PENDING"
        server.script = all_stored
        world.clock.pass_by(10)
        world.deliverer().deliver_due()
    assert server.received[-1].uids() == [SEG]
    assert world.only().state == "SENT"


def test_an_instance_that_is_there_already_is_taken(tmp_path: Path) -> None:
    def script(came: Received) -> Response:
        return response(409, [], [item(uid, FailureReason=0x0111) for uid in came.uids()])

    world, _ = delivered(tmp_path, script)
    assert world.only().state == "SENT"


@pytest.mark.parametrize(
    ("answer", "state", "told"),
    [
        (Response(status_code=200), "SENT", "HTTP 200"),
        (response(200, [item(SEG), item(SR), item(KEY)], []), "SENT", "HTTP 200"),
        (response(200, [], []), "PENDING", "HTTP 200, not mentioned"),
        (response(202, [item("9.9")], []), "PENDING", "HTTP 202, not mentioned"),
        (response(409, [], [item(u) for u in (SEG, SR, KEY)]), "PENDING", "HTTP 409, no reason"),
        (spoilt(409, [], 0x0110, "NaN"), "PENDING", "HTTP 409, no reason"),
        (spoilt(409, [], 0x0110, "-1e999"), "PENDING", "HTTP 409, no reason"),
        (spoilt(202, 0xB000, [], "1e999"), "SENT", "HTTP 202"),
        (Response(status_code=401), "PENDING", "HTTP 401"),
        (Response("busy: Hush^Patient", status_code=503), "PENDING", "HTTP 503"),
        (Response(status_code=302, headers={"Location": "/x"}), "PENDING", "HTTP 302"),
    ],
)
def test_answers_are_read_as_the_standard_says(
    tmp_path: Path, answer: Response, state: str, told: str
) -> None:
    world, server = delivered(tmp_path, lambda _: answer)
    assert world.only().state == state
    assert set(world.statuses().values()) == {told}
    assert len(server.received) == 1
    assert "Hush" not in repr(world.only())


@pytest.mark.parametrize(
    "body", ["", "<NativeDicomModel/>", "[]", '"text"', "[1, 2]", "[" * 200_000]
)
def test_an_answer_that_says_nothing_of_instances_is_no_success(tmp_path: Path, body: str) -> None:
    world, _ = delivered(tmp_path, lambda _: Response(body, 202))
    failure = world.only().failure
    assert failure is not None
    assert failure.code == "DESTINATION_REFUSED"
    assert set(world.states().values()) == {"WAITING"}


@pytest.mark.parametrize("status", [500, 401])
def test_a_search_that_fails_is_no_confirmation(tmp_path: Path, status: int) -> None:
    def script(came: Received) -> Response:
        return all_stored(came) if came.method == "POST" else Response(status_code=status)

    world, _ = delivered(tmp_path, script, confirm="qido")
    failure = world.only().failure
    assert failure is not None
    assert failure.message == f"QIDO-RS answered HTTP {status}"
    assert set(world.states().values()) == {"ACCEPTED"}


def test_an_endless_answer_is_left(tmp_path: Path) -> None:
    world, _ = delivered(tmp_path, lambda _: Response(b"x" * (5 * 1024 * 1024)))
    failure = world.only().failure
    assert failure is not None
    assert "longer than" in failure.message


def test_we_log_in_with_secrets_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    _, server = delivered(tmp_path / "a", all_stored, bearer_file=str(secret))
    assert server.received[0].headers["authorization"] == "Bearer hush"
    basic = {"user": "me", "password_file": str(secret)}
    world, server = delivered(tmp_path / "b", all_stored, **basic)
    expected = base64.b64encode(b"me:hush").decode()
    assert server.received[0].headers["authorization"] == f"Basic {expected}"
    assert "hush" not in repr(world.entries)


def test_a_service_that_is_down_loses_nothing(tmp_path: Path) -> None:
    world = world_for(tmp_path, f"http://127.0.0.1:{free_port()}")
    world.deliverer().deliver_due()
    failure = world.only().failure
    assert failure is not None
    assert failure.code == "DESTINATION_UNREACHABLE"
    assert set(world.states().values()) == {"WAITING"}
