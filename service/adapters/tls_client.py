"""TLS towards a peer (PS3.15 B.9): whom to believe, and who we are."""

import ssl

from service.adapters.destination_entries import Tls
from service.adapters.source_entries import ServerTls
from service.domain.errors import InvalidDestinationsError, InvalidSourcesError


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


def context_to_ourselves(tls: ServerTls) -> ssl.SSLContext:
    """Return the client's side of TLS towards the listener of this machine, and of nobody else.

    Raises
    ------
    InvalidSourcesError
        If one of the files cannot be used, or a certificate would be asked for and there is none.
    """
    if tls.ca_file is not None and tls.check_certificate_file is None:
        raise InvalidSourcesError(
            "listener: tls: with ca_file a health check needs check_certificate_file and "
            "check_key_file, which ca_file vouches for"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It is reached by the loopback's address, which its certificate need not name; instead it must
    # show the very certificate of the configuration, whoever issued that.
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(str(tls.certificate_file))
        if tls.check_certificate_file is not None and tls.check_key_file is not None:
            context.load_cert_chain(str(tls.check_certificate_file), str(tls.check_key_file))
    except (OSError, ssl.SSLError) as exc:
        raise InvalidSourcesError(
            f"listener: tls: {tls.certificate_file}, {tls.check_certificate_file} or "
            f"{tls.check_key_file} cannot be used: {type(exc).__name__}"
        ) from exc
    return context
