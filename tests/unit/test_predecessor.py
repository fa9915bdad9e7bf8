"""The report that a new one takes the place of, as a worker finds it on disk."""

import json
from pathlib import Path

import pytest

from service.adapters.result_files import write_folder
from service.bootstrap.analysis import structured_report_in
from service.domain.destination import ObjectKind
from service.domain.result_file import ResultFile
from tests.delivered import CLASSES, UIDS, results

REPORT = ResultFile.STRUCTURED_REPORT
WHOLE = results()[REPORT]


def test_an_older_report_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "older", results())
    found = structured_report_in(tmp_path / "older")
    assert found is not None
    kind = ObjectKind.STRUCTURED_REPORT
    assert (found.sop_class_uid, found.sop_instance_uid) == (CLASSES[kind], UIDS[kind])


def test_one_that_was_deleted_is_not(tmp_path: Path) -> None:
    assert structured_report_in(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        WHOLE.replace(b"UI", b"UX"),
        WHOLE[:145],
        WHOLE[:100],
        WHOLE[:140],
        WHOLE[:200],
        bytes(2000),
        json.dumps([]).encode(),
    ],
    ids=[
        "empty",
        "no-such-vr",
        "short-value",
        "preamble",
        "prefix",
        "half",
        "zeros",
        "something-else",
    ],
)
def test_one_that_is_damaged_holds_up_nothing(tmp_path: Path, content: bytes) -> None:
    write_folder(tmp_path / "older", {REPORT: content})
    assert structured_report_in(tmp_path / "older") is None
