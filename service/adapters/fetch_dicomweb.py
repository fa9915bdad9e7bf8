"""Studies from an archive by QIDO-RS and WADO-RS (PS3.18): implements ``StudyArchive``."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from service.adapters import dicom_json
from service.adapters.http_peers import HttpPeer
from service.adapters.multipart_related import RelatedParts
from service.adapters.source_entries import LONGEST_SERIES_S, DicomwebSource, source_of
from service.application.arrival_ports import Incoming
from service.domain.errors import (
    DeliveryError,
    InvalidDestinationsError,
    InvalidSourcesError,
    MalformedUploadError,
    SourceError,
)

# The instances as they are stored there, whatever their transfer syntax (PS3.18 8.7.3.5.2).
INSTANCES = 'multipart/related; type="application/dicom"; transfer-syntax=*'
# An instance takes about a thousand bytes in an answer.
LONGEST_ANSWER = 64 << 20


class DicomwebArchive:
    """One archive.

    Raises
    ------
    InvalidSourcesError
        If a file with a secret or certificates cannot be used.
    """

    def __init__(self, entry: DicomwebSource) -> None:
        self.source = source_of(entry)
        self._url = entry.url
        try:
            self._peer = HttpPeer(entry, entry.timeout_seconds)
        except InvalidDestinationsError as exc:
            raise InvalidSourcesError(f"source {entry.name}: {exc}") from exc

    def series(self, study_instance_uid: str) -> Mapping[str, frozenset[str]]:
        """Return the SOP Instance UIDs of every MR series; see ``StudyArchive.series``."""
        found = self._search(f"{_study(study_instance_uid)}/series")
        # A series whose modality is not told may be MR.
        uids = [
            _value(each, dicom_json.SERIES_INSTANCE_UID)
            for each in found
            if _value(each, dicom_json.MODALITY) in ("MR", "")
        ]
        return {
            uid: frozenset(
                _value(each, dicom_json.SOP_INSTANCE_UID)
                for each in self._search(f"{_series(study_instance_uid, uid)}/instances")
            )
            for uid in uids
        }

    def fetch(self, study_instance_uid: str, series_instance_uid: str, incoming: Incoming) -> None:
        """Write the instances of a series into an upload; see ``StudyArchive.fetch``."""
        url = f"{self._url}/{_series(study_instance_uid, series_instance_uid)}"
        headers = {"Accept": INSTANCES}
        with (
            _translated(),
            self._peer.streamed(url, headers=headers, longest_s=LONGEST_SERIES_S) as answer,
        ):
            status, kind, pieces = answer
            if status != 200:
                raise SourceError(f"WADO-RS answered HTTP {status}")
            parts = RelatedParts(kind, incoming)
            for piece in pieces:
                parts.feed(piece)
            parts.finish()

    def _search(self, path: str) -> list[Any]:
        with _translated():
            status, body = self._peer.ask(
                "GET",
                f"{self._url}/{path}",
                headers={"Accept": dicom_json.MEDIA_TYPE},
                longest=LONGEST_ANSWER,
            )
        if status in (204, 404):
            # 404: some say so of a study that is not there.
            return []
        if status != 200:
            raise SourceError(f"QIDO-RS answered HTTP {status}")
        try:
            found = json.loads(body)
        except (RecursionError, UnicodeDecodeError, ValueError) as exc:
            raise SourceError("QIDO-RS answered with what is no JSON") from exc
        return found if isinstance(found, list) else []


def _study(uid: str) -> str:
    return f"studies/{_segment(uid)}"


def _series(study: str, uid: str) -> str:
    return f"{_study(study)}/series/{_segment(uid)}"


def _segment(uid: str) -> str:
    """Return a UID as one segment of a path; archives list what they like.

    Raises
    ------
    SourceError
        If it would be no segment, or a step to another place (RFC 3986 section 5.2.4).
    """
    if uid in ("", ".", ".."):
        raise SourceError(f"a UID is {uid!r}")
    return quote(uid, safe="")


def _value(item: object, tag: str) -> str:
    """Return the first value of an element as text, empty if there is none."""
    return "".join(map(str, dicom_json.values(item, tag)[:1]))


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the client of receivers raises into an error of the source."""
    try:
        yield
    except DeliveryError as exc:
        raise SourceError(str(exc)) from exc
    except MalformedUploadError as exc:
        raise SourceError(f"WADO-RS answered with what cannot be read: {exc}") from exc
