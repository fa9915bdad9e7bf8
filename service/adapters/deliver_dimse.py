"""C-STORE as a client, negotiated by SOP class (PS3.4 annex B), with pynetdicom."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType

from service.adapters.destination_entries import CStoreEntry
from service.adapters.dimse_limits import ConnectionLimits
from service.adapters.dimse_status import DUPLICATE_SOP_INSTANCE, SUCCESS
from service.adapters.tls_client import tls_context
from service.application.ports import Parcel, ResultObject
from service.domain.delivery import Answer, ObjectState
from service.domain.errors import DestinationUnreachableError

# PS3.4 table B.2-1: stored, but coerced or with elements dropped; PS3.7 C.4: warnings.
WARNINGS = (0x0001, 0x0107, 0x0116, *range(0xB000, 0xC000))
# Ours are uncompressed, so that whoever knows the SOP class takes one of the two.
TRANSFER_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
REFUSED_CONTEXT = "presentation context refused"


class DimsePeer:
    """An application entity to associate with.

    Raises
    ------
    InvalidDestinationsError
        If the files for TLS cannot be used.
    """

    def __init__(self, entry: CStoreEntry) -> None:
        # The library's messages may quote data sets, and so patients; we tell what failed.
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
        self._entry = entry
        self._tls = None if entry.tls is None else (tls_context(entry.tls), entry.host)

    @contextmanager
    def associated(
        self,
        abstract_syntaxes: Sequence[str],
        *,
        work_s: float,
        handlers: Sequence[EventHandlerType] = (),
    ) -> Iterator[Association]:
        """Yield an association, released at the end; it may have accepted nothing.

        Parameters
        ----------
        work_s : float
            What is done on it may take so long; its connection is shut not long after.

        Raises
        ------
        DestinationUnreachableError
            If there is none.
        """
        association = self._associate(abstract_syntaxes, work_s, handlers)
        try:
            if not association.is_established and not association.rejected_contexts:
                raise DestinationUnreachableError(self._why_not(association))
            yield association
        finally:
            if association.is_established:
                association.release()

    def _associate(
        self,
        abstract_syntaxes: Sequence[str],
        work_s: float,
        handlers: Sequence[EventHandlerType],
    ) -> Association:
        ae = AE(self._entry.calling_ae)
        timeout = self._entry.timeout_seconds
        ae.connection_timeout = ae.acse_timeout = timeout
        ae.dimse_timeout = timeout
        # The library aborts an idle association: while we encode a large object, even as its first
        # pieces are sent, or wait long for a report. All our waits have limits of their own.
        ae.network_timeout = None
        for uid in dict.fromkeys(abstract_syntaxes):
            ae.add_requested_context(uid, TRANSFER_SYNTAXES)
        # It is negotiated before the work, and released or aborted after it.
        limits = ConnectionLimits(timeout, work_s + 3 * timeout)
        try:
            return ae.associate(
                self._entry.host,
                self._entry.port,
                ae_title=self._entry.called_ae,
                tls_args=self._tls,
                evt_handlers=[*limits.handlers, *handlers],
            )
        except OSError as exc:
            raise DestinationUnreachableError(f"{self._place}: {exc.strerror}") from exc

    @property
    def _place(self) -> str:
        return f"{self._entry.called_ae} at {self._entry.host}:{self._entry.port}"

    def _why_not(self, association: Association) -> str:
        if association.is_rejected:
            answer = association.acceptor.primitive
            reason = answer.reason_str if answer is not None else "no reason"
            return f"{self._place} rejected the association: {reason}"
        return f"{self._place} cannot be associated with"


class CStoreSender:
    """Stores by C-STORE; implements ``ResultSender``."""

    def __init__(self, entry: CStoreEntry, peer: DimsePeer) -> None:
        self._timeout_s = entry.timeout_seconds
        self._peer = peer

    def send(self, parcel: Parcel) -> tuple[Answer, ...]:
        """Send objects one by one on one association.

        An association that breaks leaves the rest without an answer: they remain to be sent.
        """
        classes = [str(each.sop_class_uid) for each in parcel.objects]
        work_s = self._timeout_s * len(classes)
        with self._peer.associated(classes, work_s=work_s) as association:
            return tuple(_store(association, each) for each in parcel.objects)


def _store(association: Association, each: ResultObject) -> Answer:
    accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
    if each.sop_class_uid not in accepted:
        return Answer(each.kind, ObjectState.REFUSED, REFUSED_CONTEXT)
    if not association.is_established:
        return Answer(each.kind, ObjectState.REFUSED, "the association had ended")
    try:
        answer = association.send_c_store(dcmread(BytesIO(each.content)))
    except RuntimeError:
        # It ended between the question above and the sending.
        return Answer(each.kind, ObjectState.REFUSED, "the association had ended")
    except (AttributeError, ValueError) as exc:
        return Answer(each.kind, ObjectState.REFUSED, f"cannot be encoded: {type(exc).__name__}")
    return _told(each, answer)


def _told(each: ResultObject, answer: Dataset) -> Answer:
    """Return what a status says; the comment beside it may name anybody and is not kept."""
    if "Status" not in answer:
        return Answer(each.kind, ObjectState.REFUSED, "no answer: timeout or abort")
    status = int(answer.Status)
    stored = status in (SUCCESS, DUPLICATE_SOP_INSTANCE, *WARNINGS)
    state = ObjectState.ACCEPTED if stored else ObjectState.REFUSED
    return Answer(each.kind, state, f"{status:04X}H")
