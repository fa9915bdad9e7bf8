"""The API on a real port, with a real job database and real files, without any worker."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import sqlalchemy as sa

from service.bootstrap.gateway import Gateway, utc_now
from service.domain.job import Job, Lease, Outcome
from service.domain.model_spec import InputSpec, ModelSpec
from service.entrypoints.api.app import create_app
from service.settings import Settings
from tests.processes import served

MODEL = ModelSpec(
    name="net",
    version="1.0.0",
    sha256="0" * 64,
    input=InputSpec(),
    state_channels=64,
    threshold=0.5,
    min_volume_mm3=5.0,
    intended_use="tests",
    training_data="none",
)
RESULTS = {
    "report.json": b'{"result": "thrombus_found"}',
    "structured_report.dcm": b"DICM",
    "key_image.dcm": b"DICM",
    "segmentation.dcm": b"DICM",
    "mask.nii.gz": b"nifti",
    "preview.png": b"png",
}


def write_model(models: Path) -> None:
    """Install a model of which only model.json exists."""
    folder = models / MODEL.name / MODEL.version
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(MODEL.to_json()))


class ApiWorld:
    """An API and its surroundings in one folder."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.models = folder / "models"
        write_model(self.models)
        chosen: dict[str, Any] = {
            "data_dir": folder / "data",
            "models_dir": self.models,
            "default_model": "net",
            "ready_timeout_seconds": 0.3,
            "event_interval_seconds": 0.05,
        }
        self.settings = Settings(**chosen | settings)
        self.gateway = Gateway(self.settings)
        self.app = create_app(self.gateway)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        address = self._stack.enter_context(served(self.app))
        self.client = self._stack.enter_context(httpx.Client(base_url=address, timeout=30))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def left_over(self) -> list[Path]:
        """Return whatever lies in the folder of uploads and belongs to no job."""
        known = {job.job_id for job in self.gateway.database.recent(1000)}
        return [p for p in self.gateway.folders.uploads.iterdir() if p.name not in known]

    def queue_job(self) -> Job:
        """Send a study and return its job."""
        answer = self.client.post("/segment", files=[("files", ("a", b"x"))])
        return self.gateway.database.get(answer.json()["job_id"])

    def claim(self, job: Job) -> Job:
        """Take a job as a worker does, without renewing the lease."""
        now = utc_now()
        lease = self.gateway.limits.lease("1" * 32, now)
        return self.put(job, job.claimed(lease, now).entered(lease.token, "read", 0.0, now))

    def finish(self, job: Job, result: str, names: tuple[str, ...] = tuple(RESULTS)) -> Job:
        """End a running job with some of the results."""
        assert isinstance(job.lease, Lease)
        folder = self.gateway.folders.results(job.job_id, job.lease.token)
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_bytes(RESULTS[name])
        return self.put(job, job.succeeded(job.lease.token, Outcome(result, names), utc_now()))

    def put(self, before: Job, after: Job) -> Job:
        """Store a change and return the job as stored."""
        assert self.gateway.database.replace(before, after)
        return self.gateway.database.get(before.job_id)

    @contextmanager
    def broken_database(self) -> Iterator[None]:
        """Take the tables away for a while."""
        path = self.settings.data_dir / "jobs.sqlite3"
        engine = sa.create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE jobs RENAME TO hidden")
        yield
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE hidden RENAME TO jobs")
        engine.dispose()
