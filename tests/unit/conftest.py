"""Fixtures that several unit tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.job_database import JobDatabase


@pytest.fixture
def database(tmp_path: Path) -> Iterator[JobDatabase]:
    """Give an empty job database in a file of its own."""
    database = JobDatabase(f"sqlite:///{tmp_path / 'jobs.sqlite3'}")
    database.upgrade()
    yield database
    database.close()
