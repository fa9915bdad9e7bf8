"""The port on which a receiver tells us about storage commitment, on associations of its own."""

from collections.abc import Sequence

from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made by the module's __getattr__
    StorageCommitmentPushModel,
)

from service.adapters.destination_entries import CStoreEntry
from service.adapters.dimse_limits import ConnectionLimits
from service.domain.errors import InvalidDestinationsError


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
        self._ae = AE(entry.calling_ae)
        self._ae.acse_timeout = self._ae.dimse_timeout = self._ae.network_timeout = timeout
        # The receiver is SCP of the service although it opens the association (PS3.4 J.2).
        self._ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        # An association is for one report, or a few.
        limits = ConnectionLimits(timeout, 10 * timeout)
        try:
            # Receivers may come from any side.
            self._ae.start_server(
                ("", port), block=False, evt_handlers=[*limits.handlers, *handlers]
            )
        except OSError as exc:
            raise InvalidDestinationsError(
                f"destination {entry.name}: commitment_port {port} cannot be listened on: "
                f"{exc.strerror}; of the processes that deliver, only one a host can have it"
            ) from exc

    def close(self) -> None:
        """Abort associations and stop listening."""
        self._ae.shutdown()
