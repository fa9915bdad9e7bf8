"""Reports about storage commitment to a peer of its own, over TLS and not."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from service.adapters import commitment_peers
from service.domain.errors import InvalidSourcesError
from tests.arrival import ArrivalWorld, send, series
from tests.authority import Authority
from tests.commitment import Asker
from tests.dicom_peers import LEFT_SOCKETS, connection_of
from tests.processes import free_port, wait_until
from tests.stalling import HALF_DATA, Stalling

pytestmark = LEFT_SOCKETS


@contextmanager
def told(
    handlers: list[evt.EventHandlerType], tls: ssl.SSLContext | None = None
) -> Iterator[dict[str, Any]]:
    """Listen for reports; yield where."""
    ae = AE("MR1")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    port = free_port()
    server = ae.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=handlers, ssl_context=tls
    )
    assert server is not None
    try:
        yield {"host": "127.0.0.1", "port": port, "called_ae": "MR1"}
    finally:
        server.shutdown()


def source(peer: dict[str, Any]) -> dict[str, Any]:
    return {"name": "mr", "kind": "c-store", "calling_ae": ["MR1"], "commitment": peer}


def files(authority: Authority, name: str) -> dict[str, str]:
    """Return what a client needs to speak with somebody of an authority."""
    certificate, key = authority.issue(name)
    ours = {"certificate_file": str(certificate), "key_file": str(key)}
    return {"ca_file": str(authority.certificate), **ours}


@contextmanager
def asked(folder: Path, peer: dict[str, Any], asker: Asker) -> Iterator[str]:
    """Send an instance and ask for commitment; yield its UID while the listener runs."""
    with ArrivalWorld(folder, sources=[source(peer)]) as world:
        (first, *_) = series("a")
        send(world.port, [first])
        asker.ask(world.port, [first], wait=False)
        yield str(first.SOPInstanceUID)


def test_a_peer_behind_tls_is_told_over_tls(tmp_path: Path, ours: Authority) -> None:
    asker = Asker()
    with (
        told(asker.handlers, ours.server("scanner")) as peer,
        asked(tmp_path, {**peer, "tls": files(ours, "listener")}, asker) as uid,
    ):
        assert asker.reports.get(timeout=20) == (1, [uid], {})


def test_a_peer_that_nobody_vouches_for_is_told_nothing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, ours: Authority
) -> None:
    foreign = Authority(tmp_path_factory.mktemp("tls") / "foreign")
    asker = Asker()
    with (
        structlog.testing.capture_logs() as logs,
        told(asker.handlers, foreign.server("scanner")) as peer,
        asked(tmp_path, {**peer, "tls": files(ours, "listener")}, asker),
    ):
        wait_until(lambda: "commitment_not_told" in str(logs), 20, "it is logged")
    assert asker.reports.empty()


def test_a_file_for_tls_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    tls = {"ca_file": str(tmp_path / "absent.pem")}
    peer = {"host": "127.0.0.1", "port": 104, "called_ae": "MR1", "tls": tls}
    with pytest.raises(InvalidSourcesError, match=r"source mr: commitment: tls: .*absent\.pem"):
        ArrivalWorld(tmp_path, sources=[source(peer)])


def test_a_peer_that_stops_in_its_answer_is_left(
    tmp_path: Path, ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment_peers, "TIMEOUT_S", 0.5)
    stalling, asker = Stalling(HALF_DATA, b"x"), Asker()

    def stall(event: evt.Event) -> tuple[int, None]:
        stalling(connection_of(event))
        return 0x0000, None

    with (
        told([(evt.EVT_N_EVENT_REPORT, stall)], ours.server("scanner")) as peer,
        structlog.testing.capture_logs() as logs,
        asked(tmp_path, {**peer, "tls": files(ours, "listener")}, asker),
    ):
        try:
            wait_until(lambda: "commitment_not_told" in str(logs), 10, "it is logged")
        finally:
            stalling.ended.set()
