"""What the file of sources may say; checked by pydantic."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, StringConstraints, model_validator

from service.adapters.destination_entries import (
    AETitle,
    Entry,
    HttpAccess,
    Name,
    Port,
    Seconds,
    Tls,
    Url,
)
from service.domain.arrival import ArrivalPolicy, LateSeries, Source
from service.domain.sequence import Role

# A series that is fetched takes no longer.
LONGEST_SERIES_S = 1800.0
# Nothing starts a study by itself between two series of a fetch; the timers count if it broke off.
FETCHED = ArrivalPolicy(study_quiet_seconds=LONGEST_SERIES_S + 60, deadline_seconds=86_400.0)


class Policy(Entry):
    """When a study of a source is started; see ``ArrivalPolicy``."""

    series_quiet_seconds: FiniteFloat = ArrivalPolicy.series_quiet_seconds
    study_quiet_seconds: FiniteFloat = ArrivalPolicy.study_quiet_seconds
    deadline_seconds: FiniteFloat = ArrivalPolicy.deadline_seconds
    early_start: tuple[Role, ...] = ()
    late_series: LateSeries = LateSeries.RERUN

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        self.rules()
        return self

    def rules(self) -> ArrivalPolicy:
        """Return the policy of the domain."""
        return ArrivalPolicy(
            self.series_quiet_seconds,
            self.study_quiet_seconds,
            self.deadline_seconds,
            tuple(dict.fromkeys(self.early_start)),
            self.late_series,
        )


class ServerTls(Entry):
    """DICOM over TLS (PS3.15 B.9): who we are; with ``ca_file``, whom we let in.

    Attributes
    ----------
    check_certificate_file, check_key_file : Path or None
        Who the health check is, where ``ca_file`` makes everybody show a certificate.
    """

    certificate_file: Path
    key_file: Path
    ca_file: Path | None = None
    check_certificate_file: Path | None = None
    check_key_file: Path | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.check_certificate_file is None) != (self.check_key_file is None):
            raise ValueError("check_certificate_file and check_key_file need each other")
        return self


class ListenerEntry(Entry):
    """Where C-STORE is listened for, and how much at a time."""

    ae_title: AETitle = "THROMBOLENS"
    host: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = "0.0.0.0"  # noqa: S104 - scanners come from elsewhere; senders are on a list
    port: Port = 11112
    max_associations: Annotated[int, Field(ge=1, le=200)] = 20
    max_pdu_bytes: Annotated[int, Field(ge=4096, le=1048576)] = 65536
    timeout_seconds: Seconds = 60.0
    tls: ServerTls | None = None


class Commitment(Entry):
    """Where to report about storage commitment, if not on the association that asked.

    Attributes
    ----------
    without_tls : bool
        Must be said where the listener requires TLS: such reports leave in the clear.
    """

    host: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    port: Port
    called_ae: AETitle
    tls: Tls | None = None
    without_tls: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.tls is not None and self.without_tls:
            raise ValueError("either tls or without_tls")
        return self


class CStoreSource(Entry):
    """Senders that associate with us, known by their AE titles."""

    name: Name
    kind: Literal["c-store"]
    calling_ae: Annotated[tuple[AETitle, ...], Field(min_length=1)]
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    policy: Policy = Policy()
    commitment: Commitment | None = None


class StowSource(Entry):
    """Senders by STOW-RS; there is one such source at most."""

    name: Name
    kind: Literal["stow"]
    bearer_file: Path | None = None
    policy: Policy = Policy()


class DicomwebSource(HttpAccess):
    """An archive from which studies are fetched when somebody asks."""

    name: Name
    kind: Literal["dicomweb"]
    url: Url
    timeout_seconds: Seconds = 60.0


AnySource = CStoreSource | StowSource | DicomwebSource
SourceByKind = Annotated[AnySource, Field(discriminator="kind")]


def source_of(entry: AnySource) -> Source:
    """Return what the use cases need to know of an entry."""
    if isinstance(entry, DicomwebSource):
        return Source(entry.name, FETCHED)
    return Source(entry.name, entry.policy.rules())


class SourceFile(Entry):
    """The whole file."""

    version: Annotated[int, Field(ge=1, le=1)]
    listener: ListenerEntry | None = None
    sources: list[SourceByKind]

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        names = [each.name for each in self.sources]
        titles = [title for each in self.c_store for title in each.calling_ae]
        for word, used in (("name", names), ("calling_ae", titles)):
            twice = sorted({each for each in used if used.count(each) > 1})
            if twice:
                raise ValueError(f"the {word} {twice[0]} is used twice")
        if sum(isinstance(each, StowSource) for each in self.sources) > 1:
            raise ValueError("there are two sources of kind stow, which cannot be told apart")
        if bool(self.c_store) != (self.listener is not None):
            raise ValueError("listener and sources of kind c-store need each other")
        return self

    @model_validator(mode="after")
    def _no_less_safe_than_the_listener(self) -> Self:
        if self.listener is None or self.listener.tls is None:
            return self
        for each in self.c_store:
            peer = each.commitment
            if peer is not None and peer.tls is None and not peer.without_tls:
                raise ValueError(
                    f"source {each.name}: the listener requires TLS, so commitment needs tls "
                    "or without_tls: true"
                )
        return self

    @property
    def c_store(self) -> tuple[CStoreSource, ...]:
        """The senders that associate with us."""
        return tuple(each for each in self.sources if isinstance(each, CStoreSource))

    @property
    def stow(self) -> StowSource | None:
        """Who may send by STOW-RS."""
        return next((each for each in self.sources if isinstance(each, StowSource)), None)

    @property
    def dicomweb(self) -> tuple[DicomwebSource, ...]:
        """The archives from which studies are fetched."""
        return tuple(each for each in self.sources if isinstance(each, DicomwebSource))
