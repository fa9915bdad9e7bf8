"""Everything an operator can set; the only reader of the environment.

Each setting is an environment variable: its name here in upper case after ``THROMBOLENS_``. Those
that may hold passwords can be in a file instead, named by the variable with ``_FILE`` at its end.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.domain.errors import ConfigurationError
from service.domain.report import ReportTitle
from service.domain.segmentation_form import SegmentationForm

PREFIX = "THROMBOLENS_"
FILE_SUFFIX = "_FILE"
MIB = 1024 * 1024

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class SecretFiles(PydanticBaseSettingsSource):
    """Reads settings that may hold passwords from files that the environment names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the content of the file of a setting, or None if no file is named."""
        variable = PREFIX + field_name.upper()
        place = os.environ.get(variable + FILE_SUFFIX)
        if place is None or SecretStr not in get_args(field.annotation):
            return None, field_name, False
        if variable in os.environ:
            raise ConfigurationError(f"{variable} and {variable}{FILE_SUFFIX} are both set")
        try:
            content = Path(place).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigurationError(
                f"{variable}{FILE_SUFFIX}: {place} cannot be read: {type(exc).__name__}"
            ) from exc
        if not content:
            raise ConfigurationError(f"{variable}{FILE_SUFFIX}: {place} is empty")
        return content, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return all settings that are in files."""
        fields = self.settings_cls.model_fields.items()
        found = {name: self.get_field_value(field, name)[0] for name, field in fields}
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """Settings of one process, checked when made and never changed.

    ``broker_url`` and ``database_url`` may hold passwords: they are masked wherever the settings
    are shown.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    data_dir: Path = Field(
        Path("data"), description="Folder of the job database, uploads, results and messages."
    )
    models_dir: Path = Field(
        Path(__file__).resolve().parents[1] / "models",
        description="Folder of installed models: <name>/<version>/model.json.",
    )
    default_model: str = Field(
        "upattllstm-thrombus",
        description="Model used when a request names none: a name, or name:version.",
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="Where the network runs; a missing GPU is an error, never a fallback."
    )
    inference_threads: int = Field(
        0, ge=0, description="Threads of one inference; 0 takes all cores."
    )
    chunk_slices: Positive = Field(
        48, description="Slices evaluated at a time; bounds memory, does not change the answer."
    )

    installation_id: str = Field(
        "research-installation",
        min_length=1,
        max_length=64,
        description="Name of this installation; DeviceSerialNumber of the objects it writes.",
    )

    report_title: ReportTitle = Field(
        ReportTitle.DIAGNOSTIC_IMAGING_REPORT,
        description="Title of the structured report: diagnostic_imaging_report, which OHIF shows "
        "as text, or imaging_measurement_report, the one of TID 1500, on which OHIF fails.",
    )

    segmentation_form: SegmentationForm = Field(
        SegmentationForm.BINARY,
        description="Form of the segmentation: binary, which all viewers tried can read, "
        "binary_per_frame, which names the segment in every frame even where there is one, or "
        "labelmap, which OHIF draws in wrong colours and older programs do not know.",
    )

    key_image: bool = Field(
        False,
        description="Whether the preview is written as DICOM secondary capture too, for systems "
        "that show no segmentation.",
    )

    sequence_overrides: Path | None = Field(
        None,
        description="YAML file of what the site knows better about its series; see "
        "docs/sequences.md.",
    )

    destinations: Path | None = Field(
        None,
        description="YAML file of who gets which results; see docs/deliveries.md. Without it, "
        "results wait to be fetched.",
    )
    delivery_interval_seconds: Seconds = Field(
        2.0, description="How often a process looks for results to deliver."
    )

    sources: Path | None = Field(
        None,
        description="YAML file of who sends studies, and when these are complete; see "
        "docs/arrival.md. Without it, studies come by upload alone.",
    )
    arrival_interval_seconds: Seconds = Field(
        1.0, description="How often the listener looks for studies that are complete."
    )
    arrival_reserve_bytes: int = Field(
        1024 * MIB,
        ge=0,
        description="Room on the disk that arriving instances leave free; they are refused then.",
    )

    max_fetches: Positive = Field(
        4,
        description="Most studies that one API process fetches from archives at a time; who asks "
        "for more is told to ask again.",
    )

    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on; 0 takes any.")

    broker_url: SecretStr | None = Field(
        None,
        description="Celery broker, such as redis://host:6379/0; without it, files in data_dir.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="SQLAlchemy URL, such as postgresql+psycopg://user:password@host/name; "
        "without it, SQLite in data_dir.",
    )
    broker_polling_seconds: Seconds = Field(
        0.2, description="How often an embedded worker looks for messages."
    )

    max_upload_bytes: Positive = Field(
        2048 * MIB, description="Largest upload, counted while it arrives."
    )
    max_files: Positive = Field(
        20_000, description="Most files in one upload, those in a zip included."
    )
    max_unpacked_bytes: Positive = Field(
        8192 * MIB, description="Most bytes a zip may unpack to, counted while unpacking."
    )
    max_compression_ratio: float = Field(
        200.0, gt=1, description="Most bytes that one byte of a zip may unpack to."
    )
    max_file_bytes: Positive = Field(
        1024 * MIB, description="Largest DICOM file, a deflated one after it is inflated."
    )
    max_slices: Positive = Field(
        20_000, description="Most image planes in one study, frames of multi-frame images included."
    )

    max_pixels: Positive = Field(
        512 * MIB, description="Most pixels of all image planes in one study, when decompressed."
    )

    job_timeout_seconds: Seconds = Field(
        900.0, description="A job that runs longer fails with TIMEOUT."
    )
    max_attempts: Positive = Field(
        3, description="A job whose worker died this often fails with WORKER_LOST."
    )
    lease_seconds: Seconds = Field(
        30.0, description="A job whose worker is silent this long goes to another worker."
    )
    recovery_interval_seconds: Seconds = Field(
        5.0, description="How often every process looks for jobs that were left behind."
    )
    ring_again_seconds: Seconds = Field(
        30.0, description="A job that waits longer is announced to the broker again."
    )
    retention_days: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Uploads and results of jobs that ended, with all deliveries, this long ago "
        "are deleted, and as old folders without a job; without it, they are kept.",
    )

    ready_timeout_seconds: Seconds = Field(
        5.0, description="How long /health/ready waits for a worker's inference."
    )
    ready_cache_seconds: Seconds = Field(
        10.0, description="How long an answer of /health/ready holds."
    )
    event_interval_seconds: Seconds = Field(
        0.3, description="How often a job's event stream looks for news."
    )
    heartbeat_file: Path | None = Field(
        None,
        description="File that a worker or deliverer touches as long as it is well, for a health "
        "check: `python -m service.entrypoints.health heartbeat`.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe log record written."
    )

    @model_validator(mode="after")
    def _lease_outlives_recovery(self) -> Self:
        if self.lease_seconds >= self.job_timeout_seconds:
            raise ValueError("lease_seconds must be shorter than job_timeout_seconds")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - of the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, the environment, and files of secrets; nothing else."""
        return init_settings, env_settings, SecretFiles(settings_cls)

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises
        ------
        ConfigurationError
            If a value is not allowed, or a file of a secret cannot be read; the message names each
            variable, never its value.
        """
        try:
            return cls()
        except ValidationError as exc:
            faults = "; ".join(_fault(error["loc"], error["msg"]) for error in exc.errors())
            raise ConfigurationError(f"settings are not valid: {faults}") from exc

    @property
    def database_address(self) -> str:
        """SQLAlchemy URL of the job database."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.resolve() / 'jobs.sqlite3'}"

    @property
    def uploads_dir(self) -> Path:
        """Folder of the studies received, one folder a job."""
        return self.data_dir.resolve() / "uploads"

    @property
    def results_dir(self) -> Path:
        """Folder of the results, one folder a job."""
        return self.data_dir.resolve() / "results"

    @property
    def arrivals_dir(self) -> Path:
        """Folder of the instances that sources sent, one folder a study."""
        return self.data_dir.resolve() / "arrivals"

    @property
    def broker_dir(self) -> Path:
        """Folder of the embedded broker's messages."""
        return self.data_dir.resolve() / "broker"

    def environment(self) -> dict[str, str]:
        """Return the environment in which a child process has these very settings."""
        chosen = {
            PREFIX + name.upper(): _plain(getattr(self, name))
            for name in type(self).model_fields
            if getattr(self, name) is not None
        }
        inherited = {k: v for k, v in os.environ.items() if not k.upper().startswith(PREFIX)}
        return {**inherited, **chosen}


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _fault(location: tuple[int | str, ...], message: str) -> str:
    names = ", ".join(PREFIX + str(part).upper() for part in location)
    return f"{names}: {message}" if names else message
