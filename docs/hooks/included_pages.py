"""Files of the repository that are shown as pages: they stay where they belong."""

import re
from pathlib import Path

from page_links import DOCS, ROOT, with_links

HEADING = re.compile(r"^(#+ )", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def model_cards() -> str:
    """Return the cards of all models that come with the service, newest version first."""
    cards = sorted((ROOT / "models").glob("*/*/MODEL_CARD.md"), key=_age, reverse=True)
    return "\n".join(_included(card) for card in cards)


def model_folder() -> str:
    """Return what models/README.md says, without its title."""
    text = _included(ROOT / "models" / "README.md")
    return text.partition("\n")[2]


def decisions() -> str:
    """Return a list of all decisions by their titles."""
    files = sorted((DOCS / "adr").glob("[0-9]*.md"))
    return "\n".join(f"- [{_title(file)}]({file.name})" for file in files)


def _title(file: Path) -> str:
    return file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def _age(card: Path) -> tuple[str, list[int]]:
    """Sort 0.10.0 after 0.9.0."""
    return card.parents[1].name, [int(part) for part in re.findall(r"\d+", card.parent.name)]


def _included(file: Path) -> str:
    """Return a file with its headings one step lower, as part of a page of docs/."""
    text = with_links(file.read_text(encoding="utf-8"), file.parent, DOCS)
    pieces = FENCE.split(text)
    fences = [*FENCE.findall(text), ""]
    lowered = (HEADING.sub(r"#\1", piece) for piece in pieces)
    return "".join(piece + fence for piece, fence in zip(lowered, fences, strict=True))
