"""Fixtures that every group of tests shares."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real DICOM studies, or a skip that says what is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real studies: the folder ../shared/data is not beside this checkout")
    return SHARED_DATA
