"""The last word of a process that cannot go on: one line instead of a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from service.domain.errors import ThrombolensError


@contextmanager
def errors_told() -> Iterator[None]:
    """End the process with status 1 and a sentence that names code and who can fix it."""
    try:
        yield
    except ThrombolensError as exc:
        sys.stderr.write(f"{exc.code}: {exc} (can be fixed by: {exc.fixed_by})\n")
        raise SystemExit(1) from exc
