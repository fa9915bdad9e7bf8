"""Pictures in place of the diagrams that pages hold as text (Mermaid).

The site needs no network and no script, so the diagrams are drawn beforehand: ``make figures``
writes ``docs/figures/PAGE-NUMBER.svg``. Each says what text it was drawn from; one that is stale
is a warning, of which ``make docs`` makes an error.
"""

import hashlib
import logging
import re
from pathlib import Path, PurePosixPath

DIAGRAM = re.compile(
    r"^(?:<!-- not run: a picture -->\n)?```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

_log = logging.getLogger("mkdocs.hooks.figures")


def diagrams(markdown: str) -> list[str]:
    """Return the diagrams of a page as text."""
    return [found[1] for found in DIAGRAM.finditer(markdown)]


def picture_name(page: str, number: int) -> str:
    """Return the file of the page's picture, below docs/figures."""
    return f"{page.removesuffix('.md').replace('/', '-')}-{number}.svg"


def mark(diagram: str) -> str:
    """Return what a picture says about the text it was drawn from."""
    return f"<!-- drawn from {hashlib.sha256(diagram.encode()).hexdigest()} -->"


def with_pictures(markdown: str, page: str, docs: Path) -> str:
    """Return a page with pictures in place of its diagrams."""
    numbers = iter(range(1, len(diagrams(markdown)) + 1))
    up = "../" * (len(PurePosixPath(page).parts) - 1)

    def picture(found: re.Match[str]) -> str:
        name = picture_name(page, next(numbers))
        file = docs / "figures" / name
        if not file.exists() or mark(found[1]) not in file.read_text(encoding="utf-8"):
            _log.warning("%s is not what %s says: make figures", file.name, page)
        titles = HEADING.findall(markdown, 0, found.start())
        address = f"{up}figures/{name}"
        return f"[![{titles[-1]}]({address})]({address})"

    return DIAGRAM.sub(picture, markdown)
