"""DICOMweb as a client: STOW-RS with its answers per instance, QIDO-RS to confirm (PS3.18)."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from service.adapters import dicom_json
from service.adapters.destination_entries import StowEntry
from service.adapters.dimse_status import DUPLICATE_SOP_INSTANCE
from service.adapters.http_peers import HttpPeer
from service.application.ports import Parcel, ResultObject
from service.domain.delivery import Answer, ObjectState
from service.domain.errors import DestinationRefusedError

# PS3.18 table 10.5.3-1: the statuses that come with a Store Instances Response.
STORED, STORED_WITH_WARNINGS, NOT_ALL_STORED = 200, 202, 409


class QidoPeer:
    """Asks a QIDO-RS service whether it holds objects; implements ``ResultConfirmer``."""

    def __init__(self, peer: HttpPeer, url: str) -> None:
        self._peer = peer
        self._url = url

    def confirm(self, objects: Sequence[ResultObject]) -> tuple[Answer, ...]:
        """Ask for every object; see ``ResultConfirmer.confirm``."""
        return tuple(self._confirm(each) for each in objects)

    def _confirm(self, each: ResultObject) -> Answer:
        found = self._count(each)
        if found:
            return Answer(each.kind, ObjectState.CONFIRMED, "QIDO-RS found it")
        return Answer(each.kind, ObjectState.REFUSED, "QIDO-RS did not find it")

    def _count(self, each: ResultObject) -> int:
        """Return how many instances of this UID the study has there."""
        status, body = self._peer.ask(
            "GET",
            f"{self._url}/studies/{quote(each.study_instance_uid, safe='')}/instances",
            headers={"Accept": dicom_json.MEDIA_TYPE},
            params={"SOPInstanceUID": each.sop_instance_uid},
        )
        if status in (204, 404):
            # 404: some say so of a study that is not there.
            return 0
        if status != 200:
            raise DestinationRefusedError(f"QIDO-RS answered HTTP {status}")
        # A service that does not know the parameter returns the whole study: ours is looked for.
        return sum(
            dicom_json.first(item, dicom_json.SOP_INSTANCE_UID) == each.sop_instance_uid
            for item in _list(_json(body))
        )


class StowSender:
    """Stores by STOW-RS; implements ``ResultSender``."""

    def __init__(self, entry: StowEntry, peer: HttpPeer) -> None:
        self._url = entry.url
        self._peer = peer

    def send(self, parcel: Parcel) -> tuple[Answer, ...]:
        """Send all objects in one request."""
        boundary = uuid.uuid4().hex
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        status, body = self._peer.ask(
            "POST",
            f"{self._url}/studies",
            headers={"Content-Type": kind, "Accept": dicom_json.MEDIA_TYPE},
            content=multipart_related(parcel.objects, boundary),
        )
        return answers_of(status, body, parcel.objects)


def multipart_related(objects: Sequence[ResultObject], boundary: str) -> bytes:
    """Return the body of a store request (PS3.18 section 8.6.1.2)."""
    pieces: list[bytes] = []
    for each in objects:
        pieces += [
            f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii"),
            each.content,
            b"\r\n",
        ]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode("ascii")])


def answers_of(status: int, body: bytes, objects: Sequence[ResultObject]) -> tuple[Answer, ...]:
    """Read the response to a store request, instance by instance.

    An instance that a response in DICOM JSON does not mention was not stored.
    """
    if status == STORED and not body.strip():
        # Nothing but the status: all were stored, says the standard.
        return tuple(Answer(each.kind, ObjectState.ACCEPTED, "HTTP 200") for each in objects)
    if status not in (STORED, STORED_WITH_WARNINGS, NOT_ALL_STORED):
        return tuple(Answer(each.kind, ObjectState.REFUSED, f"HTTP {status}") for each in objects)
    response = _json(body)
    if isinstance(response, list) and len(response) == 1:
        # Some put the one data set into a list.
        response = response[0]
    if not isinstance(response, Mapping):
        raise DestinationRefusedError(f"HTTP {status} with an answer that is no data set")
    stored = _by_uid(response, dicom_json.REFERENCED_SOP_SEQUENCE)
    failed = _by_uid(response, dicom_json.FAILED_SOP_SEQUENCE)
    return tuple(_answer(each, stored, failed, status) for each in objects)


def _answer(
    each: ResultObject, stored: Mapping[str, Any], failed: Mapping[str, Any], status: int
) -> Answer:
    uid = each.sop_instance_uid
    if uid in failed:
        code = _status(dicom_json.first(failed[uid], dicom_json.FAILURE_REASON))
        if code == DUPLICATE_SOP_INSTANCE:
            return Answer(each.kind, ObjectState.ACCEPTED, "0111H, already there")
        told = "no reason" if code is None else f"{code:04X}H"
        return Answer(each.kind, ObjectState.REFUSED, f"HTTP {status}, {told}")
    if uid in stored:
        warning = _status(dicom_json.first(stored[uid], dicom_json.WARNING_REASON))
        told = "" if warning is None else f", warning {warning:04X}H"
        return Answer(each.kind, ObjectState.ACCEPTED, f"HTTP {status}{told}")
    return Answer(each.kind, ObjectState.REFUSED, f"HTTP {status}, not mentioned")


def _status(value: object) -> int | None:
    """Return a status (VR US), or None if it is none; JSON readers know NaN and Infinity too."""
    if not isinstance(value, int | float) or not 0 <= value <= 0xFFFF:
        return None
    return int(value)


def _by_uid(response: Mapping[str, Any], sequence: str) -> dict[str, Any]:
    return {
        str(dicom_json.first(item, dicom_json.REFERENCED_SOP_INSTANCE_UID)): item
        for item in dicom_json.values(response, sequence)
    }


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _json(body: bytes) -> object:
    try:
        content: object = json.loads(body)
    except (RecursionError, UnicodeDecodeError, ValueError) as exc:
        raise DestinationRefusedError("the answer is no JSON") from exc
    return content
