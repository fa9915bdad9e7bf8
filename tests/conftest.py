"""Fixtures that every group of tests shares, and the word about groups that did not run."""

from collections import Counter
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real DICOM studies, or a skip that says what is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real studies: the folder ../shared/data is not beside this checkout")
    return SHARED_DATA


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every group of tests that did not run, how many, and what it lacked."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(_reason(report) for report in skipped)
    if not reasons:
        terminalreporter.section("every group of tests ran")
        return
    terminalreporter.section("groups of tests that did not run")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count} tests: {reason}")


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
