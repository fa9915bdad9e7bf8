"""The answer to a store request, instance by instance (PS3.18 section 10.5.3), in DICOM JSON."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.adapters.dicom_json import (
    FAILED_SOP_SEQUENCE,
    FAILURE_REASON,
    OTHER_FAILURES_SEQUENCE,
    REFERENCED_SOP_CLASS_UID,
    REFERENCED_SOP_INSTANCE_UID,
    REFERENCED_SOP_SEQUENCE,
    RETRIEVE_URL,
)
from service.adapters.dimse_status import PROCESSING_FAILURE
from service.adapters.store_status import status_of
from service.application.receive_instance import InstanceReceiver
from service.domain.arrival import ArrivedInstance, Source
from service.domain.errors import ThrombolensError

# PS3.18 table 10.5.3-1.
STORED, SOME_STORED, NONE_STORED = 200, 202, 409
# Of type 2 for the study and for each instance: present, but empty (PS3.18 F.2.5), for nothing that
# was stored here can be retrieved over DICOMweb.
NOT_RETRIEVABLE: dict[str, Any] = {RETRIEVE_URL: {"vr": "UR"}}
EXAMPLE: dict[str, Any] = {
    **NOT_RETRIEVABLE,
    REFERENCED_SOP_SEQUENCE: {
        "vr": "SQ",
        "Value": [
            {
                REFERENCED_SOP_CLASS_UID: {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.4"]},
                REFERENCED_SOP_INSTANCE_UID: {"vr": "UI", "Value": ["1.2.826.0.1.3680043.8.498.1"]},
                **NOT_RETRIEVABLE,
            }
        ],
    },
}


@dataclass
class StoreResponse:
    """Collects what becomes of the instances of one request.

    Parameters
    ----------
    study : str or None
        Instances of another study than this one are refused.
    """

    receiver: InstanceReceiver
    source: Source
    study: str | None
    _stored: list[dict[str, Any]] = field(default_factory=list)
    _failed: list[dict[str, Any]] = field(default_factory=list)
    _unknown: list[dict[str, Any]] = field(default_factory=list)

    def receive(self, file: Path) -> None:
        """Take the instance in a file."""
        instance = self._identify(file)
        if instance is not None and self.study not in (None, instance.study_instance_uid):
            self._failed.append(_item(instance) | _reason(PROCESSING_FAILURE))
            return
        try:
            self.receiver.receive(file, self.source)
        except ThrombolensError as exc:
            reason = _reason(status_of(exc))
            if instance is None:
                self._unknown.append(reason)
            else:
                self._failed.append(_item(instance) | reason)
            return
        if instance is not None:
            self._stored.append(_item(instance) | NOT_RETRIEVABLE)

    @property
    def status(self) -> int:
        """The HTTP status."""
        if not self._failed and not self._unknown:
            return STORED
        return SOME_STORED if self._stored else NONE_STORED

    def body(self) -> dict[str, Any]:
        """Return the Store Instances Response Module (PS3.18 table I.1-1)."""
        sequences = {
            FAILED_SOP_SEQUENCE: self._failed,
            REFERENCED_SOP_SEQUENCE: self._stored,
            OTHER_FAILURES_SEQUENCE: self._unknown,
        }
        told = {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}
        return NOT_RETRIEVABLE | told

    def _identify(self, file: Path) -> ArrivedInstance | None:
        try:
            return self.receiver.identify(file)
        except ThrombolensError:
            # Receiving it says why, and counts it.
            return None


def _item(instance: ArrivedInstance) -> dict[str, Any]:
    return {
        REFERENCED_SOP_CLASS_UID: {"vr": "UI", "Value": [instance.sop_class_uid]},
        REFERENCED_SOP_INSTANCE_UID: {"vr": "UI", "Value": [instance.sop_instance_uid]},
    }


def _reason(status: int) -> dict[str, Any]:
    return {FAILURE_REASON: {"vr": "US", "Value": [status]}}
