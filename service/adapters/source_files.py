"""Sources as a YAML file, checked when it is read."""

from pathlib import Path

from service.adapters.entry_files import EntryFile
from service.adapters.source_entries import SourceFile
from service.domain.errors import InvalidSourcesError

_FILE = EntryFile(SourceFile, "sources", named_by="name", by_kind=True, error=InvalidSourcesError)


def read_sources(path: Path) -> SourceFile:
    """Read the sources of an installation.

    Raises
    ------
    InvalidSourcesError
        If the file cannot be read, is no YAML, or says something that is not understood; names
        the entry and the value.
    """
    return _FILE.read(path)
