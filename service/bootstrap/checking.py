"""Is a process of this machine well? Asked from outside, by container engines and people."""

import logging
from ipaddress import ip_address

import httpx

from service.adapters.echo_scu import echo
from service.adapters.heartbeat import age_seconds
from service.adapters.source_entries import CStoreSource
from service.adapters.source_files import read_sources
from service.adapters.tls_client import context_to_ourselves
from service.domain.errors import ConfigurationError
from service.settings import Settings

LOOPBACK = "127.0.0.1"
# Several rounds of the loops that beat, an hourly walk through all folders included.
OLDEST_BEAT_S = 90.0
ECHO_TIMEOUT_S = 5.0
# A worker may take its time; the API itself ends the wait.
ANSWER_TIMEOUT_EXTRA_S = 10.0


def is_ready(settings: Settings) -> bool:
    """Whether the API of this machine says that a worker analyses studies."""
    timeout = settings.ready_timeout_seconds + ANSWER_TIMEOUT_EXTRA_S
    try:
        # Proxies of the environment are for other machines.
        answer = httpx.get(
            f"http://{LOOPBACK}:{settings.port}/health/ready", timeout=timeout, trust_env=False
        )
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


def beats(settings: Settings) -> bool:
    """Whether the process with this heartbeat file was well a short time ago.

    Raises
    ------
    ConfigurationError
        If there is no heartbeat file in the settings.
    """
    if settings.heartbeat_file is None:
        raise ConfigurationError("THROMBOLENS_HEARTBEAT_FILE is not set: no heart to listen to")
    age = age_seconds(settings.heartbeat_file)
    return age is not None and age <= OLDEST_BEAT_S


def echoes(settings: Settings) -> bool:
    """Whether the listener of this machine answers C-ECHO.

    Raises
    ------
    ConfigurationError
        If it does not listen by the settings, or lets nobody in from this machine.
    InvalidSourcesError
        If the check has no certificate to show, or a file of ``tls`` cannot be used.
    """
    sources = None if settings.sources is None else read_sources(settings.sources)
    if sources is None or sources.listener is None:
        raise ConfigurationError("THROMBOLENS_SOURCES has no listener: nobody to say C-ECHO to")
    title = next((each.calling_ae[0] for each in sources.c_store if _is_local(each)), None)
    if title is None:
        raise ConfigurationError(f"no source may come from {LOOPBACK}; see docs/deployment.md")
    tls = sources.listener.tls
    # The library tells of failed associations by itself; we say yes or no.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    return echo(
        LOOPBACK,
        sources.listener.port,
        calling_ae=title,
        called_ae=sources.listener.ae_title,
        timeout_s=ECHO_TIMEOUT_S,
        tls=None if tls is None else context_to_ourselves(tls),
    )


def _is_local(source: CStoreSource) -> bool:
    """Whether a source is there for checks from this machine."""
    return ip_address(LOOPBACK) in source.addresses
