"""``python -m service.entrypoints.cli``."""

from service.entrypoints.cli.app import main

main()
