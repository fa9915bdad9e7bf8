"""Blocks of code in the documentation, and what says why one is not run."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>\S[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes
    ----------
    reason : str or None
        Why it is not run, as its page says in a comment before it; None if it has to run.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page, named from the root, in order."""
    content = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(
            page,
            content.count("\n", 0, found.start("language")) + 1,
            found["language"],
            found["text"],
            found["reason"],
        )
        for found in BLOCK.finditer(content)
    ]
