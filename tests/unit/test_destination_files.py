"""The file of destinations: what it may say, and how it is told what is wrong."""

from pathlib import Path

import pytest

from service.adapters.destination_entries import CStoreEntry, destination_of
from service.adapters.destination_files import read_destinations, read_secret
from service.adapters.senders import open_channel
from service.domain.destination import ObjectKind, RetryRules
from service.domain.errors import InvalidDestinationsError
from tests.delivered import entry

GOOD = """
version: 1
destinations:
  - name: pacs
    kind: c-store
    host: pacs.example
    port: 104
    called_ae: PACS
    confirm: storage-commitment
    commitment_port: 11113
    results: [thrombus_found]
    objects: [segmentation, segmentation]
    retry: {first_seconds: 5, give_up_days: 2}
  - {name: web, kind: stow, url: "https://orthanc.example/dicom-web/", confirm: qido}
  - {name: share, kind: folder, path: /srv/results}
  - {name: hook, kind: webhook, url: "http://hook.example/x", hmac_key_file: /run/key}
"""
PACS = "name: pacs, kind: c-store, host: h, port: 104, called_ae: A"
HTTP = "kind: stow, url: 'http://x', confirm: none"


def written(folder: Path, text: str) -> Path:
    path = folder / "destinations.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    pacs, web, share, hook = read_destinations(written(tmp_path, GOOD))
    assert isinstance(pacs, CStoreEntry)
    assert (pacs.port, pacs.calling_ae, pacs.commitment_port) == (104, "THROMBOLENS", 11113)
    told = destination_of(pacs)
    assert told.results == {"thrombus_found"}
    assert told.objects == (ObjectKind.SEGMENTATION,)
    assert told.retry == RetryRules(5.0, 600.0, 2.0)
    assert [destination_of(each).confirmed for each in (pacs, web, share, hook)] == [
        True,
        True,
        False,
        False,
    ]
    everything = {"thrombus_found", "no_thrombus_found", "insufficient_input"}
    assert destination_of(web).results == everything
    assert ObjectKind.REPORT not in destination_of(web).objects
    assert set(destination_of(share).objects) == set(ObjectKind)
    assert destination_of(hook).objects == (ObjectKind.REPORT,)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"{PACS}, confirm: never", "(name pacs): Input should be"),
        (PACS, "confirm"),
        (f"{PACS}, confirm: qido", "qido_url"),
        (f"{PACS}, confirm: none, qido_url: 'http://x'", "need each other"),
        (f"{PACS}, confirm: none, commitment_port: 1", "commitment_port is for"),
        (f"{PACS}, confirm: none, objects: [report]", "not 'report'"),
        (f"{PACS}, confirm: none, results: [positive]", "not 'positive'"),
        (f"{PACS}, confirm: none, results: []", "results"),
        (f"{PACS}, confirm: none, colour: red", "colour"),
        (f"{PACS}, confirm: none, tls: {{ca_file: a, key_file: b}}", "need each other"),
        (f"{PACS}, confirm: none, retry: {{first_seconds: 900}}", "first_seconds 900"),
        ("name: x, kind: c-store, host: h, port: 0, called_ae: A, confirm: none", "not '0'"),
        ("name: x, kind: c-store, host: h, port: 1, called_ae: 'A\\B', confirm: none", "called_ae"),
        (f"name: X y, {HTTP}", "not 'X y'"),
        ("name: x, kind: ftp", "ftp"),
        ("name: x, kind: stow, url: nowhere, confirm: none", "http or https"),
        (f"name: x, {HTTP}, user: me", "need each other"),
        ("name: x, kind: folder, path: results", "not absolute"),
        ("name: x, kind: folder, path: /r, confirm: qido", "not 'qido'"),
        (f"name: x, {HTTP}}}\n  - {{name: x, {HTTP}", "the name x is used twice"),
    ],
)
def test_what_is_wrong_is_told_with_entry_and_value(tmp_path: Path, line: str, told: str) -> None:
    path = written(tmp_path, f"version: 1\ndestinations:\n  - {{{line}}}\n")
    with pytest.raises(InvalidDestinationsError) as caught:
        read_destinations(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.fixed_by == "operator of the service"


@pytest.mark.parametrize("text", ["version: 2\ndestinations: []", "version: 1", "a: b: c", "- 1"])
def test_what_is_no_file_of_destinations_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidDestinationsError):
        read_destinations(written(tmp_path, text))
    with pytest.raises(InvalidDestinationsError):
        read_destinations(tmp_path / "absent.yaml")


def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    line = "{name: x, kind: stow, url: 'https://me:hush@x', confirm: none}"
    with pytest.raises(InvalidDestinationsError, match="password_file") as caught:
        read_destinations(written(tmp_path, f"version: 1\ndestinations: [{line}]"))
    assert "hush" not in str(caught.value)


def test_two_listeners_on_one_port_are_refused(tmp_path: Path) -> None:
    second = GOOD.replace("name: pacs", "name: other").replace("version: 1\ndestinations:", "")
    with pytest.raises(InvalidDestinationsError, match="commitment_port 11113 is used twice"):
        read_destinations(written(tmp_path, GOOD + second.split("  - {name: web")[0].lstrip("\n")))


def test_secrets_come_from_files_that_must_be_there(tmp_path: Path) -> None:
    key = tmp_path / "key"
    with pytest.raises(InvalidDestinationsError, match="key cannot be read"):
        read_secret(key)
    key.write_text(" \n")
    with pytest.raises(InvalidDestinationsError, match="is empty"):
        read_secret(key)
    key.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidDestinationsError, match="UTF-8"):
        read_secret(key)
    key.write_text("hush\n")
    assert read_secret(key) == "hush"


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "webhook", "url": "http://x", "hmac_key_file": "/absent"},
        {"kind": "stow", "url": "http://x", "confirm": "none", "bearer_file": "/absent"},
        {"kind": "stow", "url": "http://x", "confirm": "none", "ca_file": "/absent"},
        {
            "kind": "c-store", "host": "h", "port": 1, "called_ae": "A", "confirm": "none",
            "tls": {"ca_file": "/absent"},
        },
    ],
)  # fmt: skip
def test_a_missing_file_is_told_when_the_channel_is_opened(values: dict[str, object]) -> None:
    with pytest.raises(InvalidDestinationsError, match="/absent"):
        open_channel(entry(**values))
