"""Peers that stop in the middle, say too much, or only connect: none of them holds up a sender."""

import resource
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE, N_ACTION
from pynetdicom.dul import DULServiceProvider
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    Verification,
)

from service.adapters.arriving_messages import LONGEST_IN_MEMORY
from service.adapters.association_server import MOST_WAITING
from tests.arrival import ArrivalWorld, associated, series
from tests.dicom_peers import LEFT_SOCKETS
from tests.processes import wait_until
from tests.tools import require

pytestmark = LEFT_SOCKETS
IMPATIENT = {"max_associations": 2, "timeout_seconds": 1}
ASSOCIATE_RQ, P_DATA, ABORT = 0x01, 0x04, 0x07


def header(kind: int, length: int) -> bytes:
    return struct.pack(">BBL", kind, 0, length)


@contextmanager
def connections(port: int, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    """Yield connections on which this was said, and then nothing more."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.settimeout(20)
            connection.sendall(said)
            made.append(connection)
        yield made


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side closes within the time-out, whatever it says before."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def broken(connection: socket.socket) -> bool:
    """Whether another byte can no longer be sent."""
    try:
        connection.sendall(b"\0")
    except ConnectionError:
        return True
    return False


@contextmanager
def established(port: int) -> Iterator[socket.socket]:
    """Yield the socket of an association of a known sender."""
    with associated(port, series("a")) as association:
        assert association.is_established
        raw = association.dul.socket
        assert raw is not None
        assert raw.socket is not None
        yield raw.socket


def test_connections_that_stop_inside_a_pdu_hold_up_no_sender(tmp_path: Path) -> None:
    with (
        ArrivalWorld(tmp_path, listener=IMPATIENT | {"timeout_seconds": 30}) as world,
        connections(world.port, 5, header(ASSOCIATE_RQ, 200)[:3]),
    ):
        assert set(world.send(series("a"))) == {0x0000}


def test_a_pdu_that_does_not_end_in_time_is_cut_off_however_slowly_it_comes(
    tmp_path: Path,
) -> None:
    with (
        ArrivalWorld(tmp_path, listener=IMPATIENT) as world,
        connections(world.port, 1, header(ASSOCIATE_RQ, 200)[:3]) as (silent,),
        connections(world.port, 1, header(ASSOCIATE_RQ, 200)) as (trickling,),
    ):
        begun = time.monotonic()
        while not broken(trickling):
            time.sleep(0.2)
        assert is_closed(silent)
        assert time.monotonic() - begun < 20


def test_a_sender_that_stops_inside_a_pdu_gives_its_association_back(tmp_path: Path) -> None:
    with ArrivalWorld(tmp_path, listener=IMPATIENT | {"max_associations": 1}) as world:
        with established(world.port) as raw:
            raw.sendall(header(P_DATA, 1000) + b"\0")

            def free() -> bool:
                with associated(world.port, series("a")) as other:
                    return other.is_established

            wait_until(free, 10, "another sender is let in")
        assert list(world.service.gateway.arrivals.folders.incoming.iterdir()) == []


def test_a_slow_sender_may_pause_between_pdus_and_inside_one(tmp_path: Path) -> None:
    with ArrivalWorld(tmp_path, listener={"timeout_seconds": 5}) as world:
        (first, second, *_) = series("a")
        with associated(world.port, [first]) as association:
            assert association.send_c_store(first).Status == 0x0000
            raw = association.dul.socket
            assert raw is not None
            send = raw.send

            def slowly(data: bytes) -> None:
                for part in (data[:3], data[3:9], data[9:]):
                    time.sleep(1)
                    send(part)

            raw.send = slowly  # type: ignore[method-assign, assignment]
            # Together longer than either may be.
            time.sleep(3)
            assert association.send_c_store(second).Status == 0x0000
            raw.send = send  # type: ignore[method-assign]


def test_a_handshake_that_stops_holds_up_no_sender_and_is_cut_off(tmp_path: Path) -> None:
    openssl = str(require("openssl"))
    names = {"certificate_file": str(tmp_path / "c.pem"), "key_file": str(tmp_path / "k.pem")}
    options = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x"
    )
    files = f"-out {names['certificate_file']} -keyout {names['key_file']}"
    subprocess.run([openssl, *f"{options} {files}".split()], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    ae = AE("MR1")
    ae.add_requested_context(Verification)
    with (
        ArrivalWorld(tmp_path, listener=IMPATIENT | {"tls": names}) as world,
        # The beginning of a ClientHello.
        connections(world.port, 5, b"\x16\x03\x01\x02\x00\x01") as halves,
    ):
        known = ae.associate(
            "127.0.0.1", world.port, ae_title="THROMBOLENS", tls_args=(context, "127.0.0.1")
        )
        assert known.is_established
        known.release()
        assert all(is_closed(each) for each in halves)


def test_of_too_many_that_only_connect_the_oldest_is_closed(tmp_path: Path) -> None:
    with (
        ArrivalWorld(tmp_path, listener={"timeout_seconds": 60}) as world,
        connections(world.port, 1, b"") as (oldest,),
        connections(world.port, MOST_WAITING, b"") as others,
    ):
        assert is_closed(oldest)
        others[-1].settimeout(0.2)
        assert not is_closed(others[-1])
        assert set(world.send(series("a"))) == {0x0000}


@pytest.mark.parametrize("length", [(1 << 20) + 1, 0xFFFFFFFF])
def test_a_request_of_more_than_a_mebibyte_is_not_read(tmp_path: Path, length: int) -> None:
    with (
        ArrivalWorld(tmp_path, listener={"timeout_seconds": 60}) as world,
        connections(world.port, 1, header(ASSOCIATE_RQ, length)) as (connection,),
    ):
        assert connection.recv(1) == bytes([ABORT])
        assert is_closed(connection)


def test_a_pdu_longer_than_agreed_is_not_read(tmp_path: Path) -> None:
    with ArrivalWorld(tmp_path, listener={"max_pdu_bytes": 4096}) as world:
        ae = AE("MR1")
        ae.add_requested_context(Verification)
        association = ae.associate("127.0.0.1", world.port, ae_title="THROMBOLENS")
        raw = association.dul.socket
        assert raw is not None
        raw.send(header(P_DATA, 5000))
        wait_until(lambda: association.is_aborted, 10, "it is aborted")
        assert set(world.send(series("a"))) == {0x0000}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the disk take no file beyond a size: writing more fails, as on one that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_object_that_the_disk_does_not_take_is_refused_and_the_next_one_kept(
    tmp_path: Path,
) -> None:
    instances = series("a")
    large = instances[0]
    large.add_new("PixelData", "OW", bytes(8 << 20))
    with ArrivalWorld(tmp_path) as world, associated(world.port, instances) as association:
        with largest_file(2 << 20):
            answer = association.send_c_store(large)
            assert answer.Status == 0xA700
            assert "STORAGE_FAILED" in answer.ErrorComment
        assert [association.send_c_store(each).Status for each in instances] == [0x0000] * 6
        assert world.refusals() == {("scanner", "STORAGE_FAILED"): 1}
        wait_until(lambda: left(world) == [], 10, "nothing half is left")
    assert world.on_disk() == 6


def test_what_finds_no_room_is_not_even_begun(tmp_path: Path) -> None:
    instances = series("a")
    instances[0].add_new("PixelData", "OW", bytes(8 << 20))
    with (
        ArrivalWorld(tmp_path, arrival_reserve_bytes=1 << 60) as world,
        associated(world.port, instances) as association,
        largest_file(2 << 20),
    ):
        assert association.send_c_store(instances[0]).Status == 0xA700
        assert association.send_c_store(instances[1]).Status == 0xA700


def left(world: ArrivalWorld) -> list[Path]:
    """Return what lies where instances arrive."""
    return list(world.service.gateway.arrivals.folders.incoming.iterdir())


def test_a_message_on_a_context_that_was_not_agreed_on_ends_its_association_alone(
    tmp_path: Path,
) -> None:
    (first, *rest) = series("a")
    request = C_STORE()
    request.MessageID = 1
    request.Priority = 2
    request.AffectedSOPClassUID = first.SOPClassUID
    request.AffectedSOPInstanceUID = first.SOPInstanceUID
    request.DataSet = BytesIO(bytes(1000))
    with ArrivalWorld(tmp_path, listener={"max_associations": 1}) as world:
        with associated(world.port, [first]) as association:
            association.dimse.send_msg(request, 99)
            wait_until(lambda: association.is_aborted, 10, "it is aborted")
        wait_until(lambda: left(world) == [], 10, "nothing half is left")
        assert set(world.send(rest)) == {0x0000}


def test_a_sender_that_breaks_off_inside_an_object_leaves_nothing(tmp_path: Path) -> None:
    with ArrivalWorld(tmp_path) as world:
        (first, *_) = series("a")
        first.add_new("PixelData", "OW", bytes(1 << 20))
        with associated(world.port, [first]) as association:
            guard = association.dul.socket
            assert guard is not None
            assert guard.socket is not None
            raw = guard.socket
            send, sent = guard.send, []

            def some(data: bytes) -> None:
                sent.append(data)
                if len(sent) < 10:
                    send(data)
                elif len(sent) == 10:
                    raw.shutdown(socket.SHUT_RDWR)

            guard.send = some  # type: ignore[method-assign, assignment]
            assert "Status" not in association.send_c_store(first)
        assert len(sent) >= 10
        wait_until(lambda: left(world) == [], 10, "nothing half is left")


def test_a_listener_that_ends_aborts_those_who_are_sending(tmp_path: Path) -> None:
    first, second, *_ = series("a")
    with ArrivalWorld(tmp_path) as world:
        with associated(world.port, [first]) as association:
            assert association.send_c_store(first).Status == 0x0000
            world.restart()
            wait_until(lambda: not association.is_established, 10, "it is aborted")
        # Nothing was refused on the way, and whoever sends again is served.
        assert world.refusals() == {}
        assert set(world.send([first, second])) == {0x0000}
        assert world.on_disk() == 2


def test_only_images_may_be_as_large_as_an_image(tmp_path: Path) -> None:
    request = N_ACTION()
    request.MessageID = request.ActionTypeID = 1
    request.RequestedSOPClassUID = StorageCommitmentPushModel
    request.RequestedSOPInstanceUID = "1.2.840.10008.1.20.1.1"
    request.ActionInformation = BytesIO(bytes(LONGEST_IN_MEMORY + 1))
    with ArrivalWorld(tmp_path) as world:
        ae = AE("MR1")
        ae.add_requested_context(StorageCommitmentPushModel)
        association = ae.associate("127.0.0.1", world.port, ae_title="THROMBOLENS")
        association.dimse.send_msg(request, 1)
        wait_until(lambda: association.is_aborted, 20, "it is aborted")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_connection_without_threads_takes_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: DULServiceProvider) -> None:
        raise RuntimeError("can't start new thread")

    with ArrivalWorld(tmp_path) as world:
        with monkeypatch.context() as patch:
            patch.setattr(DULServiceProvider, "start", start)
            with connections(world.port, 1, b"") as made:
                assert is_closed(made[0])
        assert set(world.send(series("a"))) == {0x0000}
