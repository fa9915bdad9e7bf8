"""An upgrade from every older schema, with rows in it, as the composition's first process does."""

import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from pydantic import SecretStr

from service.adapters.delivery_database import DeliveryDatabase
from service.adapters.job_database import JobDatabase
from service.settings import Settings
from tests.older_schema import (
    JOB_ID,
    MIGRATIONS,
    add_finished_job,
    finished_job,
    read_job,
    revision_of,
    upgrade_to,
)


def revisions() -> list[str]:
    """Return all revisions, oldest first."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    steps = ScriptDirectory.from_config(config).walk_revisions()
    return [step.revision for step in steps][::-1]


def migrate(address: str) -> subprocess.CompletedProcess[str]:
    settings = Settings(database_url=SecretStr(address))
    return subprocess.run(
        [sys.executable, "-m", "service.entrypoints.migrate"],
        env=settings.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("older", revisions()[:-1])
def test_what_an_older_version_left_is_there_after_the_upgrade(address: str, older: str) -> None:
    upgrade_to(address, older)
    add_finished_job(address)
    done = migrate(address)
    assert (done.returncode, done.stdout) == (0, f"schema {revisions()[-1]}, was {older}\n")
    assert read_job(address) == finished_job()
    database = JobDatabase(address)
    try:
        # The tables that came are used, and are empty.
        assert DeliveryDatabase(database.engine).of_job(JOB_ID) == ()
        assert database.statistics().jobs["SUCCEEDED"] == 1
    finally:
        database.close()


def test_a_step_that_fails_is_undone_with_those_before_it(address: str) -> None:
    upgrade_to(address, "0001")
    add_finished_job(address)
    # In the way of the last step; the one before it passes.
    execute(address, "CREATE TABLE job_arrivals (x INTEGER)")
    done = migrate(address)
    assert done.returncode == 1
    assert "JOB_DATABASE_UNAVAILABLE" in done.stderr
    assert revision_of(address) == "0001"
    execute(address, "DROP TABLE job_arrivals")
    # The tables of the step before are not in the way either.
    assert migrate(address).returncode == 0
    assert read_job(address) == finished_job()


def execute(address: str, statement: str) -> None:
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
