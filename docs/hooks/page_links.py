"""Links of Markdown files of the repository, as links between pages of the site."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# Text and target; an image has the same form.
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def with_links(markdown: str, written_in: Path, shown_in: Path) -> str:
    """Return Markdown whose links lead to pages.

    Parameters
    ----------
    written_in : Path
        Folder that the links are relative to.
    shown_in : Path
        Folder of the page that holds the text.
    """

    def replaced(found: re.Match[str]) -> str:
        text, target = found.groups()
        path, mark, anchor = target.partition("#")
        if not path or ":" in path:
            return found[0]
        file = Path(os.path.normpath(written_in / path))
        page = page_of(file)
        if page is None:
            # A file of the repository that is no page: its name says where it is.
            return f"{text} (`{file.relative_to(ROOT)}`)" if file.exists() else found[0]
        return f"[{text}]({os.path.relpath(page, shown_in)}{mark}{anchor})"

    return LINK.sub(replaced, markdown)


def page_of(file: Path) -> Path | None:
    """Return the page or asset of docs/ on which a file of the repository is shown."""
    if file.name == "MODEL_CARD.md":
        return DOCS / "model-cards.md"
    if file == ROOT / "models" / "README.md":
        return DOCS / "models.md"
    if file == ROOT / "README.md":
        return DOCS / "index.md"
    if not file.is_relative_to(DOCS):
        return None
    return file / "index.md" if file.is_dir() else file
