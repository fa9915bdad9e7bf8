"""The documentation as mkdocs builds it: without a warning, and without anything from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.domain import errors
from tests.documented import ROOT
from tests.viewer import viewer

NOTICE = "Research use only. Not a medical device."
# What a browser loads by itself; links that a person may follow are none of it.
LOADED = re.compile(
    r"<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//\S+)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="comes with the extra docs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def text_of(site: Path, page: str) -> str:
    return (site / page).read_text(encoding="utf-8")


def test_every_page_says_what_this_is_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        content = page.read_text(encoding="utf-8")
        assert NOTICE in content.partition("<main")[0], page
        assert not LOADED.findall(content), page


def test_nothing_of_the_hooks_is_published(site: Path) -> None:
    assert not [*site.rglob("*.py"), *(site / "theme").glob("*")]


def test_generated_pages_are_whole(site: Path) -> None:
    assert "DELETE /jobs/{job_id}" in text_of(site, "api.html")
    assert "bounding_box_lps" in text_of(site, "report-schema.html")
    for decision in (ROOT / "docs" / "adr").glob("0*.md"):
        assert f'href="{decision.stem}.html"' in text_of(site, "adr/index.html")
    for card in (ROOT / "models").glob("*/*/MODEL_CARD.md"):
        title = card.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        assert title in text_of(site, "model-cards.html")


def test_every_error_is_explained_by_its_code(site: Path) -> None:
    page = text_of(site, "troubleshooting.html")
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {each.code for each in kinds if issubclass(each, errors.ThrombolensError)}
    assert not {code for code in codes if f"<code>{code}</code>" not in page}


def test_diagrams_are_pictures_that_a_browser_shows_without_a_network(site: Path) -> None:
    drawn = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").count("```mermaid")
    assert drawn == 2
    asked: list[str] = []
    with viewer() as opened:
        opened.page.on("request", lambda request: asked.append(request.url))
        opened.page.goto((site / "architecture.html").as_uri())
        opened.page.wait_for_load_state("load")
        sizes = opened.page.evaluate(
            "[...document.querySelectorAll('article img')].map(i => [i.naturalWidth, i.width])"
        )
    assert len(sizes) == drawn
    assert all(natural > 500 and shown > 300 for natural, shown in sizes), sizes
    assert "flowchart" not in text_of(site, "architecture.html")
    assert [url for url in asked if not url.startswith("file:")] == []


def test_a_picture_of_an_older_text_is_noticed() -> None:
    code = (
        "import sys, pathlib, logging; logging.basicConfig(stream=sys.stdout);"
        "sys.path.insert(0, 'docs/hooks'); import figures;"
        "page = pathlib.Path('docs/architecture.md').read_text();"
        "print(figures.with_pictures(page, 'architecture.md', pathlib.Path('docs')).count('.svg'));"
        "figures.with_pictures(page.replace('analyse_study', 'x'), 'architecture.md',"
        " pathlib.Path('docs'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, *warned = done.stdout.splitlines()
    assert first == "4", "each picture, and the link to it"
    assert [line for line in warned if "architecture-1.svg is not what" in line] == warned
    assert len(warned) == 1
