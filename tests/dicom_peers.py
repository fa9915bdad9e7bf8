"""Real storage SCPs on loopback, good and bad, as scripts say."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.presentation import build_role
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from tests.delivered import CLASSES
from tests.processes import free_port

Handler = Callable[[evt.Event], Any]
# The library leaves sockets of connections that broke to the garbage collector: it must come by
# before the next test, which would be told of them.
LEFT_SOCKETS = [
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <s(sl.SSLS|ocket.s)ocket:"
        "pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.usefixtures("collected"),
]


def connection_of(event: evt.Event) -> socket.socket:
    """Return the connection below an association."""
    transport = event.assoc.dul.socket
    assert transport is not None
    assert transport.socket is not None
    return transport.socket


@dataclass
class StoragePeer:
    """An SCP that remembers what it was sent, and answers as told.

    Attributes
    ----------
    status : callable
        From SOP Instance UID to the status of a C-STORE.
    commits : str
        ``same``: on the same association; ``other``: on one of its own, to ``reports_to``;
        ``never``; ``stalls``: interrupts the request; ``some``: as ``same``, but the segmentation
        is told to be missing once.
    spoil : callable
        Changes a report about storage commitment before it is told.
    interrupts : callable
        Does something with the connection before a C-STORE is answered, or, where ``commits`` is
        ``stalls``, before an N-ACTION is.
    """

    classes: tuple[str, ...] = tuple(CLASSES.values())
    status: Callable[[str], int] = lambda _: 0x0000
    commits: str | None = None
    reports_to: int = 0
    spoil: Callable[[Dataset], None] = lambda _: None
    interrupts: Callable[[socket.socket], None] = lambda _: None
    aborts: bool = False
    sent: list[str] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @contextmanager
    def listening(self, port: int | None = None) -> Iterator[int]:
        """Listen on a port, and yield it."""
        ae = AE("PACS")
        ae.require_called_aet = True
        for uid in self.classes:
            ae.add_supported_context(uid)
        if self.commits is not None:
            ae.add_supported_context(StorageCommitmentPushModel)
        chosen = port or free_port()
        server = ae.start_server(
            ("127.0.0.1", chosen),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._commit)],
        )
        assert server is not None
        try:
            yield chosen
        finally:
            server.shutdown()

    def _store(self, event: evt.Event) -> int | Dataset:
        uid = str(event.dataset.SOPInstanceUID)
        if self.commits != "stalls":
            self.interrupts(connection_of(event))
        if self.aborts:
            event.assoc.abort()
            return 0x0000
        self.sent.append(uid)
        answer = Dataset()
        answer.Status = self.status(uid)
        # Receivers quote what they got; nobody may find it again on our side.
        answer.ErrorComment = f"for {event.dataset.PatientName}"
        return answer

    def _commit(self, event: evt.Event) -> tuple[int, None]:
        asked = event.action_information
        if self.commits == "stalls":
            self.interrupts(connection_of(event))
        self.asked.append([str(i.ReferencedSOPInstanceUID) for i in asked.ReferencedSOPSequence])
        if self.commits not in ("never", "stalls"):
            threading.Thread(target=self._report, args=(event.assoc, asked), daemon=True).start()
        return 0x0000, None

    def _report(self, association: Any, asked: Dataset) -> None:
        report = Dataset()
        report.TransactionUID = asked.TransactionUID
        report.ReferencedSOPSequence = [
            item
            for item in asked.ReferencedSOPSequence
            if item.ReferencedSOPInstanceUID not in self.missing
        ]
        failed = [
            item
            for item in asked.ReferencedSOPSequence
            if item.ReferencedSOPInstanceUID in self.missing
        ]
        for item in failed:
            item.FailureReason = 0x0112
        if failed:
            report.FailedSOPSequence = failed
        self.spoil(report)
        kind = 2 if failed else 1
        instance = "1.2.840.10008.1.20.1.1"
        if self.commits == "other":
            association = self._call_back()
        # The N-ACTION must have been answered before.
        time.sleep(0.05)
        association.send_n_event_report(report, kind, StorageCommitmentPushModel, instance)
        if self.commits == "other":
            association.release()

    def _call_back(self) -> Any:
        """Open the association of our own on which some receivers answer."""
        ae = AE("PACS")
        ae.add_requested_context(StorageCommitmentPushModel)
        association = ae.associate(
            "127.0.0.1",
            self.reports_to,
            ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
        )
        assert association.is_established
        return association
