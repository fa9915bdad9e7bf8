"""A file that a process touches while it is well, so that others see it from outside."""

import time
from pathlib import Path

from service.domain.errors import StorageError


def beat(file: Path | None) -> None:
    """Touch the file, if there is to be one.

    Raises
    ------
    StorageError
        If it cannot be touched.
    """
    if file is None:
        return
    try:
        file.touch()
    except OSError as exc:
        raise StorageError(f"the heartbeat file cannot be touched: {exc.strerror}") from exc


def age_seconds(file: Path) -> float | None:
    """Return how long ago the file was touched, or None if it is not there."""
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return None
