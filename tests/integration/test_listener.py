"""The listener as others meet it: echo, dcmtk, storage commitment, TLS, and as a process."""

import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from service.settings import Settings
from tests.arrival import PATIENT, POLICY, ArrivalWorld, associated, plain, send, series
from tests.commitment import Asker
from tests.dicom_peers import LEFT_SOCKETS
from tests.peers import storescu
from tests.processes import Processes, free_port, sigkill, wait_until
from tests.results import GRID, IMAGE, labels, segmentation_of
from tests.strategies import mr_series, write_instances
from tests.tools import require

LISTENER = "service.entrypoints.listener"
pytestmark = LEFT_SOCKETS


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ArrivalWorld]:
    with ArrivalWorld(tmp_path) as world:
        yield world


def test_an_echo_is_answered_to_those_who_may_send(world: ArrivalWorld) -> None:
    def echo(calling: str) -> int:
        command = [str(require("echoscu")), "-aet", calling, "-aec", "THROMBOLENS"]
        place = ["127.0.0.1", str(world.port)]
        return subprocess.run([*command, *place], capture_output=True, check=False).returncode

    assert echo("MR1") == 0
    assert echo("STRANGER") != 0


def test_dcmtk_sends_a_study(tmp_path: Path) -> None:
    source = {"name": "modality", "kind": "c-store", "calling_ae": ["MODALITY"], "policy": POLICY}
    with ArrivalWorld(tmp_path, sources=[source]) as world:
        storescu(world.port, "THROMBOLENS", write_instances(series("a"), tmp_path / "study"))
        assert len(world.after(30)) == 1
    assert world.analysis.files == [6]


def test_what_was_acknowledged_is_committed_to_on_the_same_association(
    world: ArrivalWorld,
) -> None:
    images = mr_series(IMAGE)
    own = plain(segmentation_of(labels(GRID), images))
    send(world.port, [*images, own])
    asker = Asker()
    assert asker.ask(world.port, images, wait=True) == 0x0000
    assert asker.reports.get() == (1, [str(each.SOPInstanceUID) for each in images], {})
    # Neither what never came nor what was refused.
    absent = series("b")[0]
    asker.ask(world.port, [images[0], absent, own], wait=True)
    missing = {str(absent.SOPInstanceUID): 0x0112, str(own.SOPInstanceUID): 0x0112}
    assert asker.reports.get() == (2, [str(images[0].SOPInstanceUID)], missing)
    assert asker.ask(world.port, [], wait=False) == 0x0115


def test_a_configured_peer_is_told_on_an_association_of_its_own(tmp_path: Path) -> None:
    asker, port = Asker(), free_port()
    peer = {"host": "127.0.0.1", "port": port, "called_ae": "MR1"}
    source = {"name": "mr", "kind": "c-store", "calling_ae": ["MR1"], "commitment": peer}
    ae = AE("MR1")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=asker.handlers)
    assert server is not None
    try:
        with ArrivalWorld(tmp_path, sources=[source]) as world:
            (first, *_) = series("a")
            send(world.port, [first])
            asker.ask(world.port, [first], wait=False)
            assert asker.reports.get(timeout=20) == (1, [str(first.SOPInstanceUID)], {})
    finally:
        server.shutdown()


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate that signs itself, and its key."""
    openssl = str(require("openssl"))
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    place = f"-subj /CN={name} -addext subjectAltName=IP:127.0.0.1"
    files = f"-out {paths[0]} -keyout {paths[1]}"
    subprocess.run(
        [openssl, *f"{options} {place} {files}".split()], check=True, capture_output=True
    )
    return paths


def test_over_tls_only_known_certificates_are_let_in(tmp_path: Path) -> None:
    ours, our_key = certificate(tmp_path, "listener")
    theirs, their_key = certificate(tmp_path, "scanner")
    stranger, strange_key = certificate(tmp_path, "stranger")
    tls = {"certificate_file": str(ours), "key_file": str(our_key), "ca_file": str(theirs)}

    def context(own: Path, key: Path) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(ours))
        made.load_cert_chain(str(own), str(key))
        return made

    (instance, *_) = series("a")
    ae = AE("MR1")
    ae.acse_timeout = ae.network_timeout = 10
    ae.add_requested_context(instance.SOPClassUID)
    with ArrivalWorld(tmp_path, listener={"tls": tls}) as world:
        place = ("127.0.0.1", world.port)
        # Whoever connects and says nothing holds up nobody.
        with socket.create_connection(place):
            known = ae.associate(
                *place, ae_title="THROMBOLENS", tls_args=(context(theirs, their_key), "127.0.0.1")
            )
            assert known.is_established
            assert known.send_c_store(instance).Status == 0x0000
            known.release()
            unknown = ae.associate(
                *place,
                ae_title="THROMBOLENS",
                tls_args=(context(stranger, strange_key), "127.0.0.1"),
            )
            assert not unknown.is_established
        without = ae.associate(*place, ae_title="THROMBOLENS")
        assert not without.is_established


@contextmanager
def listening(world: ArrivalWorld, folder: Path) -> Iterator[tuple[Processes, Any]]:
    """Run the listener as a process on the data of a world whose own one is closed."""
    with Processes(world.settings, folder) as processes:
        process = processes.start("-m", LISTENER)
        wait_until(lambda: "listener_started" in processes.logs(), 60, "it listens")
        yield processes, process


def test_a_listener_that_is_killed_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    quick = {"series_quiet_seconds": 1, "study_quiet_seconds": 1, "deadline_seconds": 60}
    source = {"name": "scanner", "kind": "c-store", "calling_ae": ["MR1"], "policy": quick}
    world = ArrivalWorld(tmp_path, sources=[source], arrival_interval_seconds=0.2)
    instances = series("a", slices=12)
    logs = tmp_path / "logs"
    for name in ("first", "second"):
        (logs / name).mkdir(parents=True)
    with (
        listening(world, logs / "first") as (_, process),
        associated(world.port, instances) as association,
    ):
        for each in instances[:7]:
            assert association.send_c_store(each).Status == 0x0000
        sigkill(process)
    with listening(world, logs / "second") as (processes, process):
        (job,) = wait_until(world.jobs, 20, "the study is started")
        assert job.arrival is not None
        assert job.arrival.instances == 7
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        told = processes.logs()
    assert json.loads(told.splitlines()[0])
    assert PATIENT.split("^")[0] not in told
    world.service.gateway.close()


def test_the_command_shows_what_arrives(world: ArrivalWorld) -> None:
    world.send(series("a"))
    world.after(30)
    world.send(series("b"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "service.entrypoints.cli", "arrivals"],
        env=world.settings.environment() | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "2 shown" in done.stdout
    assert "COLLECTING" in done.stdout
    assert "by quiet, 6 instances, 0 came late" in done.stdout


def test_without_sources_the_process_says_so_in_one_line(tmp_path: Path) -> None:
    with Processes(Settings(data_dir=tmp_path / "data"), tmp_path) as processes:
        assert processes.start("-m", LISTENER).wait(60) == 1
        (line,) = processes.logs().strip().splitlines()
    assert "THROMBOLENS_SOURCES is not set" in line
