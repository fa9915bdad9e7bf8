"""What arrives, in all the ways it can, and how many jobs and deliveries each must cause."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from service.domain.job import Job
from tests.arrival import FLAIR, SWI, ArrivalWorld, associated, compressed, plain, series
from tests.dicom_peers import LEFT_SOCKETS
from tests.results import GRID, IMAGE, labels, segmentation_of, structured_report_of
from tests.strategies import enhanced_mr, mr_series, uid

pytestmark = LEFT_SOCKETS
OK = 0x0000
OWN_OUTPUT = 0x0124

Scenario = Callable[[ArrivalWorld], None]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ArrivalWorld]:
    with ArrivalWorld(tmp_path) as world:
        yield world


def one_study(world: ArrivalWorld) -> None:
    assert world.send(series("a")) == [OK] * 6
    assert world.after(29) == ()
    (job,) = world.after(1)
    assert job.arrival is not None
    assert (job.arrival.source, job.arrival.reason, job.arrival.instances) == (
        "scanner",
        "quiet",
        6,
    )
    assert world.after(1000) == ()
    assert world.analysis.files == [6]


def interleaved_on_one_association(world: ArrivalWorld) -> None:
    mixed = [each for pair in zip(series("a"), series("b"), strict=True) for each in pair]
    world.send(mixed)
    assert len(world.after(30)) == 2
    assert world.analysis.files == [6, 6]


def interleaved_at_the_same_time(world: ArrivalWorld) -> None:
    studies = {"MR1": series("a", slices=20), "MR2": series("b", slices=20)}
    threads = [
        threading.Thread(target=world.send, args=(instances,), kwargs={"calling": title})
        for title, instances in studies.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.after(30)) == 2
    assert world.analysis.files == [20, 20]


def split_over_associations(world: ArrivalWorld) -> None:
    instances = series("a")
    for part in (instances[:2], instances[2:3], instances[3:]):
        world.send(part)
        assert world.after(20) == ()
    assert len(world.after(10)) == 1
    assert world.analysis.files == [6]


def every_instance_twice(world: ArrivalWorld) -> None:
    instances = series("a")
    assert world.send(instances + instances) == [OK] * 12
    (job,) = world.after(30)
    assert job.arrival is not None
    assert (job.arrival.instances, job.arrival.duplicates) == (6, 6)
    assert world.on_disk() == 6


def one_instance_on_many_associations_at_once(world: ArrivalWorld) -> None:
    (instance, *_) = series("a")
    barrier = threading.Barrier(6)

    def hurry() -> None:
        with associated(world.port, [instance]) as association:
            barrier.wait(20)
            assert association.send_c_store(instance).Status == OK

    threads = [threading.Thread(target=hurry) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (job,) = world.after(30)
    assert job.arrival is not None
    assert (job.arrival.instances, job.arrival.duplicates) == (1, 5)


def sent_again_after_the_start(world: ArrivalWorld) -> None:
    world.send(series("a"))
    world.after(30)
    assert world.send(series("a")) == [OK] * 6
    assert world.after(1000) == ()
    (job,) = world.jobs()
    assert job.arrival is not None
    assert (job.arrival.duplicates, job.arrival.late) == (6, 0)


def sent_again_by_another_source(world: ArrivalWorld) -> None:
    world.send(series("a"))
    world.after(30)
    world.send(series("a"), calling="ONCE")
    assert world.after(1000) == ()


def a_duplicate_keeps_the_round_open(world: ArrivalWorld) -> None:
    instances = series("a")
    world.send(instances[:3])
    assert world.after(25) == ()
    world.send(instances[:1])
    assert world.after(25) == ()
    world.send(instances[3:])
    assert len(world.after(30)) == 1
    assert world.analysis.files == [6]


def late_series_rerun(world: ArrivalWorld) -> None:
    world.send(series("a"))
    (first,) = world.after(30)
    world.send(series("a", "flair", **FLAIR))
    assert world.after(29) == ()
    (second,) = world.after(1)
    assert world.analysis.files == [6, 12]
    first, second = world.jobs()
    assert first.arrival is not None
    assert second.arrival is not None
    assert (first.arrival.superseded_by, first.arrival.late) == (second.job_id, 6)
    assert (second.arrival.supersedes, second.arrival.round) == (first.job_id, 2)
    assert first.outcome is not None
    none, earlier = world.analysis.earlier
    assert none is None
    assert earlier is not None
    assert (earlier.parent.name, earlier.name) == (first.job_id, first.results_lease)


def late_series_ignored(world: ArrivalWorld) -> None:
    world.send(series("a"), calling="ONCE")
    world.after(30)
    assert world.send(series("a", "flair", **FLAIR), calling="ONCE") == [OK] * 6
    assert world.after(1000) == ()
    (job,) = world.jobs()
    assert job.arrival is not None
    assert (job.arrival.late, job.arrival.superseded_by) == (6, None)


def late_series_ignored_until_somebody_asks(world: ArrivalWorld) -> None:
    world.send(series("a"), calling="ONCE")
    world.after(30)
    world.send(series("a", "flair", **FLAIR), calling="ONCE")
    assert world.after(1000) == ()
    first, second = (world.ask("a") for _ in range(2))
    assert first.arrival is not None
    assert (first.arrival.reason, first.arrival.instances) == ("fetched", 12)
    assert second.job_id == first.job_id
    assert world.analysis.files == [6, 12]


def late_series_and_then_all_again(world: ArrivalWorld) -> None:
    everything = series("a") + series("a", "flair", **FLAIR)
    world.send(everything[:6])
    world.after(30)
    world.send(everything[6:])
    world.after(30)
    world.send(everything)
    assert world.after(1000) == ()


def aborted_and_taken_up_again(world: ArrivalWorld) -> None:
    instances = series("a")
    with associated(world.port, instances) as association:
        for each in instances[:4]:
            assert association.send_c_store(each).Status == OK
        association.abort()
    assert world.on_disk() == 4
    world.send(instances)
    (job,) = world.after(30)
    assert job.arrival is not None
    assert (job.arrival.instances, job.arrival.duplicates) == (6, 4)


def aborted_for_good(world: ArrivalWorld) -> None:
    instances = series("a")
    with associated(world.port, instances) as association:
        for each in instances[:4]:
            association.send_c_store(each)
        association.abort()
    assert len(world.after(30)) == 1
    assert world.analysis.files == [4]


def compressed_series(world: ArrivalWorld) -> None:
    instances = compressed(series("a", "rle"), RLELossless)
    deflated = series("a", "deflated")
    for each in deflated:
        each.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert world.send(instances + deflated) == [OK] * 12
    assert len(world.after(30)) == 1
    assert world.analysis.files == [12]


def enhanced_instance(world: ArrivalWorld) -> None:
    assert world.send([enhanced_mr(IMAGE, StudyInstanceUID=uid("enhanced"))]) == [OK]
    assert len(world.after(30)) == 1
    assert world.analysis.files == [1]


def own_results_sent_back(world: ArrivalWorld) -> None:
    images = mr_series(IMAGE)
    world.send(images)
    world.after(30)
    mask = labels(GRID)
    own = [plain(segmentation_of(mask, images)), plain(structured_report_of(mask, images))]
    assert world.send(own) == [OWN_OUTPUT] * 2
    assert world.after(1000) == ()
    assert world.refusals() == {("scanner", "OWN_OUTPUT"): 2}
    assert world.on_disk() == len(images)


def own_results_among_the_images(world: ArrivalWorld) -> None:
    images = mr_series(IMAGE)
    own = plain(segmentation_of(labels(GRID), images))
    assert world.send([own, *images]) == [OWN_OUTPUT, *[OK] * len(images)]
    assert len(world.after(30)) == 1
    assert world.analysis.files == [len(images)]


def reports_of_others_start_nothing(world: ArrivalWorld) -> None:
    images = mr_series(IMAGE)
    foreign = plain(structured_report_of(labels(GRID), images))
    foreign.Manufacturer = foreign.ManufacturerModelName = "Somebody else"
    del foreign.ContributingEquipmentSequence
    assert world.send([foreign]) == [OK]
    assert world.after(1000) == ()
    world.send(images)
    assert len(world.after(30)) == 1
    again = plain(structured_report_of(None, images))
    again.Manufacturer = again.ManufacturerModelName = "Somebody else"
    again.SOPInstanceUID = uid("again")
    again.file_meta.MediaStorageSOPInstanceUID = UID(uid("again"))
    del again.ContributingEquipmentSequence
    world.send([again])
    assert world.after(1000) == ()
    assert world.analysis.files == [len(images)]


def early_start(world: ArrivalWorld) -> None:
    world.send(series("a", **SWI), calling="HASTY")
    world.clock.pass_by(5)
    flair = series("a", "flair", **FLAIR)
    world.send(flair[:3], calling="HASTY")
    assert world.after(4) == ()
    (job,) = world.after(1)
    assert job.arrival is not None
    # The series that still arrived is late, and not in this job.
    assert (job.arrival.reason, job.arrival.instances) == ("early", 6)
    world.send(flair[3:], calling="HASTY")
    (again,) = world.after(30)
    assert again.arrival is not None
    assert (again.arrival.reason, again.arrival.instances) == ("quiet", 12)
    assert world.analysis.files == [6, 12]


def early_start_after_a_disk_that_failed_once(world: ArrivalWorld) -> None:
    world.send(series("a", **SWI), calling="HASTY")
    world.clock.pass_by(10)
    uploads = world.settings.uploads_dir
    away = uploads.rename(uploads.with_name("away"))
    assert world.after(0) == ()
    away.rename(uploads)
    (job,) = world.after(0)
    assert job.arrival is not None
    assert job.arrival.reason == "early"


def no_early_start_without_the_roles(world: ArrivalWorld) -> None:
    world.send(series("a", "flair", **FLAIR), calling="HASTY")
    assert world.after(29) == ()
    (job,) = world.after(1)
    assert job.arrival is not None
    assert job.arrival.reason == "quiet"


def deadline_of_a_study_without_end(world: ArrivalWorld) -> None:
    instances = series("a", slices=15)
    started: list[Job] = []
    for each in instances:
        world.send([each])
        started += world.after(25)
    (job,) = started
    assert job.arrival is not None
    # At 300 s, when the twelfth of fifteen had come.
    assert (job.arrival.reason, job.arrival.instances) == ("deadline", 12)
    assert len(world.after(30)) == 1
    assert world.analysis.files == [12, 15]


def listener_restarted_in_between(world: ArrivalWorld) -> None:
    instances = series("a")
    world.send(instances[:3])
    world.restart()
    world.send(instances[3:])
    world.restart()
    assert len(world.after(30)) == 1
    world.restart()
    assert world.after(1000) == ()
    assert world.analysis.files == [6]


def two_listeners_start_a_study_once(world: ArrivalWorld) -> None:
    world.send(series("a"))
    world.clock.pass_by(30)
    barrier = threading.Barrier(4)
    started: list[int] = []

    def look() -> None:
        barrier.wait()
        started.append(len(world.service.start_due()))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(started) == [0, 0, 0, 1]
    for job in world.jobs():
        world._runner().run(job.job_id)
    world.deliver()


def strangers_are_not_let_in(world: ArrivalWorld) -> None:
    for titles in ({"calling": "STRANGER"}, {"called": "SOMEBODY"}):
        with associated(world.port, series("a"), **titles) as association:
            assert association.is_rejected
    assert world.after(1000) == ()


# Exactly so many jobs, and deliveries that were sent.
SCENARIOS: list[tuple[Scenario, int, int]] = [
    (one_study, 1, 1),
    (interleaved_on_one_association, 2, 2),
    (interleaved_at_the_same_time, 2, 2),
    (split_over_associations, 1, 1),
    (every_instance_twice, 1, 1),
    (one_instance_on_many_associations_at_once, 1, 1),
    (sent_again_after_the_start, 1, 1),
    (sent_again_by_another_source, 1, 1),
    (a_duplicate_keeps_the_round_open, 1, 1),
    (late_series_rerun, 2, 2),
    (late_series_ignored, 1, 1),
    (late_series_ignored_until_somebody_asks, 2, 2),
    (late_series_and_then_all_again, 2, 2),
    (aborted_and_taken_up_again, 1, 1),
    (aborted_for_good, 1, 1),
    (compressed_series, 1, 1),
    (enhanced_instance, 1, 1),
    (own_results_sent_back, 1, 1),
    (own_results_among_the_images, 1, 1),
    (reports_of_others_start_nothing, 1, 1),
    (early_start, 2, 2),
    (early_start_after_a_disk_that_failed_once, 1, 1),
    (no_early_start_without_the_roles, 1, 1),
    (deadline_of_a_study_without_end, 2, 2),
    (listener_restarted_in_between, 1, 1),
    (two_listeners_start_a_study_once, 1, 1),
    (strangers_are_not_let_in, 0, 0),
]


@pytest.mark.parametrize(
    ("scenario", "jobs", "deliveries"),
    SCENARIOS,
    ids=[scenario.__name__ for scenario, _, _ in SCENARIOS],
)
def test_arrival(world: ArrivalWorld, scenario: Scenario, jobs: int, deliveries: int) -> None:
    scenario(world)
    assert (len(world.jobs()), world.sent()) == (jobs, deliveries)
