"""Logs hold no identity, whoever writes them."""

import ast
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

import service
from service.adapters.structured_log import ALLOWED, configure_logs

PATIENT = "DOE^JANE"


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hook = threading.excepthook
    with warnings.catch_warnings():
        configure_logs("INFO")
        yield
    root.handlers[:] = handlers
    root.setLevel(level)
    threading.excepthook = hook
    structlog.reset_defaults()


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    text = captured.readouterr().err
    assert PATIENT not in text
    return [json.loads(line) for line in text.splitlines()]


def test_fields_that_are_not_on_the_list_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("INFO")
    log = structlog.get_logger("service.test")
    log.info("job_queued", job_id="a", patient=PATIENT, file=f"{PATIENT}.dcm")
    (line,) = lines(capsys)
    assert (line["event"], line["job_id"], line["level"]) == ("job_queued", "a", "info")
    assert "patient" not in line


def logged_fields(path: Path) -> set[str]:
    """Return the fields of every record that a file writes, and of what it binds to them."""
    calls = [each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.Call)]
    logging_calls = [
        call
        for call in calls
        if ast.unparse(call.func).startswith("_log.")
        or ast.unparse(call.func).endswith("bound_contextvars")
    ]
    fields = {keyword.arg for call in logging_calls for keyword in call.keywords if keyword.arg}
    # Its type and place are written instead.
    return fields - {"exc_info"}


def test_every_field_that_is_written_is_on_the_list() -> None:
    written = {
        field
        for path in Path(service.__file__).parent.rglob("*.py")
        for field in logged_fields(path)
    }
    assert {"job_id", "destination"} <= written
    assert written <= ALLOWED


def test_an_exception_shows_its_type_and_place_only(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("INFO")
    try:
        raise ValueError(PATIENT)
    except ValueError:
        structlog.get_logger("service.test").exception("job_failed")
        logging.getLogger("celery.app.trace").exception("Task %s raised: %s", "x", PATIENT)
    own, foreign = lines(capsys)
    for line in (own, foreign):
        assert line["error"] == "ValueError"
        assert str(line["raised_at"]).startswith("test_structured_log.py:")
    assert foreign["event"] == "Task %s raised: %s"


def test_libraries_that_quote_values_are_silenced(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("INFO")
    logging.getLogger("pydicom").warning(f"Invalid value for VR PN: {PATIENT}")
    warnings.warn(f"Invalid value {PATIENT}", stacklevel=1)
    (line,) = lines(capsys)
    assert line["event"] == "message of a library"


def test_the_level_holds(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("WARNING")
    structlog.get_logger("service.test").info("request")
    assert lines(capsys) == []


def test_a_thread_that_dies_leaves_one_line_without_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("INFO")

    def fail() -> None:
        raise ValueError(PATIENT)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    (line,) = lines(capsys)
    assert (line["event"], line["error"]) == ("thread_crashed", "ValueError")
    assert str(line["raised_at"]).startswith("test_structured_log.py:")
