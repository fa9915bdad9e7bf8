"""Delivery by C-STORE to real SCPs, good ones and bad ones."""

import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from service.adapters.commitment_listener import MOST_REPORTS
from service.adapters.destination_entries import AnyEntry
from service.adapters.senders import open_channel
from service.domain.destination import ObjectKind
from service.domain.errors import InvalidDestinationsError
from tests.delivered import COMPREHENSIVE_3D_SR, PATIENT, SEGMENTATION, UIDS, DeliveryWorld, entry
from tests.dicom_peers import LEFT_SOCKETS, StoragePeer
from tests.processes import free_port, wait_until
from tests.tools import require

pytestmark = LEFT_SOCKETS
SEG = UIDS[ObjectKind.SEGMENTATION]
SR = UIDS[ObjectKind.STRUCTURED_REPORT]
ALL = sorted(UIDS.values())


def pacs(port: int, **values: Any) -> AnyEntry:
    chosen = {"confirm": "none", "timeout_seconds": 5, "confirm_seconds": 5} | values
    return entry(kind="c-store", host="127.0.0.1", port=port, called_ae="PACS", **chosen)


def delivered(folder: Path, peer: StoragePeer, **values: Any) -> DeliveryWorld:
    """Deliver a finished job once to a peer."""
    with peer.listening() as port:
        world = DeliveryWorld(folder, pacs(port, **values))
        world.finish()
        assert world.deliverer().deliver_due() == 1
        world.close()
    return world


def test_what_is_stored_without_asking_further_is_sent(tmp_path: Path) -> None:
    peer = StoragePeer()
    world = delivered(tmp_path, peer)
    assert world.only().state == "SENT"
    assert sorted(peer.sent) == ALL
    assert set(world.statuses().values()) == {"0000H"}
    assert {each.sop_instance_uid for each in world.only().objects} == set(ALL)
    assert world.deliverer().deliver_due() == 0


@pytest.mark.parametrize("commits", ["same", "other"])
def test_what_is_committed_is_delivered(tmp_path: Path, commits: str) -> None:
    listener = free_port()
    peer = StoragePeer(commits=commits, reports_to=listener)
    extra = {"commitment_port": listener} if commits == "other" else {}
    world = delivered(tmp_path, peer, confirm="storage-commitment", **extra)
    assert world.only().state == "DELIVERED"
    assert [sorted(asked) for asked in peer.asked] == [ALL]
    assert set(world.states().values()) == {"CONFIRMED"}


def test_a_refused_sop_class_does_not_hold_back_the_others(tmp_path: Path) -> None:
    peer = StoragePeer(classes=(COMPREHENSIVE_3D_SR,))
    with peer.listening() as port:
        world = DeliveryWorld(tmp_path, pacs(port))
        world.finish()
        world.deliverer().deliver_due()
        assert world.only().state == "PENDING"
        assert world.statuses() == {
            "segmentation": "presentation context refused",
            "structured_report": "0000H",
            "key_image": "presentation context refused",
        }
        assert peer.sent == [SR]
    # The operator of the receiver adds the classes.
    later = StoragePeer()
    with later.listening(port):
        world.clock.pass_by(10)
        world.deliverer().deliver_due()
    assert SR not in later.sent
    assert world.only().state == "SENT"


def test_no_class_that_is_accepted_is_no_broken_connection(tmp_path: Path) -> None:
    world = delivered(tmp_path, StoragePeer(classes=("1.2.840.10008.1.1",)))
    assert set(world.statuses().values()) == {"presentation context refused"}
    failure = world.only().failure
    assert failure is not None
    assert failure.code == "OBJECTS_REFUSED"


def test_only_the_instance_that_failed_is_sent_again(tmp_path: Path) -> None:
    answers = {SEG: 0xA700}
    peer = StoragePeer(status=lambda uid: answers.get(uid, 0x0000))
    with peer.listening() as port:
        world = DeliveryWorld(tmp_path, pacs(port))
        world.finish()
        world.deliverer().deliver_due()
        assert world.statuses()["segmentation"] == "A700H"
        assert world.only().state == "PENDING"
        world.clock.pass_by(9)
        assert world.deliverer().deliver_due() == 0
        answers.clear()
        peer.sent.clear()
        world.clock.pass_by(1)
        assert world.deliverer().deliver_due() == 1
    assert peer.sent == [SEG]
    assert world.only().state == "SENT"


@pytest.mark.parametrize(
    ("status", "state"), [(0x0111, "SENT"), (0xB000, "SENT"), (0xC000, "PENDING")]
)
def test_statuses_that_mean_stored(tmp_path: Path, status: int, state: str) -> None:
    world = delivered(tmp_path, StoragePeer(status=lambda _: status))
    assert world.only().state == state
    assert set(world.statuses().values()) == {f"{status:04X}H"}


def test_an_abort_is_tried_again(tmp_path: Path) -> None:
    world = delivered(tmp_path, StoragePeer(aborts=True), timeout_seconds=1)
    delivery = world.only()
    assert (delivery.state, set(world.states().values())) == ("PENDING", {"REFUSED"})
    assert world.statuses()["segmentation"] == "no answer: timeout or abort"
    assert world.statuses()["key_image"] == "the association had ended"


def test_commitment_that_never_comes_is_not_delivered(tmp_path: Path) -> None:
    peer = StoragePeer(commits="never")
    with peer.listening() as port:
        world = DeliveryWorld(
            tmp_path, pacs(port, confirm="storage-commitment", confirm_seconds=0.3)
        )
        world.finish()
        world.deliverer().deliver_due()
        failure = world.only().failure
        assert failure is not None
        assert "within 0.3 s" in failure.message
        assert set(world.states().values()) == {"ACCEPTED"}
        # Asked again, but not sent again.
        peer.commits = "same"
        world.clock.pass_by(10)
        world.deliverer().deliver_due()
    assert sorted(peer.sent) == ALL
    assert world.only().state == "DELIVERED"


def test_what_the_receiver_lost_is_sent_again(tmp_path: Path) -> None:
    peer = StoragePeer(commits="same", missing=[SEG])
    with peer.listening() as port:
        world = DeliveryWorld(tmp_path, pacs(port, confirm="storage-commitment"))
        world.finish()
        world.deliverer().deliver_due()
        assert world.statuses()["segmentation"] == "no commitment, 0112H"
        assert world.only().state == "PENDING"
        peer.missing.clear()
        peer.sent.clear()
        world.clock.pass_by(10)
        world.deliverer().deliver_due()
    assert peer.sent == [SEG]
    assert peer.asked[-1] == [SEG]
    assert world.only().state == "DELIVERED"


def _without_uids(report: Dataset) -> None:
    for item in report.ReferencedSOPSequence:
        del item.ReferencedSOPInstanceUID


def _with_several_reasons(report: Dataset) -> None:
    report.FailedSOPSequence = report.ReferencedSOPSequence
    report.FailedSOPSequence[0].FailureReason = [1, 2]


@pytest.mark.parametrize("spoil", [_without_uids, _with_several_reasons])
def test_a_report_that_is_none_confirms_nothing(
    tmp_path: Path, spoil: Callable[[Dataset], None]
) -> None:
    peer = StoragePeer(commits="same", spoil=spoil)
    world = delivered(tmp_path, peer, confirm="storage-commitment")
    failure = world.only().failure
    assert failure is not None
    assert (failure.code, world.only().state) == ("DESTINATION_REFUSED", "PENDING")
    assert "storage commitment is not as the standard says" in failure.message
    assert set(world.states().values()) == {"ACCEPTED"}


def test_an_object_may_be_lost_for_no_reason(tmp_path: Path) -> None:
    def spoil(report: Dataset) -> None:
        (item,) = report.FailedSOPSequence
        item.FailureReason = None

    peer = StoragePeer(commits="same", missing=[SEG], spoil=spoil)
    world = delivered(tmp_path, peer, confirm="storage-commitment")
    assert world.statuses()["segmentation"] == "no commitment, no reason"
    assert world.states()["structured_report"] == "CONFIRMED"


def test_a_receiver_without_commitment_is_named(tmp_path: Path) -> None:
    world = delivered(tmp_path, StoragePeer(), confirm="storage-commitment")
    failure = world.only().failure
    assert failure is not None
    assert failure.message == "the receiver does not offer storage commitment"
    assert set(world.states().values()) == {"ACCEPTED"}


def test_a_port_for_reports_that_is_taken_is_named() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        told = f"destination pacs: commitment_port {port} cannot be listened on"
        with pytest.raises(InvalidDestinationsError, match=told) as caught:
            open_channel(pacs(free_port(), confirm="storage-commitment", commitment_port=port))
    assert caught.value.fixed_by == "operator of the service"


def test_whoever_stops_on_the_port_for_reports_holds_up_nobody(tmp_path: Path) -> None:
    listener = free_port()
    peer = StoragePeer(commits="other", reports_to=listener)
    with peer.listening() as port:
        confirm = {"confirm": "storage-commitment", "commitment_port": listener}
        world = DeliveryWorld(tmp_path, pacs(port, timeout_seconds=1, **confirm))
        world.finish()
        deliverer = world.deliverer()
        with socket.create_connection(("127.0.0.1", listener)) as stranger:
            # The begin of an A-ASSOCIATE-RQ (PS3.8 9.3.2).
            stranger.sendall(b"\x01\x00\x00\x00\x10\x00\x00\x01")
            assert deliverer.deliver_due() == 1
            stranger.settimeout(10)
            assert stranger.recv(100) == b""
        world.close()
    assert world.only().state == "DELIVERED"


def test_strangers_on_the_port_for_reports_take_nothing_from_the_receiver(tmp_path: Path) -> None:
    listener = free_port()
    peer = StoragePeer(commits="other", reports_to=listener)
    with peer.listening() as port, ExitStack() as stack:
        confirm = {"confirm": "storage-commitment", "commitment_port": listener}
        world = DeliveryWorld(tmp_path, pacs(port, timeout_seconds=20, **confirm))
        world.finish()
        deliverer = world.deliverer()
        for _ in range(2 * MOST_REPORTS):
            stack.enter_context(socket.create_connection(("127.0.0.1", listener)))
        assert deliverer.deliver_due() == 1
        world.close()
    assert world.only().state == "DELIVERED"


def test_a_rejected_association_is_told(tmp_path: Path) -> None:
    with StoragePeer().listening() as port:
        wrong = entry(
            kind="c-store", host="127.0.0.1", port=port, called_ae="WRONG", confirm="none"
        )
        world = DeliveryWorld(tmp_path, wrong)
        world.finish()
        world.deliverer().deliver_due()
    failure = world.only().failure
    assert failure is not None
    assert failure.code == "DESTINATION_UNREACHABLE"
    assert "WRONG" in failure.message
    assert "Called AE title not recognised" in failure.message


def test_a_host_that_nobody_knows_is_told(tmp_path: Path) -> None:
    values = {"host": "nowhere.invalid", "port": 104, "called_ae": "PACS", "confirm": "none"}
    world = DeliveryWorld(tmp_path, entry(kind="c-store", **values))
    world.finish()
    world.deliverer().deliver_due()
    failure = world.only().failure
    assert failure is not None
    assert failure.code == "DESTINATION_UNREACHABLE"
    assert failure.message.startswith("PACS at nowhere.invalid:104: ")


def test_a_receiver_that_is_down_for_an_hour_loses_nothing(tmp_path: Path) -> None:
    port = free_port()
    world = DeliveryWorld(tmp_path, pacs(port))
    for number in range(2):
        world.finish(f"{number:032x}")
    for _ in range(60):
        world.deliverer().deliver_due()
        world.clock.pass_by(60)
    states = [world.only(f"{number:032x}") for number in range(2)]
    assert {each.state.value for each in states} == {"PENDING"}
    assert {each.failure.code for each in states if each.failure} == {"DESTINATION_UNREACHABLE"}
    # 10 s, 20 s ... 600 s: no more than the backoff allows.
    assert {each.attempts for each in states} == {11}
    peer = StoragePeer()
    with peer.listening(port):
        world.clock.pass_by(600)
        assert world.deliverer().deliver_due() == 2
    assert {world.only(f"{number:032x}").state.value for number in range(2)} == {"SENT"}


def test_a_receiver_that_says_nothing_is_left_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        world = DeliveryWorld(tmp_path, pacs(silent.getsockname()[1], timeout_seconds=0.3))
        world.finish()
        begun = time.monotonic()
        world.deliverer().deliver_due()
    assert time.monotonic() - begun < 5
    assert world.only().state == "PENDING"


def test_nobody_is_named_in_what_is_kept_or_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    world = delivered(tmp_path, StoragePeer(status=lambda _: 0xC000))
    out, err = capfd.readouterr()
    told = [repr(world.only()), out, err, caplog.text]
    assert not any("Hush" in text for text in told)
    assert "delivery_attempt_failed" in "".join(told)


def test_dcmtk_receives_what_was_written(tmp_path: Path) -> None:
    program = require("storescp")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    port = free_port()
    # In bit preserving mode, so that what arrives is compared as it was sent.
    command = [str(program), "-aet", "PACS", "-od", str(inbox), "+B", str(port)]
    server = subprocess.Popen(command)
    try:
        wait_until(lambda: _listens(port), 10, "storescp listens")
        world = DeliveryWorld(tmp_path, pacs(port))
        world.finish()
        world.deliverer().deliver_due()
    finally:
        server.kill()
        server.wait()
    assert world.only().state == "SENT"
    received = [pydicom.dcmread(path) for path in inbox.iterdir()]
    assert sorted(str(each.SOPInstanceUID) for each in received) == ALL
    assert {str(each.PatientName) for each in received} == {PATIENT}
    assert SEGMENTATION in {str(each.SOPClassUID) for each in received}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
