"""Upgrade the job database and end: ``python -m service.entrypoints.migrate``."""

import sys

from service.adapters.structured_log import configure_logs
from service.bootstrap.migrating import migrate
from service.entrypoints.errors_told import errors_told
from service.settings import Settings


def main() -> None:
    """Upgrade, and say from which revision to which."""
    with errors_told():
        settings = Settings.load()
        configure_logs(settings.log_level)
        before, after = migrate(settings)
    sys.stdout.write(f"schema {after}, was {before or 'not there'}\n")


if __name__ == "__main__":
    main()
