"""C-STORE as a client, negotiated by SOP class (PS3.4 annex B), with pynetdicom."""

import logging
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType

from service.adapters.destination_entries import CStoreEntry, Tls
from service.adapters.dimse_status import DUPLICATE_SOP_INSTANCE, SUCCESS
from service.application.ports import Parcel, ResultObject
from service.domain.delivery import Answer, ObjectState
from service.domain.errors import DestinationUnreachableError, InvalidDestinationsError

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
        self._tls = None if entry.tls is None else (_tls_context(entry.tls), entry.host)

    @contextmanager
    def associated(
        self, abstract_syntaxes: Sequence[str], handlers: Sequence[EventHandlerType] = ()
    ) -> Iterator[Association]:
        """Yield an association, released at the end; it may have accepted nothing.

        Raises
        ------
        DestinationUnreachableError
            If there is none.
        """
        ae = AE(self._entry.calling_ae)
        timeout = self._entry.timeout_seconds
        ae.connection_timeout = ae.acse_timeout = timeout
        ae.dimse_timeout = ae.network_timeout = timeout
        for uid in dict.fromkeys(abstract_syntaxes):
            ae.add_requested_context(uid, TRANSFER_SYNTAXES)
        association = ae.associate(
            self._entry.host,
            self._entry.port,
            ae_title=self._entry.called_ae,
            tls_args=self._tls,
            evt_handlers=list(handlers),
        )
        try:
            if not association.is_established and not association.rejected_contexts:
                raise DestinationUnreachableError(self._why_not(association))
            yield association
        finally:
            if association.is_established:
                association.release()

    def _why_not(self, association: Association) -> str:
        place = f"{self._entry.called_ae} at {self._entry.host}:{self._entry.port}"
        if association.is_rejected:
            answer = association.acceptor.primitive
            reason = answer.reason_str if answer is not None else "no reason"
            return f"{place} rejected the association: {reason}"
        return f"{place} cannot be associated with"


class CStoreSender:
    """Stores by C-STORE; implements ``ResultSender``."""

    def __init__(self, peer: DimsePeer) -> None:
        self._peer = peer

    def send(self, parcel: Parcel) -> tuple[Answer, ...]:
        """Send objects one by one on one association.

        An association that breaks leaves the rest without an answer: they remain to be sent.
        """
        classes = [str(each.sop_class_uid) for each in parcel.objects]
        with self._peer.associated(classes) as association:
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


def _tls_context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(tls.ca_file))
        if tls.certificate_file is not None and tls.key_file is not None:
            context.load_cert_chain(str(tls.certificate_file), str(tls.key_file))
    except (OSError, ssl.SSLError) as exc:
        raise InvalidDestinationsError(
            f"tls: {tls.ca_file} or {tls.certificate_file} cannot be used: {type(exc).__name__}"
        ) from exc
    return context
