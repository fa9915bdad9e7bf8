"""A listener on loopback with its database, disk and clock, real senders, and what comes of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import numpy as np
import yaml
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from service.adapters.result_files import write_folder
from service.adapters.result_objects import read_objects
from service.adapters.senders import open_channel
from service.application.deliver_results import Deliverer
from service.application.ports import ResultObject, StageProgress
from service.application.run_job import JobRunner
from service.bootstrap.listening import ListenerService
from service.domain.delivery import Delivery
from service.domain.geometry import Geometry
from service.domain.job import Job, JobState, Outcome
from service.domain.volume import Volume
from service.settings import Settings
from tests.api import write_model
from tests.delivered import results as small_results
from tests.fakes import FakeClock
from tests.processes import free_port
from tests.strategies import dicom_axes, mr_series, rotation, uid

POLICY = {"series_quiet_seconds": 10, "study_quiet_seconds": 30, "deadline_seconds": 300}
SWI: dict[str, Any] = {
    "Manufacturer": "SIEMENS",
    "SeriesDescription": "SWI_Images",
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "SWI"],
    "ScanningSequence": "GR",
    "SequenceName": "*swi3d1r",
    "MRAcquisitionType": "3D",
    "EchoTime": 20.0,
    "RepetitionTime": 28.0,
    "FlipAngle": 15.0,
}
FLAIR: dict[str, Any] = {
    "SeriesDescription": "t2_tirm_tra_dark-fluid",
    "ScanningSequence": ["SE", "IR"],
    "EchoTime": 90.0,
    "RepetitionTime": 9000.0,
    "InversionTime": 2500.0,
}
# Nobody may find this in a log, a file name, a message or a metric.
PATIENT = "Hush^Patient"


def series(study: str, name: str = "swi", slices: int = 6, **attributes: Any) -> list[Dataset]:
    """Return a small series of a study."""
    grid = Geometry.from_components(
        origin=(0.0, 0.0, 0.0),
        axes=dicom_axes(rotation((1.0, 0.0, 0.0, 0.0))),
        spacing=(2.0, 1.0, 1.0),
        shape=(slices, 8, 8),
        frame_of_reference_uid=uid("frame", study),
    )
    voxels = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    chosen: dict[str, Any] = {
        "StudyInstanceUID": uid("study", study),
        "SeriesInstanceUID": uid("series", study, name),
        "PatientID": f"ID-{study}",
        "PatientName": PATIENT,
    }
    return mr_series(Volume(voxels, grid), **chosen | attributes)


@contextmanager
def associated(
    port: int, instances: Sequence[Dataset], calling: str = "MR1", called: str = "THROMBOLENS"
) -> Iterator[Association]:
    """Yield an association for these instances as they are encoded; released if it still stands."""
    ae = AE(calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    wanted = {(str(i.SOPClassUID), str(i.file_meta.TransferSyntaxUID)) for i in instances}
    for sop_class, syntax in sorted(wanted):
        ae.add_requested_context(sop_class, syntax)
    association = ae.associate("127.0.0.1", port, ae_title=called)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def send(port: int, instances: Sequence[Dataset], **titles: str) -> list[int]:
    """Send instances on one association; return the statuses."""
    with associated(port, instances, **titles) as association:
        assert association.is_established
        return [int(association.send_c_store(each).Status) for each in instances]


@dataclass
class CountingAnalysis:
    """Writes small real objects, and remembers how many files every job had."""

    files: list[int] = field(default_factory=list)
    earlier: list[Path | None] = field(default_factory=list)

    def __call__(
        self,
        upload: Path,
        model: str,
        results: Path,
        progress: StageProgress,
        earlier: Path | None = None,
    ) -> Outcome:
        progress.stage("read", 0.0)
        self.earlier.append(earlier)
        self.files.append(len(list(upload.iterdir())))
        content = small_results()
        write_folder(results, content)
        return Outcome("thrombus_found", tuple(content))


class ArrivalWorld:
    """A listener whose clock stands; jobs run and results are delivered when told to."""

    def __init__(
        self,
        folder: Path,
        *,
        sources: Sequence[dict[str, Any]] | None = None,
        listener: dict[str, Any] | None = None,
        destination: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.folder = folder
        write_model(folder / "models")
        self.port = free_port()
        self.clock = FakeClock()
        self.analysis = CountingAnalysis()
        self.share = folder / "share"
        self.share.mkdir()
        self._write("sources", self._sources(sources, listener or {}))
        share = {"name": "share", "kind": "folder", "path": str(self.share)}
        self._write("destinations", {"destinations": [destination or share]})
        chosen: dict[str, Any] = {
            "data_dir": folder / "data",
            "models_dir": folder / "models",
            "default_model": "net",
            "sources": folder / "sources.yaml",
            "destinations": folder / "destinations.yaml",
            "arrival_reserve_bytes": 0,
        }
        self.settings = Settings(**chosen | settings)
        self.service = ListenerService(self.settings, self.clock)

    def _sources(
        self, sources: Sequence[dict[str, Any]] | None, listener: dict[str, Any]
    ) -> dict[str, Any]:
        given = sources or (
            {"name": "scanner", "kind": "c-store", "calling_ae": ["MR1", "MR2"], "policy": POLICY},
            {
                "name": "once",
                "kind": "c-store",
                "calling_ae": ["ONCE"],
                "policy": POLICY | {"late_series": "ignore"},
            },
            {
                "name": "hasty",
                "kind": "c-store",
                "calling_ae": ["HASTY"],
                "policy": POLICY | {"early_start": ["SUSC"]},
            },
        )
        place = {"host": "127.0.0.1", "port": self.port, **listener}
        return {"listener": place, "sources": list(given)}

    def _write(self, name: str, content: dict[str, Any]) -> None:
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump({"version": 1, **content}))

    def __enter__(self) -> Self:
        self.service.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.service.close()

    def restart(self) -> None:
        """Stop the listener and start another one on the same data."""
        self.service.close()
        self.service = ListenerService(self.settings, self.clock)
        self.service.open()

    def send(self, instances: Sequence[Dataset], **titles: str) -> list[int]:
        """Send instances on one association; return the statuses."""
        return send(self.port, instances, **titles)

    def after(self, seconds: float) -> tuple[Job, ...]:
        """Let time pass, start what is due, run the new jobs and deliver; return the jobs."""
        self.clock.pass_by(seconds)
        started = self.service.start_due()
        for job in started:
            self._runner().run(job.job_id)
        self.deliver()
        return tuple(self.service.gateway.database.get(job.job_id) for job in started)

    def ask(self, study: str) -> Job:
        """Ask for a study of which all is here, run its job if it waits, and deliver."""
        job = self.service.gateway.arrivals._starter.start_fetched(uid("study", study))
        self._runner().run(job.job_id)
        self.deliver()
        return self.service.gateway.database.get(job.job_id)

    def deliver(self) -> None:
        """Deliver what is due."""
        gateway = self.service.gateway
        for entry in gateway.destinations:
            Deliverer(
                channel=open_channel(entry),
                store=gateway.deliveries,
                read=self._read,
                clock=lambda: self.clock() + timedelta(days=1),
                lease_seconds=30.0,
                abandon=lambda: None,
            ).deliver_due()

    def jobs(self) -> tuple[Job, ...]:
        """Return all jobs, the oldest first."""
        return tuple(reversed(self.service.gateway.database.recent(100)))

    def sent(self) -> int:
        """Return how many deliveries were sent."""
        found = self.service.gateway.deliveries.recent(100)
        return sum(each.state.value == "SENT" for each in found)

    def refusals(self) -> dict[tuple[str, str], int]:
        """Return how many instances were refused, by source and code."""
        return dict(self.service.gateway.arrivals.database.statistics().refusals)

    def on_disk(self) -> int:
        """Return how many instances lie among the arrivals."""
        return len(list(self.settings.arrivals_dir.glob("*/*.dcm")))

    def _runner(self) -> JobRunner:
        gateway = self.service.gateway
        return JobRunner(
            store=gateway.database,
            files=gateway.folders,
            analyse=self.analysis,
            clock=self.clock,
            limits=gateway.limits,
            abandon=lambda: None,
        )

    def _read(self, delivery: Delivery) -> tuple[ResultObject, ...]:
        gateway = self.service.gateway
        job = gateway.database.get(delivery.job_id)
        assert job.state is JobState.SUCCEEDED
        assert job.results_lease is not None
        folder = gateway.folders.results(job.job_id, job.results_lease)
        return read_objects(folder, [each.kind for each in delivery.objects])


def compressed(instances: Sequence[Dataset], syntax: str) -> list[Dataset]:
    """Return instances in another transfer syntax."""
    for instance in instances:
        instance.compress(syntax, encoding_plugin="pydicom")
    return list(instances)


def plain(instance: Dataset) -> Dataset:
    """Return an object with a file meta that says how it is encoded."""
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return instance
