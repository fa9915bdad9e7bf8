"""Receivers that stop in the middle of an answer, or send it byte by byte."""

import socket
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pynetdicom import AE, evt
from pynetdicom.pdu import P_DATA_TF

from service.adapters.destination_entries import HttpAccess
from service.adapters.http_peers import HttpPeer
from service.domain.destination import ObjectKind
from service.domain.errors import DestinationUnreachableError
from tests.delivered import CLASSES, JOB, LEASE, DeliveryWorld, dicom, entry
from tests.dicom_peers import LEFT_SOCKETS, StoragePeer
from tests.processes import free_port
from tests.stalling import HALF_ACCEPT, HALF_DATA, Stalling

SHORT_S = 0.5

pytestmark = LEFT_SOCKETS


def pacs(port: int, **values: Any) -> dict[str, Any]:
    place = {"kind": "c-store", "host": "127.0.0.1", "port": port, "called_ae": "PACS"}
    return {**place, "confirm": "none", "timeout_seconds": SHORT_S, **values}


def stow(port: int) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/dicom-web"
    return {"kind": "stow", "url": url, "confirm": "none", "timeout_seconds": SHORT_S}


def attempted(folder: Path, values: dict[str, Any]) -> tuple[DeliveryWorld, float]:
    """Try to deliver a finished job once; return how long it took."""
    world = DeliveryWorld(folder, entry(**values))
    world.finish()
    return world, tried(world)


def tried(world: DeliveryWorld) -> float:
    """Try to deliver once; return how long it took."""
    begun = time.monotonic()
    trying = threading.Thread(target=world.deliverer().deliver_due, daemon=True)
    trying.start()
    trying.join(15)
    assert not trying.is_alive(), "the attempt does not end"
    return time.monotonic() - begun


STALLS = {"silent": b"", "dripping": b"x"}


@pytest.mark.parametrize("drips", STALLS.values(), ids=list(STALLS))
def test_half_a_pdu_is_not_waited_for(tmp_path: Path, drips: bytes) -> None:
    stalling = Stalling(HALF_DATA, drips)
    with StoragePeer(interrupts=stalling).listening() as port:
        try:
            world, seconds = attempted(tmp_path, pacs(port))
        finally:
            stalling.ended.set()
    assert seconds < 9 * SHORT_S
    assert world.only().state == "PENDING"
    assert world.statuses()["segmentation"] == "no answer: timeout or abort"


def test_a_receiver_that_reads_nothing_more_is_left(tmp_path: Path) -> None:
    kind = ObjectKind.KEY_IMAGE
    large = dcmread(BytesIO(dicom(kind)))
    large.add_new("PixelData", "OB", bytes(60_000_000))
    ended = threading.Event()

    def stop_reading(event: evt.Event) -> None:
        if isinstance(event.pdu, P_DATA_TF):
            ended.wait(20)

    ae = AE("PACS")
    ae.add_supported_context(CLASSES[kind])
    place = ("127.0.0.1", free_port())
    server = ae.start_server(place, block=False, evt_handlers=[(evt.EVT_PDU_RECV, stop_reading)])
    assert server is not None
    world = DeliveryWorld(tmp_path, entry(**pacs(place[1], objects=[kind.value])))
    world.finish()
    large.save_as(world.folders.results(JOB, LEASE) / kind.file, enforce_file_format=True)
    try:
        seconds = tried(world)
    finally:
        ended.set()
        server.shutdown()
    assert seconds < 9 * SHORT_S
    assert world.statuses() == {"key_image": "no answer: timeout or abort"}


@pytest.mark.parametrize("drips", STALLS.values(), ids=list(STALLS))
def test_half_an_answer_about_commitment_is_not_waited_for(tmp_path: Path, drips: bytes) -> None:
    stalling = Stalling(HALF_DATA, drips)
    peer = StoragePeer(commits="stalls", interrupts=stalling)
    with peer.listening() as port:
        try:
            values = pacs(port, confirm="storage-commitment", confirm_seconds=SHORT_S)
            world, seconds = attempted(tmp_path, values)
        finally:
            stalling.ended.set()
    assert seconds < 9 * SHORT_S
    failure = world.only().failure
    assert failure is not None
    assert failure.message == "no answer to the request for storage commitment"
    assert set(world.states().values()) == {"ACCEPTED"}


def test_a_report_about_commitment_is_waited_for_longer_than_an_answer(tmp_path: Path) -> None:
    peer = StoragePeer(commits="same", spoil=lambda _: time.sleep(3 * SHORT_S))
    with peer.listening() as port:
        values = pacs(port, confirm="storage-commitment", confirm_seconds=20 * SHORT_S)
        world, _ = attempted(tmp_path, values)
    assert world.only().state == "DELIVERED"


@pytest.mark.parametrize("drips", STALLS.values(), ids=list(STALLS))
def test_half_an_acceptance_is_not_waited_for(tmp_path: Path, drips: bytes) -> None:
    with Stalling(HALF_ACCEPT, drips).serving() as port:
        world, seconds = attempted(tmp_path, pacs(port))
    assert seconds < 9 * SHORT_S
    failure = world.only().failure
    assert failure is not None
    assert (failure.code, world.only().state) == ("DESTINATION_UNREACHABLE", "PENDING")


HTTP_STALLS = {
    "headers": b"HTTP/1.1 200 OK\r\nX-Long: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
    "body-without-length": b"HTTP/1.0 200 OK\r\nContent-Type: application/dicom+json\r\n\r\n",
}


@pytest.mark.parametrize("begun", HTTP_STALLS.values(), ids=list(HTTP_STALLS))
def test_an_answer_over_http_that_drips_is_left(tmp_path: Path, begun: bytes) -> None:
    with Stalling(begun, b"x").serving() as port:
        world, seconds = attempted(tmp_path, stow(port))
    assert seconds < 4 * SHORT_S
    failure = world.only().failure
    assert failure is not None
    assert (failure.code, world.only().state) == ("DESTINATION_UNREACHABLE", "PENDING")
    assert set(world.states().values()) == {"WAITING"}


def test_a_request_over_http_that_is_hardly_taken_is_left() -> None:
    ended = threading.Event()

    def sip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while not ended.wait(0.05):
                connection.recv(524_288)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=sip, args=(listener,))
        thread.start()
        begun = time.monotonic()
        try:
            with pytest.raises(DestinationUnreachableError):
                HttpPeer(HttpAccess(), SHORT_S).ask(
                    "POST",
                    f"http://127.0.0.1:{listener.getsockname()[1]}",
                    headers={},
                    content=bytes(120_000_000),
                )
        finally:
            ended.set()
            thread.join()
    # Each piece was taken in time, but not all of them.
    assert 9 * SHORT_S < time.monotonic() - begun < 16 * SHORT_S
