"""The process that listens for studies: ``python -m service.entrypoints.listener``."""

import sys

from service.adapters.structured_log import configure_logs
from service.bootstrap.listening import run_listener
from service.bootstrap.processes import ATTACHED, end_with_parent
from service.entrypoints.errors_told import errors_told
from service.settings import Settings


def main() -> None:
    """Listen until told to stop."""
    with errors_told():
        settings = Settings.load()
        configure_logs(settings.log_level)
        if ATTACHED in sys.argv[1:]:
            end_with_parent()
        run_listener(settings)


if __name__ == "__main__":
    main()
