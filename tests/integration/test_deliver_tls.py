"""Delivery by C-STORE over TLS to dcmtk's storescp, which asks for a certificate."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

from tests.authority import Authority
from tests.delivered import UIDS, DeliveryWorld, entry
from tests.dicom_peers import LEFT_SOCKETS
from tests.processes import free_port, wait_until
from tests.tools import require

pytestmark = LEFT_SOCKETS


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "foreign")


@contextmanager
def receiver(folder: Path, authority: Authority) -> Iterator[int]:
    """Run storescp behind TLS; it takes nothing from whom the authority does not know."""
    port = free_port()
    certificate, key = authority.issue("receiver")
    folder.mkdir()
    command = [str(require("storescp")), "-aet", "PACS", "-od", str(folder)]
    command += ["+tls", str(key), str(certificate), "+cf", str(authority.certificate), "-rc"]
    server = subprocess.Popen([*command, str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), 10, "storescp listens")
        yield port
    finally:
        server.kill()
        server.wait()


def deliver(folder: Path, port: int, trusted: Path, own: tuple[Path, Path]) -> DeliveryWorld:
    tls = {"ca_file": str(trusted), "certificate_file": str(own[0]), "key_file": str(own[1])}
    pacs = entry(
        kind="c-store",
        host="127.0.0.1",
        port=port,
        called_ae="PACS",
        confirm="none",
        timeout_seconds=5,
        tls=tls,
    )
    world = DeliveryWorld(folder, pacs)
    world.finish()
    assert world.deliverer().deliver_due() == 1
    return world


def stored(folder: Path) -> list[str]:
    return sorted(pydicom.dcmread(path).SOPInstanceUID for path in folder.iterdir())


def test_results_go_to_who_is_known_and_knows_us(tmp_path: Path, ours: Authority) -> None:
    with receiver(tmp_path / "pacs", ours) as port:
        world = deliver(tmp_path, port, ours.certificate, ours.issue("sender"))
        assert world.only().state == "SENT"
        assert stored(tmp_path / "pacs") == sorted(UIDS.values())


def test_nothing_goes_to_a_receiver_that_nobody_vouches_for(
    tmp_path: Path, ours: Authority, foreign: Authority
) -> None:
    with receiver(tmp_path / "pacs", foreign) as port:
        world = deliver(tmp_path, port, ours.certificate, foreign.issue("sender"))
        assert world.only().state == "PENDING"
        failure = world.only().failure
        assert failure is not None
        assert failure.code == "DESTINATION_UNREACHABLE"
        assert stored(tmp_path / "pacs") == []


def test_a_receiver_that_does_not_know_us_leaves_the_delivery_open(
    tmp_path: Path, ours: Authority, foreign: Authority
) -> None:
    with receiver(tmp_path / "pacs", ours) as port:
        world = deliver(tmp_path, port, ours.certificate, foreign.issue("sender"))
        assert world.only().state == "PENDING"
        assert world.only().failure is not None
        assert stored(tmp_path / "pacs") == []


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
