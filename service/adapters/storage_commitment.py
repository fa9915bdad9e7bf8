"""Storage commitment as a client (PS3.4 annex J): ask, then wait for the report."""

import queue
import time
import uuid
from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made by the module's __getattr__
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from service.adapters.commitment_listener import CommitmentListener
from service.adapters.deliver_dimse import DimsePeer
from service.adapters.destination_entries import CStoreEntry
from service.adapters.dimse_status import SUCCESS
from service.application.ports import ResultObject
from service.domain.delivery import Answer, ObjectState
from service.domain.errors import (
    DestinationRefusedError,
    DestinationUnreachableError,
)

REQUEST_STORAGE_COMMITMENT = 1
# What reading a report raises that lacks something, or holds what it must not.
_UNREADABLE = (AttributeError, TypeError, ValueError, OverflowError, BytesLengthException)
# How often the wait looks whether the association still stands.
LOOK_S = 0.1


class Reports:
    """Keeps reports about one transaction at a time; all others say nothing new."""

    def __init__(self) -> None:
        self._awaited = ""
        self._kept: queue.Queue[Dataset] = queue.Queue()

    def expect(self, transaction: str) -> None:
        """Keep reports about this transaction from now on."""
        self._awaited = transaction
        self._kept = queue.Queue()

    def next(self, timeout_s: float) -> Dataset | None:
        """Return a report, or None if there is none in time."""
        try:
            return self._kept.get(timeout=timeout_s)
        except queue.Empty:
            return None

    @property
    def handlers(self) -> list[evt.EventHandlerType]:
        """What must be bound where reports may come."""
        return [(evt.EVT_N_EVENT_REPORT, self._keep)]

    def _keep(self, event: evt.Event) -> tuple[int, None]:
        report = event.event_information
        if report.get("TransactionUID") == self._awaited:
            self._kept.put(report)
        return SUCCESS, None


class StorageCommitment:
    """Asks a receiver to commit itself; implements ``ResultConfirmer``.

    The report may come on the same association, or, where ``commitment_port`` is set, on one that
    the receiver opens to us.

    Raises
    ------
    InvalidDestinationsError
        If the ``commitment_port`` cannot be listened on.
    """

    def __init__(self, entry: CStoreEntry, peer: DimsePeer) -> None:
        self._entry = entry
        self._peer = peer
        self._reports = Reports()
        port = entry.commitment_port
        self._listener = (
            None if port is None else CommitmentListener(entry, port, self._reports.handlers)
        )

    def close(self) -> None:
        """Stop listening for reports."""
        if self._listener is not None:
            self._listener.close()

    def confirm(self, objects: Sequence[ResultObject]) -> tuple[Answer, ...]:
        """Ask for commitment and wait for the report; see ``ResultConfirmer.confirm``."""
        # A request has a UID of its own every time: an answer to an old one says nothing new.
        transaction = f"2.25.{uuid.uuid4().int}"
        self._reports.expect(transaction)
        with self._peer.associated(
            [StorageCommitmentPushModel],
            work_s=self._entry.timeout_seconds + self._entry.confirm_seconds,
            handlers=self._reports.handlers,
        ) as association:
            _request(association, transaction, objects)
            report = self._report(association)
        return _answers(report, objects)

    def _report(self, association: Association) -> Dataset:
        """Wait for the report about our request."""
        end = time.monotonic() + self._entry.confirm_seconds
        while time.monotonic() < end:
            alive = association.is_established
            report = self._reports.next(LOOK_S)
            if report is not None:
                return report
            if not alive and self._listener is None:
                raise DestinationUnreachableError(
                    "the receiver ended the association before it answered about storage "
                    "commitment; if it answers on another one, commitment_port must be set"
                )
        raise DestinationUnreachableError(
            f"no answer about storage commitment within {self._entry.confirm_seconds:g} s"
        )


def _request(association: Association, transaction: str, objects: Sequence[ResultObject]) -> None:
    if not association.accepted_contexts:
        raise DestinationRefusedError("the receiver does not offer storage commitment")
    request = Dataset()
    request.TransactionUID = transaction
    request.ReferencedSOPSequence = [_reference(each) for each in objects]
    try:
        answer, _ = association.send_n_action(
            request,
            REQUEST_STORAGE_COMMITMENT,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
    except RuntimeError as exc:
        raise DestinationUnreachableError(
            "the association had ended before storage commitment was asked for"
        ) from exc
    if "Status" not in answer:
        raise DestinationUnreachableError("no answer to the request for storage commitment")
    if answer.Status != SUCCESS:
        raise DestinationRefusedError(
            f"the request for storage commitment was answered with {int(answer.Status):04X}H"
        )


def _reference(each: ResultObject) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = each.sop_class_uid
    item.ReferencedSOPInstanceUID = each.sop_instance_uid
    return item


def _answers(report: Dataset, objects: Sequence[ResultObject]) -> tuple[Answer, ...]:
    """Read a report (PS3.4 table J.3-2); what it does not mention was not answered.

    Raises
    ------
    DestinationRefusedError
        If it is no such report.
    """
    try:
        items = report.get("ReferencedSOPSequence") or []
        held = {str(item.ReferencedSOPInstanceUID) for item in items}
        items = report.get("FailedSOPSequence") or []
        failed = {str(item.ReferencedSOPInstanceUID): _reason(item) for item in items}
    except _UNREADABLE as exc:
        raise DestinationRefusedError(
            "the report about storage commitment is not as the standard says"
        ) from exc
    answers = []
    for each in objects:
        uid = each.sop_instance_uid
        if uid in failed:
            told = f"no commitment, {failed[uid]}"
            answers.append(Answer(each.kind, ObjectState.REFUSED, told))
        elif uid in held:
            answers.append(Answer(each.kind, ObjectState.CONFIRMED, "storage commitment"))
    return tuple(answers)


def _reason(item: Dataset) -> str:
    reason = item.get("FailureReason")
    return "no reason" if reason is None else f"{int(reason):04X}H"
