"""What several groups of tests share."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

from service.adapters.job_database import JobDatabase
from tests.authority import Authority
from tests.processes import postgres_server

# An association whose peer is gone ends within its time-outs; one that does not is left alone.
ENDING_S = 5.0


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a PostgreSQL server; give the address of its maintenance database."""
    with postgres_server(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite3'}"
    maintenance: str = request.getfixturevalue("postgres")
    engine = sa.create_engine(maintenance, isolation_level="AUTOCOMMIT")
    name = f"jobs_{abs(hash(request.node.name)) % 10**8}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return sa.make_url(maintenance).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def database(address: str) -> Iterator[JobDatabase]:
    database = JobDatabase(address)
    database.upgrade()
    yield database
    database.close()


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what a test left, while its warnings count as its own."""
    yield
    # An association that has not ended holds its socket; the end of a server waits for none.
    for thread in threading.enumerate():
        if isinstance(thread, Association | DULServiceProvider):
            thread.join(ENDING_S)
    gc.collect()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give an authority for certificates that both sides trust."""
    return Authority(tmp_path_factory.mktemp("tls") / "ours")
