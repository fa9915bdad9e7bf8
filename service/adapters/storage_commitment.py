"""Storage commitment as a client (PS3.4 annex J): ask, then wait for the report."""

import queue
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made by the module's __getattr__
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from service.adapters.deliver_dimse import DimsePeer
from service.adapters.destination_entries import CStoreEntry
from service.adapters.dimse_status import SUCCESS
from service.application.ports import ResultObject
from service.domain.delivery import Answer, ObjectState
from service.domain.errors import (
    DestinationRefusedError,
    DestinationUnreachableError,
    InvalidDestinationsError,
)

REQUEST_STORAGE_COMMITMENT = 1
# What reading a report raises that lacks something, or holds what it must not.
_UNREADABLE = (AttributeError, TypeError, ValueError, OverflowError, BytesLengthException)
# How often the wait looks whether the association still stands.
LOOK_S = 0.1

Reports = queue.Queue[Dataset]


class StorageCommitment:
    """Asks a receiver to commit itself; implements ``ResultConfirmer``.

    The report may come on the same association, or, where ``commitment_port`` is set, on one that
    the receiver opens to us.
    """

    def __init__(self, entry: CStoreEntry, peer: DimsePeer) -> None:
        self._entry = entry
        self._peer = peer

    def confirm(self, objects: Sequence[ResultObject]) -> tuple[Answer, ...]:
        """Ask for commitment and wait for the report; see ``ResultConfirmer.confirm``."""
        # A request has a UID of its own every time: an answer to an old one says nothing new.
        transaction = f"2.25.{uuid.uuid4().int}"
        reports = Reports()
        handlers: list[evt.EventHandlerType] = [(evt.EVT_N_EVENT_REPORT, _keep, [reports])]
        work_s = self._entry.timeout_seconds + self._entry.confirm_seconds
        with (
            self._listening(handlers),
            self._peer.associated(
                [StorageCommitmentPushModel], work_s=work_s, handlers=handlers
            ) as association,
        ):
            _request(association, transaction, objects)
            report = self._report(association, transaction, reports)
        return _answers(report, objects)

    @contextmanager
    def _listening(self, handlers: list[evt.EventHandlerType]) -> Iterator[None]:
        """Take associations from the receiver, if it is to open one."""
        port = self._entry.commitment_port
        if port is None:
            yield
            return
        ae = AE(self._entry.calling_ae)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = self._entry.timeout_seconds
        # The receiver is SCP of the service although it opens the association (PS3.4 J.2).
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        try:
            # Receivers may come from any side.
            server = ae.start_server(("", port), block=False, evt_handlers=handlers)
        except OSError as exc:
            raise InvalidDestinationsError(
                f"commitment_port {port} cannot be listened on: {exc.strerror}"
            ) from exc
        try:
            yield
        finally:
            if server is not None:
                server.shutdown()

    def _report(self, association: Association, transaction: str, reports: Reports) -> Dataset:
        """Wait for the report about our request."""
        end = time.monotonic() + self._entry.confirm_seconds
        listens = self._entry.commitment_port is not None
        while time.monotonic() < end:
            alive = association.is_established
            try:
                report = reports.get(timeout=LOOK_S)
            except queue.Empty:
                if not alive and not listens:
                    raise DestinationUnreachableError(
                        "the receiver ended the association before it answered about storage "
                        "commitment; if it answers on another one, commitment_port must be set"
                    ) from None
                continue
            if report.get("TransactionUID") == transaction:
                return report
        raise DestinationUnreachableError(
            f"no answer about storage commitment within {self._entry.confirm_seconds:g} s"
        )


def _keep(event: evt.Event, reports: Reports) -> tuple[int, None]:
    reports.put(event.event_information)
    return SUCCESS, None


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
