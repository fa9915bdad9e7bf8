"""C-STORE, C-ECHO and storage commitment as a server (PS3.4 annexes A, B and J), with pynetdicom.

Data sets go to disk as raw chunks while they arrive; only the first elements of their headers are
read before they are acknowledged.
"""

import logging
import socket
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import structlog
from pydicom.dataset import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made by the module's __getattr__
    StorageCommitmentPushModel,
    Verification,
)

from service.adapters.arriving_messages import Discarded
from service.adapters.association_server import (
    MOST_WAITING,
    NO_ROOM,
    Bounds,
    GuardedServer,
    reject,
)
from service.adapters.association_socket import connection_of
from service.adapters.commitment_scp import CommitmentReporter
from service.adapters.connections import Connections
from service.adapters.dimse_status import SUCCESS
from service.adapters.source_entries import (
    CStoreSource,
    ListenerEntry,
    ServerTls,
    SourceFile,
    source_of,
)
from service.adapters.store_status import status_of
from service.application.receive_instance import InstanceReceiver
from service.domain.errors import (
    InvalidSourcesError,
    StorageError,
    ThrombolensError,
)

_log = structlog.get_logger(__name__)

# A-ASSOCIATE-RJ (PS3.8 9.3.4): permanent, by the service user, calling AE title not recognized.
CALLER_UNKNOWN = (0x01, 0x01, 0x03)
# More than there can ever be, so that it is never what decides.
LIBRARY_LIMIT = 1 << 16
# An Error Comment is a long string.
LONGEST_COMMENT = 64


class StoreScp:
    """Listens for associations of the sources that may send.

    Parameters
    ----------
    entry : ListenerEntry
    sources : SourceFile
        The sources of kind c-store are let in, by their AE titles and addresses.
    reporter : CommitmentReporter
        Answers requests for storage commitment.
    incoming : Path
        Folder for what arrives, on the file system of the shelf.
    max_object_bytes : int
        An association on which one object becomes larger is aborted.
    """

    def __init__(
        self,
        entry: ListenerEntry,
        sources: SourceFile,
        receiver: InstanceReceiver,
        *,
        reporter: CommitmentReporter,
        incoming: Path,
        max_object_bytes: int,
    ) -> None:
        # The library's messages may quote data sets, and so patients; we tell what failed.
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
        self._entry = entry
        self._by_title = {title: each for each in sources.c_store for title in each.calling_ae}
        self._receiver = receiver
        self._reporter = reporter
        self._incoming = incoming
        self._max_object_bytes = max_object_bytes
        self._tls = None if entry.tls is None else _tls_context(entry.tls)
        self._connections = Connections(entry.max_associations, MOST_WAITING)
        self._server: GuardedServer | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._entry.port

    def start(self) -> None:
        """Begin to listen, in threads.

        Raises
        ------
        InvalidSourcesError
            If the port cannot be listened on.
        """
        # The library has these switches for the whole process alone.
        _config.STORE_RECV_CHUNKED_DATASET = True
        tempfile.tempdir = str(self._incoming)
        bounds = Bounds(self._connections, self._receiver.has_room, self._max_object_bytes)
        place = (self._entry.host, self._entry.port)
        try:
            self._server = GuardedServer(
                self._application(),
                place,
                bounds=bounds,
                tls=self._tls,
                handlers=self._handlers(),
            )
        except OSError as exc:
            raise InvalidSourcesError(
                f"listener: port {self._entry.port} of {self._entry.host} cannot be listened on: "
                f"{exc.strerror}"
            ) from exc
        self._server.start()

    def stop(self) -> None:
        """Abort all associations and stop listening; what was acknowledged is kept."""
        if self._server is not None:
            self._server.shutdown()
        self._server = None
        _config.STORE_RECV_CHUNKED_DATASET = False
        tempfile.tempdir = None

    def _application(self) -> AE:
        ae = AE(self._entry.ae_title)
        ae.require_called_aet = True
        ae.require_calling_aet = list(self._by_title)
        # The library counts whoever connects; we count those who were let in.
        ae.maximum_associations = LIBRARY_LIMIT
        ae.maximum_pdu_size = self._entry.max_pdu_bytes
        timeout = self._entry.timeout_seconds
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = timeout
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        ae.add_supported_context(Verification)
        ae.add_supported_context(StorageCommitmentPushModel)
        return ae

    def _handlers(self) -> list[evt.EventHandlerType]:
        return [
            (evt.EVT_REQUESTED, self._admit),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, self._commit),
            (evt.EVT_DATA_SENT, _expect_at_once),
        ]

    def _source(self, association: Association) -> CStoreSource:
        return self._by_title[association.requestor.ae_title.strip()]

    def _admit(self, event: evt.Event) -> None:
        """Let a sender in if it may send, calls from where it should, and there is room."""
        caller = event.assoc.requestor
        request = caller.primitive
        title = "" if request is None else str(request.calling_ae_title).strip()
        called = "" if request is None else str(request.called_ae_title).strip()
        source = self._by_title.get(title)
        if source is None or called != self._entry.ae_title:
            # The library rejects them.
            return
        if source.addresses and caller.address not in {str(each) for each in source.addresses}:
            self._reject(event.assoc, CALLER_UNKNOWN, source)
        elif not self._connections.let_in(connection_of(event.assoc)):
            self._reject(event.assoc, NO_ROOM, source)

    def _reject(
        self, association: Association, reason: tuple[int, int, int], source: CStoreSource
    ) -> None:
        _log.warning("association_rejected", source=source.name)
        reject(association, reason)

    def _store(self, event: evt.Event) -> Dataset:
        source = source_of(self._source(event.assoc))
        try:
            if isinstance(event.request._dataset_file, Discarded):  # noqa: SLF001 - put there by us
                self._receiver.refuse(StorageError("the disk has no room for it"), source)
            self._receiver.receive(event.dataset_path, source, _named(event))
        except ThrombolensError as exc:
            return _refusal(exc)
        except Exception:
            # The library answers C211H and writes nothing that could be read.
            _log.exception("instance_crashed")
            raise
        return _status(SUCCESS)

    def _commit(self, event: evt.Event) -> tuple[int, None]:
        peer = self._source(event.assoc).commitment
        try:
            return self._reporter.take(event, peer, self._entry.ae_title), None
        except Exception:
            _log.exception("commitment_crashed")
            raise


def _named(event: evt.Event) -> tuple[str, str]:
    """Return SOP Class and SOP Instance UID of a command."""
    request = cast("C_STORE", event.request)
    return str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)


def _expect_at_once(event: evt.Event) -> None:
    """Let the next packet be acknowledged at once, not some 40 ms later.

    dcmtk and pynetdicom write a message in pieces and wait, before the second one, until the first
    is acknowledged: a study would take several times as long. The switch holds for one exchange.
    """
    connection = connection_of(event.assoc)
    if connection is not None and hasattr(socket, "TCP_QUICKACK"):
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _refusal(error: ThrombolensError) -> Dataset:
    answer = _status(status_of(error))
    answer.ErrorComment = f"{error.code}: {error}"[:LONGEST_COMMENT]
    return answer


def _status(code: int) -> Dataset:
    answer = Dataset()
    answer.Status = code
    return answer


class _LateHandshake(ssl.SSLContext):
    """Lets the thread of the association shake hands: the one that accepts must not wait."""

    def wrap_socket(self, sock: Any, *_: Any, **__: Any) -> ssl.SSLSocket:  # noqa: ANN401 - as inherited
        """Return the server's side of a socket."""
        return super().wrap_socket(sock, server_side=True, do_handshake_on_connect=False)


def _tls_context(tls: ServerTls) -> ssl.SSLContext:
    context = _LateHandshake(ssl.PROTOCOL_TLS_SERVER)
    # BCP 195, which PS3.15 B.9 asks for.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(str(tls.certificate_file), str(tls.key_file))
        if tls.ca_file is not None:
            context.load_verify_locations(str(tls.ca_file))
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as exc:
        raise InvalidSourcesError(
            f"listener: tls: {tls.certificate_file}, {tls.key_file} or {tls.ca_file} cannot be "
            f"used: {type(exc).__name__}"
        ) from exc
    return context
