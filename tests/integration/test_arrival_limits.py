"""What arrives is bounded, nobody else is let in, and a receiver that is down loses nothing."""

from pathlib import Path

import pytest

from tests.arrival import ArrivalWorld, associated, send, series
from tests.dicom_peers import LEFT_SOCKETS, StoragePeer
from tests.processes import free_port

pytestmark = LEFT_SOCKETS
OK = 0x0000
OUT_OF_RESOURCES = 0xA700


# pynetdicom leaves the socket of a connection that was refused to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_destination_that_is_down_gets_the_result_once_it_is_back(tmp_path: Path) -> None:
    peer, port = StoragePeer(), free_port()
    place = {"name": "pacs", "kind": "c-store", "host": "127.0.0.1", "port": port}
    told = {**place, "called_ae": "PACS", "confirm": "none", "timeout_seconds": 2}
    with ArrivalWorld(tmp_path, destination=told) as world:
        world.send(series("a"))
        world.after(30)
        assert (len(world.jobs()), world.sent()) == (1, 0)
        with peer.listening(port):
            world.clock.pass_by(3600)
            world.deliver()
        assert (len(world.jobs()), world.sent()) == (1, 1)
    assert len(peer.sent) == 3


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    with ArrivalWorld(tmp_path, arrival_reserve_bytes=1 << 60) as world:
        assert world.send(series("a")) == [OUT_OF_RESOURCES] * 6
        assert world.refusals() == {("scanner", "STORAGE_FAILED"): 6}
        assert world.after(1000) == ()
        assert (world.on_disk(), len(world.jobs())) == (0, 0)
        world.settings = world.settings.model_copy(update={"arrival_reserve_bytes": 0})
        world.restart()
        assert world.send(series("a")) == [OK] * 6
        world.after(30)
        assert (len(world.jobs()), world.sent()) == (1, 1)


def test_a_study_without_end_is_bounded(tmp_path: Path) -> None:
    with ArrivalWorld(tmp_path, max_files=4) as world:
        assert world.send(series("a")) == [OK] * 4 + [OUT_OF_RESOURCES] * 2
        assert world.on_disk() == 4
        # Another study is not held up.
        assert world.send(series("b", slices=3)) == [OK] * 3
        world.after(30)
    assert sorted(world.analysis.files) == [3, 4]


def test_the_right_title_from_the_wrong_address_is_rejected(tmp_path: Path) -> None:
    source = {"name": "scanner", "kind": "c-store", "calling_ae": ["MR1"]}
    with (
        ArrivalWorld(tmp_path, sources=[source | {"addresses": ["10.1.2.3"]}]) as world,
        associated(world.port, series("a")) as association,
    ):
        assert association.is_rejected


def test_more_associations_than_allowed_are_turned_away(tmp_path: Path) -> None:
    with (
        ArrivalWorld(tmp_path, listener={"max_associations": 1}) as world,
        associated(world.port, series("a")) as first,
        associated(world.port, series("a")) as second,
    ):
        assert first.is_established
        assert second.is_rejected


def test_an_object_without_end_is_cut_off(tmp_path: Path) -> None:
    with ArrivalWorld(tmp_path, max_file_bytes=200_000) as world:
        large = series("a")[:1]
        large[0].add_new("PixelData", "OW", bytes(3_000_000))
        with associated(world.port, large) as association:
            assert "Status" not in association.send_c_store(large[0])
        assert send(world.port, series("b")) == [OK] * 6
        assert world.on_disk() == 6
        assert list(world.service.gateway.arrivals.folders.incoming.iterdir()) == []


def test_what_arrived_is_deleted_with_its_job_and_not_before(tmp_path: Path) -> None:
    with ArrivalWorld(tmp_path) as world:
        world.send(series("a"))
        (job,) = world.after(30)
        world.clock.pass_by(10 * 86_400)
        gateway = world.service.gateway
        gateway.arrivals.forget_old(1)
        assert world.on_disk() == 6
        gateway.folders.discard(job.job_id)
        gateway.database.forget(job.job_id)
        gateway.arrivals.forget_old(30)
        assert world.on_disk() == 6
        gateway.arrivals.forget_old(1)
        assert world.on_disk() == 0
        # It is unknown now: the same study is a new one.
        world.send(series("a"))
        assert len(world.after(30)) == 1
