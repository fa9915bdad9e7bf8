"""Storage commitment as a server (PS3.4 annex J): what was acknowledged is committed to."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt

from service.adapters.commitment_peers import CommitmentPeer, tell
from service.adapters.dimse_status import (
    CLASS_INSTANCE_CONFLICT,
    INVALID_ARGUMENT,
    NO_SUCH_ACTION,
    NO_SUCH_OBJECT_INSTANCE,
    PROCESSING_FAILURE,
    SUCCESS,
)
from service.adapters.source_entries import Commitment, CStoreSource
from service.domain.errors import JobDatabaseError

_log = structlog.get_logger(__name__)

REQUEST = 1
# PS3.4 J.3.3: event types.
ALL_HELD, SOME_FAILED = 1, 2
# As many are asked about at most.
MOST_REFERENCES = 20_000
# The answer to the request must be under way before the report.
PAUSE_S = 0.2

# Returns SOP class by SOP Instance UID of the instances that are kept.
Committed = Callable[[Sequence[str]], Mapping[str, str]]


class CommitmentReporter:
    """Answers requests on the same association, or on one of its own where there is a peer.

    Raises
    ------
    InvalidSourcesError
        If a file for TLS with a peer cannot be used.
    """

    def __init__(self, committed: Committed, sources: Sequence[CStoreSource]) -> None:
        self._committed = committed
        self._peers = {
            each.commitment: CommitmentPeer(each.commitment, each.name)
            for each in sources
            if each.commitment is not None
        }

    def take(self, event: evt.Event, peer: Commitment | None, ae_title: str) -> int:
        """Take a request; return the status of N-ACTION. The report follows from a thread.

        Parameters
        ----------
        peer : Commitment or None
            Who is told on a new association; without it, whoever asked is, on the same one.
        ae_title : str
            Ours.
        """
        if event.action_type != REQUEST:
            return NO_SUCH_ACTION
        request = event.action_information
        items = request.get("ReferencedSOPSequence", [])
        if "TransactionUID" not in request or not 0 < len(items) <= MOST_REFERENCES:
            return INVALID_ARGUMENT
        try:
            report, kind = self._report(request)
        except JobDatabaseError as exc:
            _log.warning("commitment_not_known", code=exc.code)
            return PROCESSING_FAILURE

        def later() -> None:
            time.sleep(PAUSE_S)
            if peer is None:
                tell(event.assoc, report, kind)
            else:
                self._peers[peer].tell(ae_title, report, kind)

        threading.Thread(target=later, name="commitment", daemon=True).start()
        return SUCCESS

    def _report(self, request: Dataset) -> tuple[Dataset, int]:
        items = list(request.ReferencedSOPSequence)
        held = self._committed([str(each.get("ReferencedSOPInstanceUID", "")) for each in items])
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        reasons = [_failure(each, held) for each in items]
        kept = [each for each, why in zip(items, reasons, strict=True) if why is None]
        failed = [
            _failed(each, why) for each, why in zip(items, reasons, strict=True) if why is not None
        ]
        if kept:
            report.ReferencedSOPSequence = [_reference(each) for each in kept]
        if failed:
            report.FailedSOPSequence = failed
        return report, SOME_FAILED if failed else ALL_HELD


def _failure(item: Dataset, held: Mapping[str, str]) -> int | None:
    """Return why we are not committed to an instance, None if we are."""
    sop_class = held.get(str(item.get("ReferencedSOPInstanceUID", "")))
    if sop_class is None:
        return NO_SUCH_OBJECT_INSTANCE
    if sop_class != str(item.get("ReferencedSOPClassUID", "")):
        return CLASS_INSTANCE_CONFLICT
    return None


def _reference(item: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = item.get("ReferencedSOPClassUID", "")
    reference.ReferencedSOPInstanceUID = item.get("ReferencedSOPInstanceUID", "")
    return reference


def _failed(item: Dataset, reason: int) -> Dataset:
    failed = _reference(item)
    failed.FailureReason = reason
    return failed
