"""The API as a process: ``python -m service.entrypoints.api``."""

import sys

import uvicorn

from service.adapters.structured_log import configure_logs
from service.bootstrap.gateway import Gateway
from service.bootstrap.processes import ATTACHED, end_with_parent
from service.entrypoints.api.app import create_app
from service.entrypoints.errors_told import errors_told
from service.settings import Settings

SHUTDOWN_S = 5


def main() -> None:
    """Serve until told to stop."""
    with errors_told():
        settings = Settings.load()
        configure_logs(settings.log_level)
        if ATTACHED in sys.argv[1:]:
            end_with_parent()
        gateway = Gateway(settings)
    uvicorn.run(
        create_app(gateway),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        # Followers of events would keep a stopping process alive.
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


if __name__ == "__main__":
    main()
