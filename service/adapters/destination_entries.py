"""What an entry of the file of destinations may say, by its kind; checked by pydantic."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    model_validator,
)

from service.domain.destination import Destination, ObjectKind, RetryRules
from service.domain.finding import StudyResult

DicomKind = Literal[ObjectKind.SEGMENTATION, ObjectKind.STRUCTURED_REPORT, ObjectKind.KEY_IMAGE]
DICOM_KINDS: tuple[DicomKind, ...] = (
    ObjectKind.SEGMENTATION,
    ObjectKind.STRUCTURED_REPORT,
    ObjectKind.KEY_IMAGE,
)

# PS3.5 section 6.2: no backslash and no control character; spaces around it do not count.
AETitle = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$"),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[FiniteFloat, Field(gt=0, le=600)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]


def _checked_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no http or https address")
    if parts.username is not None or parts.password is not None:
        # The value is not repeated in the message: see destination_files.
        raise ValueError("user and password belong into user and password_file, not here")
    if parts.query or parts.fragment:
        raise ValueError("has a query or fragment, which an address of a service has not")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(_checked_url)]


class Entry(BaseModel):
    """Anything in the file; unknown words are errors, not comments."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Retry(Entry):
    """How patiently a destination is tried; see ``RetryRules``."""

    first_seconds: FiniteFloat = RetryRules.first_seconds
    longest_seconds: FiniteFloat = RetryRules.longest_seconds
    give_up_days: FiniteFloat = RetryRules.give_up_days

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        self.rules()
        return self

    def rules(self) -> RetryRules:
        """Return the rules of the domain."""
        return RetryRules(self.first_seconds, self.longest_seconds, self.give_up_days)


class Receiver(Entry):
    """What every entry may say."""

    name: Name
    results: Annotated[tuple[StudyResult, ...], Field(min_length=1)] = tuple(StudyResult)
    timeout_seconds: Seconds = 30.0
    retry: Retry = Retry()


class HttpAccess(Entry):
    """How to speak HTTP with somebody; secrets are in files of their own."""

    ca_file: Path | None = None
    bearer_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None

    @model_validator(mode="after")
    def _one_way_to_log_in(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file need each other")
        if self.user is not None and self.bearer_file is not None:
            raise ValueError("either bearer_file, or user and password_file")
        return self


class Tls(Entry):
    """DICOM over TLS (PS3.15 B.9): whom to believe, and who we are."""

    ca_file: Path
    certificate_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file need each other")
        return self


class CStoreEntry(Receiver, HttpAccess):
    """A storage SCP; the HTTP access is for QIDO-RS."""

    kind: Literal["c-store"]
    host: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    port: Port
    called_ae: AETitle
    calling_ae: AETitle = "THROMBOLENS"
    tls: Tls | None = None
    objects: Annotated[tuple[DicomKind, ...], Field(min_length=1)] = DICOM_KINDS
    confirm: Literal["storage-commitment", "qido", "none"]
    confirm_seconds: Seconds = 30.0
    commitment_port: Port | None = None
    qido_url: Url | None = None

    @model_validator(mode="after")
    def _can_be_confirmed(self) -> Self:
        if (self.confirm == "qido") != (self.qido_url is not None):
            raise ValueError("confirm: qido and qido_url need each other")
        if self.commitment_port is not None and self.confirm != "storage-commitment":
            raise ValueError("commitment_port is for confirm: storage-commitment")
        if self.commitment_port is not None and self.tls is not None:
            raise ValueError("commitment_port with tls is not supported")
        return self


class StowEntry(Receiver, HttpAccess):
    """A STOW-RS service; ``url`` is what ``/studies`` follows."""

    kind: Literal["stow"]
    url: Url
    objects: Annotated[tuple[DicomKind, ...], Field(min_length=1)] = DICOM_KINDS
    confirm: Literal["qido", "none"]


class FolderEntry(Receiver):
    """A folder, on a share for instance."""

    kind: Literal["folder"]
    path: Path
    objects: Annotated[tuple[ObjectKind, ...], Field(min_length=1)] = tuple(ObjectKind)
    confirm: Literal["none"] = "none"

    @model_validator(mode="after")
    def _is_absolute(self) -> Self:
        if not self.path.is_absolute():
            raise ValueError(f"path {self.path} is not absolute")
        return self


class WebhookEntry(Receiver):
    """A web service that is sent the JSON report, signed."""

    kind: Literal["webhook"]
    url: Url
    hmac_key_file: Path
    ca_file: Path | None = None
    objects: Annotated[tuple[Literal[ObjectKind.REPORT], ...], Field(min_length=1)] = (
        ObjectKind.REPORT,
    )
    confirm: Literal["none"] = "none"


AnyEntry = CStoreEntry | StowEntry | FolderEntry | WebhookEntry
EntryByKind = Annotated[AnyEntry, Field(discriminator="kind")]


def destination_of(entry: AnyEntry) -> Destination:
    """Return what the use cases need to know of an entry."""
    return Destination(
        name=entry.name,
        results=frozenset(result.value for result in entry.results),
        objects=tuple(dict.fromkeys(entry.objects)),
        confirmed=entry.confirm != "none",
        retry=entry.retry.rules(),
    )


class DestinationFile(Entry):
    """The whole file."""

    version: Annotated[int, Field(ge=1, le=1)]
    destinations: list[EntryByKind]

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [each.name for each in self.destinations]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]} is used twice")
        ports = [
            each.commitment_port
            for each in self.destinations
            if isinstance(each, CStoreEntry) and each.commitment_port is not None
        ]
        shared = sorted({port for port in ports if ports.count(port) > 1})
        if shared:
            raise ValueError(f"the commitment_port {shared[0]} is used twice")
        return self
