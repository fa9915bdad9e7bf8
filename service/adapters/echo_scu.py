"""C-ECHO as a client (PS3.4 annex A), with pynetdicom."""

import ssl

from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made on demand

from service.adapters.dimse_status import SUCCESS


def echo(
    host: str,
    port: int,
    *,
    calling_ae: str,
    called_ae: str,
    timeout_s: float,
    tls: ssl.SSLContext | None = None,
) -> bool:
    """Whether somebody lets us in there and answers C-ECHO with success."""
    entity = AE(ae_title=calling_ae)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = timeout_s
    entity.connection_timeout = timeout_s
    entity.add_requested_context(Verification)
    tls_args = None if tls is None else (tls, host)
    association = entity.associate(host, port, ae_title=called_ae, tls_args=tls_args)
    if not association.is_established:
        return False
    try:
        status = association.send_c_echo()
        return bool(status) and status.Status == SUCCESS
    finally:
        association.release()
