"""The port on which a receiver tells us about storage commitment, on associations of its own."""

from collections.abc import Sequence

from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made by the module's __getattr__
    StorageCommitmentPushModel,
)

from service.adapters.arriving_messages import LONGEST_IN_MEMORY
from service.adapters.association_server import (
    MOST_WAITING,
    NO_ROOM,
    Bounds,
    GuardedServer,
    reject,
)
from service.adapters.association_socket import connection_of
from service.adapters.connections import Connections
from service.adapters.destination_entries import CStoreEntry
from service.adapters.dimse_limits import ConnectionLimits
from service.domain.errors import InvalidDestinationsError

# Associations at the same time; a receiver has one for a report, or a few.
MOST_REPORTS = 10


class CommitmentListener:
    """Listens from the start to the end of a process: a second one finds the port taken at once.

    Raises
    ------
    InvalidDestinationsError
        If the port cannot be listened on.
    """

    def __init__(
        self, entry: CStoreEntry, port: int, handlers: Sequence[evt.EventHandlerType]
    ) -> None:
        timeout = entry.timeout_seconds
        ae = AE(entry.calling_ae)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = timeout
        # The library counts whoever connects; we count those who ask for an association.
        ae.maximum_associations = MOST_REPORTS + MOST_WAITING + 1
        # The receiver is SCP of the service although it opens the association (PS3.4 J.2).
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        self._connections = Connections(MOST_REPORTS, MOST_WAITING)
        # An association is for one report, or a few.
        limits = ConnectionLimits(timeout, 10 * timeout)
        try:
            self._server = GuardedServer(
                ae,
                # Receivers may come from any side.
                ("", port),
                bounds=Bounds(self._connections, lambda: True, LONGEST_IN_MEMORY),
                tls=None,
                handlers=[(evt.EVT_REQUESTED, self._admit), *limits.handlers, *handlers],
            )
        except OSError as exc:
            raise InvalidDestinationsError(
                f"destination {entry.name}: commitment_port {port} cannot be listened on: "
                f"{exc.strerror}; of the processes that deliver, only one a host can have it"
            ) from exc
        self._server.start()

    def close(self) -> None:
        """Abort associations and stop listening."""
        self._server.shutdown()

    def _admit(self, event: evt.Event) -> None:
        if not self._connections.let_in(connection_of(event.assoc)):
            reject(event.assoc, NO_ROOM)
