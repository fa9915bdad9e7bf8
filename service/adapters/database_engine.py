"""Connections to the job database, SQLite or PostgreSQL, as several processes need them."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from service.domain.errors import JobDatabaseError

BUSY_TIMEOUT_MS = 15_000


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection to read with."""
    with translated(), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction that is kept unless an error leaves the block."""
    with translated(), engine.connect() as connection:
        writer = connection.execution_options(writes=True)
        with writer.begin():
            yield writer


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of the database and its migrations into ``JobDatabaseError``."""
    try:
        yield
    except (SQLAlchemyError, CommandError) as exc:
        # The message of the driver may quote rows, so only its kind is told.
        raise JobDatabaseError(f"the job database failed: {type(exc).__name__}") from exc


def make_engine(address: str) -> sa.Engine:
    """Return an engine for a SQLAlchemy URL.

    Raises
    ------
    JobDatabaseError
        If the address is none, or its driver or folder is missing.
    """
    try:
        url = sa.make_url(address)
        if url.get_backend_name() == "sqlite":
            if url.database:
                Path(url.database).parent.mkdir(parents=True, exist_ok=True)
            return _prepare_sqlite(sa.create_engine(url))
        return sa.create_engine(url, pool_pre_ping=True)
    except (SQLAlchemyError, ImportError, OSError) as exc:
        raise JobDatabaseError(
            f"the job database's address is no good: {type(exc).__name__}"
        ) from exc


def _prepare_sqlite(engine: sa.Engine) -> sa.Engine:
    """Set every connection up for several processes.

    The driver's own transactions are switched off: it would begin them late, and a transaction
    that reads first and writes then fails at once when another one wrote in between. So those
    that write say so at their beginning and wait for their turn.
    """

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
