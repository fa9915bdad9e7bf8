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

Ways = tuple[ResultSender, ResultConfirmer | None]


def open_channel(entry: AnyEntry) -> Channel:
    """Return what sends to a destination, and what asks it, where it is to be asked.

    Raises
    ------
    InvalidDestinationsError
        If a file with a secret or certificates cannot be used.
    """
    sender, confirmer = _ways(entry)
    return Channel(destination_of(entry), sender, confirmer)


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
    sender = CStoreSender(peer)
    if entry.confirm == "storage-commitment":
        return sender, StorageCommitment(entry, peer)
    if entry.qido_url is not None:
        return sender, QidoPeer(HttpPeer(entry, entry.timeout_seconds), entry.qido_url)
    return sender, None
