"""A finished job with small real objects, and what delivers it, for tests of deliveries."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from service.adapters.delivery_database import DeliveryDatabase
from service.adapters.destination_entries import AnyEntry, DestinationFile, destination_of
from service.adapters.job_database import JobDatabase
from service.adapters.result_files import JobFolders, write_folder
from service.adapters.result_objects import read_objects
from service.adapters.senders import open_channel
from service.application.deliver_results import Channel, Deliverer
from service.application.ports import ResultObject
from service.domain.delivery import Delivery
from service.domain.destination import ObjectKind
from service.domain.job import Job, Lease, Outcome
from tests.fakes import FakeClock

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
STUDY = "1.2.3"
SERIES = "1.2.3.4"
UIDS = {
    ObjectKind.SEGMENTATION: "2.25.101",
    ObjectKind.STRUCTURED_REPORT: "2.25.102",
    ObjectKind.KEY_IMAGE: "2.25.103",
}
CLASSES = {
    ObjectKind.SEGMENTATION: SEGMENTATION,
    ObjectKind.STRUCTURED_REPORT: COMPREHENSIVE_3D_SR,
    ObjectKind.KEY_IMAGE: SECONDARY_CAPTURE,
}
# Nobody may find this in a log, a file name, a message or a status.
PATIENT = "Hush^Patient"
JOB = "a" * 32
LEASE = "b" * 32
FILES = tuple(kind.file.value for kind in ObjectKind)


def dicom(kind: ObjectKind, study: str = STUDY, uid: str | None = None) -> bytes:
    """Return a small DICOM file of the class of a result."""
    with disable_value_validation():
        dataset = Dataset()
        dataset.SOPClassUID = CLASSES[kind]
        dataset.SOPInstanceUID = uid or UIDS[kind]
        dataset.StudyInstanceUID = study
        dataset.SeriesInstanceUID = SERIES
        dataset.PatientName = PATIENT
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        buffer = BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def report(study: str = STUDY) -> bytes:
    """Return a report as far as deliveries read it."""
    uid = UIDS[ObjectKind.STRUCTURED_REPORT]
    return json.dumps(
        {"study_instance_uid": study, "structured_report_sop_instance_uid": uid}
    ).encode()


def results() -> dict[str, bytes]:
    """Return the files of an analysis."""
    files = {kind.file.value: dicom(kind) for kind in UIDS}
    return files | {ObjectKind.REPORT.file.value: report()}


def entry(**values: Any) -> AnyEntry:
    """Return an entry of the file of destinations, checked as if it stood there."""
    content = {"version": 1, "destinations": [{"name": "pacs", **values}]}
    return DestinationFile.model_validate(content).destinations[0]


class DeliveryWorld:
    """A job database, results on disk and a clock; destinations as given."""

    def __init__(self, folder: Path, *entries: AnyEntry) -> None:
        self.entries = {each.name: each for each in entries}
        self.clock = FakeClock()
        self.address = f"sqlite:///{folder / 'data' / 'jobs.sqlite3'}"
        self.database = JobDatabase(self.address, [destination_of(each) for each in entries])
        self.database.upgrade()
        self.store = DeliveryDatabase(self.database.engine)
        self.folders = JobFolders(folder / "data" / "uploads", folder / "data" / "results")
        self.abandoned = 0
        self._channels: dict[str, Channel] = {}

    def finish(
        self, job_id: str = JOB, result: str = "thrombus_found", files: tuple[str, ...] = FILES
    ) -> Job:
        """Put a job that succeeded, as a worker does."""
        now = self.clock()
        waiting = Job.queued(job_id, "m:1", now)
        self.database.add(waiting)
        lease = Lease(LEASE, now)
        assert self.database.replace(waiting, waiting.claimed(lease, now))
        running = self.database.get(job_id)
        content = results()
        write_folder(self.folders.results(job_id, LEASE), {name: content[name] for name in files})
        done = running.succeeded(LEASE, Outcome(result, files), now)
        assert self.database.replace(running, done)
        return self.database.get(job_id)

    def deliverer(self, name: str = "pacs", lease_seconds: float = 30.0) -> Deliverer:
        """Return what delivers to one of the destinations."""
        if name not in self._channels:
            self._channels[name] = open_channel(self.entries[name])
        return Deliverer(
            channel=self._channels[name],
            store=self.store,
            read=self.read,
            clock=self.clock,
            lease_seconds=lease_seconds,
            abandon=self._abandon,
        )

    def close(self) -> None:
        """Close what destinations may reach us by."""
        while self._channels:
            self._channels.popitem()[1].close()

    def read(self, delivery: Delivery) -> tuple[ResultObject, ...]:
        """Read the objects of a delivery."""
        folder = self.folders.results(delivery.job_id, LEASE)
        return read_objects(folder, [each.kind for each in delivery.objects])

    def only(self, job_id: str = JOB) -> Delivery:
        """Return the one delivery of a job."""
        (found,) = self.store.of_job(job_id)
        return found

    def states(self, job_id: str = JOB) -> dict[str, str]:
        """Return state by kind of the objects of the one delivery of a job."""
        return {each.kind.value: each.state.value for each in self.only(job_id).objects}

    def statuses(self, job_id: str = JOB) -> dict[str, str | None]:
        """Return what the receiver said by kind of object."""
        return {each.kind.value: each.status for each in self.only(job_id).objects}

    def _abandon(self) -> None:
        self.abandoned += 1
