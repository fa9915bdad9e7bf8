"""What mkdocs does not do by itself: fill pages from the code, show diagrams, follow links.

A page that holds a line such as ``<!-- generated: api -->`` gets that content when the site is
built; so it cannot be stale, and nothing is fetched for it.
"""

import re
from collections.abc import Callable

from api_page import api_page
from error_codes import error_codes
from figures import with_pictures
from included_pages import decisions, model_cards, model_folder
from mkdocs.structure.pages import Page
from page_links import ROOT, with_links
from schema_tables import report_schema

GENERATED: dict[str, Callable[[], str]] = {
    "api": api_page,
    "decisions": decisions,
    "errors": error_codes,
    "model-cards": model_cards,
    "model-folder": model_folder,
    "report-schema": report_schema,
}
MARKER = re.compile(r"^<!-- generated: (.+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Return the text of a page with what is generated, and links that lead to pages."""
    folder = (ROOT / "docs" / page.file.src_uri).parent
    drawn = with_pictures(markdown, page.file.src_uri, ROOT / "docs")
    return MARKER.sub(lambda found: GENERATED[found[1]](), with_links(drawn, folder, folder))
