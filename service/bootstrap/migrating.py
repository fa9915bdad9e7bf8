"""Brings the job database up to date once, before the other processes start."""

from service.adapters.job_database import JobDatabase
from service.settings import Settings


def migrate(settings: Settings) -> tuple[str | None, str | None]:
    """Upgrade the schema; return its revisions before and after.

    Raises
    ------
    JobDatabaseError
        If the database cannot be reached, a step fails, or the schema is newer than this version
        of the service; nothing is changed then.
    """
    database = JobDatabase(settings.database_address)
    try:
        before = database.revision()
        database.upgrade()
        after = database.revision()
        database.check()
    finally:
        database.close()
    return before, after
