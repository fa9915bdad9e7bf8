"""Delivery into folders and to webhooks."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from fastapi import Response

from service.adapters.deliver_webhook import DELIVERY, JOB, SIGNATURE, TIMESTAMP
from service.domain.destination import ObjectKind
from tests.delivered import JOB as JOB_ID
from tests.delivered import LEASE, STUDY, UIDS, DeliveryWorld, dicom, entry, results
from tests.http_peers import HttpServer


def folder_world(tmp_path: Path) -> tuple[DeliveryWorld, Path]:
    share = tmp_path / "share"
    world = DeliveryWorld(tmp_path, entry(kind="folder", path=str(share)))
    world.finish()
    return world, share


def test_a_folder_gets_whole_files_named_by_uids(tmp_path: Path) -> None:
    world, share = folder_world(tmp_path)
    share.mkdir()
    world.deliverer().deliver_due()
    content = results()
    found = {path.relative_to(share).as_posix(): path.read_bytes() for path in share.glob("*/*")}
    report = f"{STUDY}/{UIDS[ObjectKind.STRUCTURED_REPORT]}.json"
    expected = {f"{STUDY}/{uid}.dcm": content[kind.file] for kind, uid in UIDS.items()}
    assert found == expected | {report: content["report.json"]}
    assert world.only().state == "SENT"


def test_a_share_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    world, share = folder_world(tmp_path)
    world.deliverer().deliver_due()
    assert not share.exists()
    failure = world.only().failure
    assert failure is not None
    assert (failure.code, str(share) in failure.message) == ("DESTINATION_UNREACHABLE", True)
    share.mkdir()
    world.clock.pass_by(10)
    world.deliverer().deliver_due()
    assert world.only().state == "SENT"


def test_sending_again_replaces_a_file_by_its_equal(tmp_path: Path) -> None:
    world, share = folder_world(tmp_path)
    share.mkdir()
    world.deliverer().deliver_due()
    before = sorted(share.rglob("*"))
    delivery = world.only()
    assert world.store.replace(delivery, delivery.asked_again(world.clock()))
    assert world.deliverer().deliver_due() == 1
    assert sorted(share.rglob("*")) == before
    assert world.only().state == "SENT"


@pytest.mark.parametrize("uid", ["../../etc", "Hush^Patient", "..", "1.2/3"])
def test_a_uid_that_is_none_becomes_no_file_name(tmp_path: Path, uid: str) -> None:
    world, share = folder_world(tmp_path)
    share.mkdir()
    kind = ObjectKind.SEGMENTATION
    path = world.folders.results(JOB_ID, LEASE) / kind.file
    path.write_bytes(dicom(kind, study=uid))
    world.deliverer().deliver_due()
    assert world.states()["segmentation"] == "REFUSED"
    assert world.statuses()["segmentation"] == "its UID is no file name"
    assert {each.name for each in share.iterdir()} == {STUDY}


def test_a_result_that_is_gone_is_told(tmp_path: Path) -> None:
    world, share = folder_world(tmp_path)
    share.mkdir()
    (world.folders.results(JOB_ID, LEASE) / "key_image.dcm").write_bytes(b"no DICOM")
    world.deliverer().deliver_due()
    failure = world.only().failure
    assert failure is not None
    assert (failure.code, failure.fixed_by) == ("STORAGE_FAILED", "operator of the service")
    assert "key_image.dcm" in failure.message
    assert list(share.iterdir()) == []


def test_a_webhook_gets_the_report_with_a_signature_that_holds(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("hush\n")
    server = HttpServer(lambda _: Response(status_code=204))
    with server.serving() as address:
        hook = entry(kind="webhook", url=f"{address}/hook", hmac_key_file=str(key))
        world = DeliveryWorld(tmp_path, hook)
        world.finish()
        world.deliverer().deliver_due()
    (came,) = server.received
    assert json.loads(came.body)["study_instance_uid"] == STUDY
    assert came.headers[JOB.lower()] == JOB_ID
    assert came.headers[DELIVERY.lower()] == world.only().delivery_id
    signed = came.headers[TIMESTAMP.lower()].encode() + b"." + came.body
    expected = "sha256=" + hmac.new(b"hush", signed, hashlib.sha256).hexdigest()
    assert came.headers[SIGNATURE.lower()] == expected
    assert world.only().state == "SENT"


def test_a_webhook_that_refuses_is_tried_again(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("hush\n")
    server = HttpServer(lambda _: Response(status_code=500))
    with server.serving() as address:
        hook = entry(kind="webhook", url=f"{address}/hook", hmac_key_file=str(key))
        world = DeliveryWorld(tmp_path, hook)
        world.finish()
        world.deliverer().deliver_due()
    assert world.statuses() == {"report": "HTTP 500"}
    assert world.only().state == "PENDING"
