"""Who is told about storage commitment: on an association that stands, or on one of our own."""

import structlog
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import build_role
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made by the module's __getattr__
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from service.adapters.dimse_limits import ConnectionLimits
from service.adapters.dimse_status import SUCCESS
from service.adapters.source_entries import Commitment
from service.adapters.tls_client import tls_context
from service.domain.errors import InvalidDestinationsError, InvalidSourcesError

_log = structlog.get_logger(__name__)

TIMEOUT_S = 30.0


class CommitmentPeer:
    """Is told on associations that we open.

    Raises
    ------
    InvalidSourcesError
        If a file for TLS cannot be used.
    """

    def __init__(self, entry: Commitment, source: str) -> None:
        self._entry = entry
        try:
            context = None if entry.tls is None else tls_context(entry.tls)
        except InvalidDestinationsError as exc:
            raise InvalidSourcesError(f"source {source}: commitment: {exc}") from exc
        self._tls = None if context is None else (context, entry.host)

    def tell(self, ae_title: str, report: Dataset, kind: int) -> None:
        """Report; what cannot be told is logged, and not repeated."""
        try:
            association = self._associate(ae_title)
        except OSError as exc:
            _log.warning("commitment_not_told", error=type(exc).__name__)
            return
        if not association.is_established:
            _log.warning("commitment_not_told", reason="the peer cannot be associated with")
            return
        tell(association, report, kind)
        association.release()

    def _associate(self, ae_title: str) -> Association:
        ae = AE(ae_title)
        ae.connection_timeout = ae.acse_timeout = TIMEOUT_S
        ae.dimse_timeout = ae.network_timeout = TIMEOUT_S
        ae.add_requested_context(StorageCommitmentPushModel)
        # It is negotiated, told on, and released or aborted.
        limits = ConnectionLimits(TIMEOUT_S, 4 * TIMEOUT_S)
        return ae.associate(
            self._entry.host,
            self._entry.port,
            ae_title=self._entry.called_ae,
            # We open the association, but are SCP of the service (PS3.4 J.2).
            ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
            tls_args=self._tls,
            evt_handlers=limits.handlers,
        )


def tell(association: Association, report: Dataset, kind: int) -> None:
    """Report on an association; what cannot be told is logged."""
    if not association.is_established:
        _log.warning("commitment_not_told", reason="the association had ended")
        return
    try:
        answer, _ = association.send_n_event_report(
            report, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
    except (RuntimeError, ValueError) as exc:
        _log.warning("commitment_not_told", error=type(exc).__name__)
        return
    if "Status" not in answer:
        _log.warning("commitment_not_told", reason="no answer: timeout or abort")
    elif answer.Status != SUCCESS:
        _log.warning("commitment_not_told", reason=f"{int(answer.Status):04X}H")
