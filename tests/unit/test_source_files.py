"""The file of sources: what it may say, and how it is told what is wrong."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from service.adapters.source_entries import LONGEST_SERIES_S, CStoreSource, source_of
from service.adapters.source_files import read_sources
from service.bootstrap.listening import ListenerService
from service.domain.arrival import ArrivalPolicy, LateSeries
from service.domain.errors import ConfigurationError, InvalidSourcesError
from service.domain.sequence import Role
from service.settings import Settings
from tests.api import write_model
from tests.processes import free_port

GOOD = """
version: 1
listener: {ae_title: THROMBOLENS, port: 11112}
sources:
  - name: scanner
    kind: c-store
    calling_ae: [MR1, MR2]
    addresses: [10.0.0.5]
    policy:
      series_quiet_seconds: 20
      study_quiet_seconds: 90
      deadline_seconds: 900
      early_start: [SUSC, DWI]
      late_series: ignore
    commitment: {host: scanner.example, port: 104, called_ae: MR1}
  - {name: web, kind: stow}
  - {name: archive, kind: dicomweb, url: "https://orthanc.example/dicom-web/"}
"""
LISTENER = "listener: {port: 11112}\n"
SCANNER = "name: x, kind: c-store, calling_ae: [A]"


def written(folder: Path, text: str) -> Path:
    path = folder / "sources.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    found = read_sources(written(tmp_path, GOOD))
    scanner, web, archive = found.sources
    assert isinstance(scanner, CStoreSource)
    assert scanner.addresses == (ip_address("10.0.0.5"),)
    told = source_of(scanner).policy
    assert told == ArrivalPolicy(20, 90, 900, (Role.SUSC, Role.DWI), LateSeries.IGNORE)
    assert source_of(web).policy == ArrivalPolicy(60, 300, 3600)
    # Between two series of a fetch nothing starts.
    assert source_of(archive).policy.study_quiet_seconds > LONGEST_SERIES_S
    assert found.listener is not None
    assert (found.listener.ae_title, found.listener.max_associations) == ("THROMBOLENS", 20)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("name: x, kind: ftp", "ftp"),
        (f"{SCANNER}, policy: {{late_series: sometimes}}", "not 'sometimes'"),
        (f"{SCANNER}, policy: {{early_start: [SWI]}}", "not 'SWI'"),
        (f"{SCANNER}, policy: {{study_quiet_seconds: 5}}", "must grow"),
        (f"{SCANNER}, policy: {{deadline_seconds: 10}}", "(name x)"),
        (f"{SCANNER}, addresses: [scanner.example]", "not 'scanner.example'"),
        (f"{SCANNER}, colour: red", "colour"),
        ("name: X y, kind: c-store, calling_ae: [A]", "not 'X y'"),
        ("name: x, kind: c-store, calling_ae: []", "calling_ae"),
        ("name: x, kind: c-store, calling_ae: ['A\\B']", "calling_ae"),
        (f"{SCANNER}}}\n  - {{name: y, kind: c-store, calling_ae: [A]", "calling_ae A is used"),
        (f"{SCANNER}}}\n  - {{name: x, kind: stow", "the name x is used twice"),
        (f"{SCANNER}}}\n  - {{name: y, kind: stow}}\n  - {{name: z, kind: stow", "told apart"),
        (f"{SCANNER}}}\n  - {{name: y, kind: dicomweb, url: nowhere", "http or https"),
        (f"{SCANNER}}}\n  - {{name: y, kind: dicomweb, url: 'http://x', user: me", "each other"),
        ("name: x, kind: stow", "listener and sources of kind c-store need each other"),
    ],
)
def test_what_is_wrong_is_told_with_entry_and_value(tmp_path: Path, line: str, told: str) -> None:
    path = written(tmp_path, f"version: 1\n{LISTENER}sources:\n  - {{{line}}}\n")
    with pytest.raises(InvalidSourcesError) as caught:
        read_sources(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.fixed_by == "operator of the service"


REPORTS = "commitment: {host: h, port: 104, called_ae: A"
TLS = "listener: {port: 11112, tls: {certificate_file: c, key_file: k}}\n"


@pytest.mark.parametrize(
    ("listener", "peer"),
    [
        (LISTENER, "}"),
        (LISTENER, ", without_tls: true}"),
        (TLS, ", tls: {ca_file: x}}"),
        (TLS, ", without_tls: true}"),
    ],
)
def test_how_a_peer_is_told_of_commitment(tmp_path: Path, listener: str, peer: str) -> None:
    text = f"version: 1\n{listener}sources:\n  - {{{SCANNER}, {REPORTS}{peer}}}\n"
    assert read_sources(written(tmp_path, text)).c_store[0].commitment is not None


@pytest.mark.parametrize(
    ("peer", "wrong"),
    [
        ("}", "source x: the listener requires TLS, so commitment needs tls or without_tls: true"),
        (", tls: {ca_file: x}, without_tls: true}", "either tls or without_tls"),
        (", tls: {ca_file: x, key_file: k}}", "need each other"),
    ],
)
def test_reports_leave_without_tls_only_where_that_is_said(
    tmp_path: Path, peer: str, wrong: str
) -> None:
    text = f"version: 1\n{TLS}sources:\n  - {{{SCANNER}, {REPORTS}{peer}}}\n"
    with pytest.raises(InvalidSourcesError) as caught:
        read_sources(written(tmp_path, text))
    assert wrong in str(caught.value)


@pytest.mark.parametrize("text", ["version: 2\nsources: []", "version: 1", "a: b: c", "- 1"])
def test_what_is_no_file_of_sources_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSourcesError):
        read_sources(written(tmp_path, text))
    with pytest.raises(InvalidSourcesError):
        read_sources(tmp_path / "absent.yaml")


def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    line = "{name: x, kind: dicomweb, url: 'https://me:hush@x'}"
    with pytest.raises(InvalidSourcesError, match="password_file") as caught:
        read_sources(written(tmp_path, f"version: 1\nsources: [{line}]"))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "sources: [{name: x, kind: stow, bearer_file: /absent}]",
        "sources: [{name: x, kind: dicomweb, url: 'http://x', bearer_file: /absent}]",
        "sources: [{name: x, kind: dicomweb, url: 'http://x', ca_file: /absent}]",
        f"listener: {{tls: {{certificate_file: /absent, key_file: /a}}}}\nsources: [{{{SCANNER}}}]",
    ],
)
def test_a_missing_file_ends_the_start(tmp_path: Path, content: str) -> None:
    write_model(tmp_path / "models")
    settings = Settings(
        data_dir=tmp_path / "data",
        models_dir=tmp_path / "models",
        default_model="net",
        sources=written(tmp_path, f"version: 1\n{content}"),
    )
    with pytest.raises(InvalidSourcesError, match="/absent"):
        ListenerService(settings)


def test_a_listener_without_sources_or_a_free_port_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="THROMBOLENS_SOURCES"):
        ListenerService(Settings(data_dir=tmp_path))
    write_model(tmp_path / "models")
    port = free_port()
    text = f"version: 1\nlistener: {{host: 127.0.0.1, port: {port}}}\nsources: [{{{SCANNER}}}]"
    settings = Settings(
        data_dir=tmp_path / "data",
        models_dir=tmp_path / "models",
        default_model="net",
        sources=written(tmp_path, text),
    )
    first, second = ListenerService(settings), ListenerService(settings)
    first.open()
    try:
        with pytest.raises(InvalidSourcesError, match=f"port {port}"):
            second.open()
    finally:
        second.gateway.close()
        first.close()
