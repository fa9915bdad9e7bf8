"""The doors of deliveries: shown, asked for again, counted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from service.bootstrap.gateway import utc_now
from service.domain.delivery import Answer, ObjectState
from service.domain.destination import ObjectKind
from service.domain.job import Failure
from tests.api import ApiWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    path = tmp_path / "destinations.yaml"
    inbox = {"name": "inbox", "kind": "folder", "path": "/srv/inbox", "objects": ["report"]}
    path.write_text(yaml.safe_dump({"version": 1, "destinations": [inbox]}))
    with ApiWorld(tmp_path, destinations=path) as made:
        yield made


def finished(world: ApiWorld) -> str:
    """Return the identifier of a job that has succeeded."""
    job = world.finish(world.claim(world.queue_job()), "thrombus_found")
    return job.job_id


def test_a_job_links_to_its_deliveries(world: ApiWorld) -> None:
    job_id = finished(world)
    link = world.client.get(f"/jobs/{job_id}").json()["links"]["deliveries"]
    (shown,) = world.client.get(link).json()["deliveries"]
    assert (shown["destination"], shown["state"], shown["attempts"]) == ("inbox", "PENDING", 0)
    assert shown["objects"] == [
        {"kind": "report", "state": "WAITING", "sop_instance_uid": None, "status": None}
    ]
    assert [step["after"] for step in shown["steps"]] == ["PENDING"]


def test_a_job_that_has_not_ended_has_none(world: ApiWorld) -> None:
    job = world.queue_job()
    assert world.client.get(f"/jobs/{job.job_id}/deliveries").json() == {"deliveries": []}


def test_deliveries_of_an_unknown_job_are_not_found(world: ApiWorld) -> None:
    answer = world.client.get(f"/jobs/{'0' * 32}/deliveries")
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_JOB")


def test_a_failed_delivery_is_sent_again(world: ApiWorld) -> None:
    store = world.gateway.deliveries
    (pending,) = store.of_job(finished(world))
    failure = Failure("DESTINATION_UNREACHABLE", "the folder is not there", "somebody")
    refused = pending.answered([Answer(ObjectKind.REPORT, ObjectState.REFUSED, "not written")])
    assert store.replace(pending, refused.given_up(failure, utc_now()))
    link = f"/jobs/{pending.job_id}/deliveries"
    (shown,) = world.client.get(link).json()["deliveries"]
    assert (shown["state"], shown["failure"]["code"]) == ("FAILED", "DESTINATION_UNREACHABLE")
    assert shown["objects"][0]["status"] == "not written"
    again = world.client.post(shown["links"]["resend"])
    assert (again.status_code, again.json()["state"]) == (202, "PENDING")
    assert again.json()["failure"] is None
    assert [each.delivery_id for each in store.due("inbox", utc_now(), 10)] == [pending.delivery_id]


def test_what_is_being_sent_is_not_sent_again(world: ApiWorld) -> None:
    store = world.gateway.deliveries
    (pending,) = store.of_job(finished(world))
    lease = world.gateway.limits.lease("t", utc_now())
    assert store.replace(pending, pending.claimed(lease, utc_now()))
    answer = world.client.post(f"/jobs/{pending.job_id}/deliveries/{pending.delivery_id}/resend")
    assert (answer.status_code, answer.json()["code"]) == (409, "ILLEGAL_TRANSITION")


def test_a_delivery_is_found_under_its_own_job_only(world: ApiWorld) -> None:
    (pending,) = world.gateway.deliveries.of_job(finished(world))
    other = finished(world)
    for path in (f"{other}/deliveries/{pending.delivery_id}", f"{other}/deliveries/{'0' * 32}"):
        answer = world.client.post(f"/jobs/{path}/resend")
        assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_DELIVERY")


def test_deliveries_are_counted(world: ApiWorld) -> None:
    (pending,) = world.gateway.deliveries.of_job(finished(world))
    lease = world.gateway.limits.lease("t", utc_now())
    assert world.gateway.deliveries.replace(pending, pending.claimed(lease, utc_now()))
    finished(world)
    text = world.client.get("/metrics").text
    for state in ("PENDING", "SENDING"):
        assert f'thrombolens_deliveries{{destination="inbox",state="{state}"}} 1.0' in text
    assert 'thrombolens_delivery_attempts_total{destination="inbox"} 1.0' in text
    assert 'thrombolens_oldest_open_delivery_seconds{destination="inbox"}' in text
