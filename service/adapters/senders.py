"""From an entry of the file of destinations to what sends there, and what asks afterwards."""

from service.adapters.deliver_dicomweb import QidoPeer, StowSender
from service.adapters.deliver_dimse import CStoreSender, DimsePeer
from service.adapters.deliver_folder import FolderSender
from service.adapters.deliver_webhook import WebhookSender
from service.adapters.destination_entries import (
    AnyEntry,
    CStoreEntry,
    FolderEntry,
    StowEntry,
    destination_of,
)
from service.adapters.http_peers import HttpPeer
from service.adapters.storage_commitment import StorageCommitment
from service.application.deliver_results import Channel
from service.application.ports import ResultConfirmer, ResultSender

# An attempt consists of fewer steps than this, each of which ends within ``timeout_seconds``.
MOST_STEPS = 30
# For what has limits of its own: names that are looked up, files that are read.
MARGIN_S = 60.0

Ways = tuple[ResultSender, ResultConfirmer | None]


def open_channel(entry: AnyEntry) -> Channel:
    """Return what sends to a destination, and what asks it, where it is to be asked.

    Raises
    ------
    InvalidDestinationsError
        If a file with a secret or certificates, or the ``commitment_port``, cannot be used.
    """
    sender, confirmer = _ways(entry)
    close = confirmer.close if isinstance(confirmer, StorageCommitment) else _nothing
    return Channel(destination_of(entry), sender, confirmer, longest_attempt_s(entry), close)


def _nothing() -> None:
    """Nothing is open."""


def longest_attempt_s(entry: AnyEntry) -> float:
    """Return how long an attempt may take: all its steps end by themselves long before."""
    waits = entry.confirm_seconds if isinstance(entry, CStoreEntry) else 0.0
    return MARGIN_S + MOST_STEPS * entry.timeout_seconds + waits


def _ways(entry: AnyEntry) -> Ways:
    if isinstance(entry, CStoreEntry):
        return _dimse(entry)
    if isinstance(entry, StowEntry):
        peer = HttpPeer(entry, entry.timeout_seconds)
        asks = QidoPeer(peer, entry.url) if entry.confirm == "qido" else None
        return StowSender(entry, peer), asks
    if isinstance(entry, FolderEntry):
        return FolderSender(entry.path), None
    return WebhookSender(entry), None


def _dimse(entry: CStoreEntry) -> Ways:
    peer = DimsePeer(entry)
    sender = CStoreSender(entry, peer)
    if entry.confirm == "storage-commitment":
        return sender, StorageCommitment(entry, peer)
    if entry.qido_url is not None:
        return sender, QidoPeer(HttpPeer(entry, entry.timeout_seconds), entry.qido_url)
    return sender, None
