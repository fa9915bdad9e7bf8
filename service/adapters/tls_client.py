"""TLS towards a peer (PS3.15 B.9): whom to believe, and who we are."""

import ssl

from service.adapters.destination_entries import Tls
from service.domain.errors import InvalidDestinationsError


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return the client's side of TLS.

    Raises
    ------
    InvalidDestinationsError
        If one of the files cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=str(tls.ca_file))
        if tls.certificate_file is not None and tls.key_file is not None:
            context.load_cert_chain(str(tls.certificate_file), str(tls.key_file))
    except (OSError, ssl.SSLError) as exc:
        raise InvalidDestinationsError(
            f"tls: {tls.ca_file} or {tls.certificate_file} cannot be used: {type(exc).__name__}"
        ) from exc
    return context
