"""Files that outlast a crash of the machine."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until the disk has the content of a file, or the names in a folder.

    Raises
    ------
    OSError
        If the disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
