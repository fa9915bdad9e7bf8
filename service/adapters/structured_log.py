"""Logs as JSON lines with fields from a list; nothing else gets out.

Headers of studies, names of uploaded files and texts of foreign errors may hold a patient's
identity. So a record keeps only fields that are known to be harmless, an exception only its type
and where it was raised, and a record of another library only its template, without arguments.
"""

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

ALLOWED = frozenset({
    "attempt", "code", "delivery_id", "destination", "destinations", "error", "event",
    "exit_code", "instances", "job_id", "level", "logger", "method", "model", "module", "pid",
    "port", "process", "provider", "raised_at", "reason", "result", "route", "seconds", "source",
    "stage", "state", "status", "timestamp",
})  # fmt: skip
# Libraries whose message templates are fixed sentences.
TRUSTED = ("alembic", "celery", "kombu", "service", "uvicorn")

Event = MutableMapping[str, Any]

_log = structlog.get_logger(__name__)


def configure_logs(level: str) -> None:
    """Send the records of this process, of our own and of libraries, to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        describe_error,
        keep_allowed,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(sort_keys=True)],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ForeignFormatter(shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "celery", "alembic", "kombu"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    # They tell of every step and message; that of ours which matters we tell ourselves.
    for name in ("alembic", "celery"):
        logging.getLogger(name).setLevel(logging.WARNING)
    threading.excepthook = log_crash
    # Warnings of DICOM readers quote the values they are about.
    warnings.simplefilter("ignore")


def log_crash(args: threading.ExceptHookArgs) -> None:
    """Log what ended a thread; Python would print it, values included."""
    error = args.exc_value
    if error is not None and not isinstance(error, SystemExit):
        _log.error("thread_crashed", exc_info=error)


class ForeignFormatter(logging.Formatter):
    """Renders records; ours are rendered already, foreign ones lose their arguments."""

    def __init__(self, processors: list[structlog.typing.Processor]) -> None:
        super().__init__()
        self._processors = processors
        self._render = structlog.processors.JSONRenderer(sort_keys=True)

    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON line."""
        if record.name.startswith("service."):
            return str(record.msg)
        trusted = record.name.split(".")[0] in TRUSTED
        event: Event = {
            "event": str(record.msg) if trusted else "message of a library",
            "logger": record.name,
            "level": record.levelname.lower(),
            "exc_info": record.exc_info,
            "timestamp": datetime.fromtimestamp(record.created, tz=UTC).isoformat(),
        }
        describe_error(None, "", event)
        return str(self._render(None, "", keep_allowed(None, "", event)))


def describe_error(_: object, __: str, event: Event) -> Event:
    """Replace an exception by its type and the place that raised it."""
    found = event.pop("exc_info", None)
    error = sys.exc_info()[1] if found is True else found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        if frames:
            last = frames[-1]
            event["raised_at"] = f"{Path(last.filename).name}:{last.lineno}"
    return event


def keep_allowed(_: object, __: str, event: Event) -> Event:
    """Drop every field that is not on the list."""
    return {key: value for key, value in event.items() if key in ALLOWED}
