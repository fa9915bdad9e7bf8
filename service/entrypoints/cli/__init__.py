"""The command line: ``thrombolens``."""

from service.entrypoints.cli.app import main

__all__ = ["main"]
