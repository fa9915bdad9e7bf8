"""A worker as a process: ``python -m service.entrypoints.worker``."""

import sys

from service.adapters.structured_log import configure_logs
from service.bootstrap.analysis import Analyser
from service.bootstrap.processes import ATTACHED, end_with_parent
from service.bootstrap.working import run_jobs
from service.entrypoints.errors_told import errors_told
from service.settings import Settings


def main() -> None:
    """Take jobs until told to stop."""
    with errors_told():
        settings = Settings.load()
        configure_logs(settings.log_level)
        if ATTACHED in sys.argv[1:]:
            end_with_parent()
        analyser = Analyser(settings)
        # One that cannot infer would take studies only to fail them, and look well meanwhile.
        analyser.probe()
        run_jobs(settings, analyser, analyser.probe)


if __name__ == "__main__":
    main()
