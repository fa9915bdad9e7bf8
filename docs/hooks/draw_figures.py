"""Draw the diagrams of all pages: ``make figures``. Needs npm, Chromium and a network.

Mermaid comes from npm and runs in the browser; what it draws is kept in docs/figures.
"""

import subprocess
import tarfile
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

from figures import diagrams, mark, picture_name
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).resolve().parents[1]
MERMAID = "mermaid@11.9.0"
# No HTML in labels: other programs than browsers show the pictures too.
SETTINGS = {
    "startOnLoad": False,
    "theme": "neutral",
    "fontFamily": "sans-serif",
    "htmlLabels": False,
    "flowchart": {
        "htmlLabels": False,
        "wrappingWidth": 400,
        "subGraphTitleMargin": {"top": 4, "bottom": 20},
    },
    "deterministicIds": True,
}
DRAW = """async ([settings, text]) => {
  mermaid.initialize(settings);
  return (await mermaid.render('figure', text)).svg;
}"""


def fetch_mermaid(folder: Path) -> Path:
    """Fetch Mermaid into a folder; return its script."""
    subprocess.run(["npm", "pack", MERMAID, "--silent"], cwd=folder, check=True)  # noqa: S603, S607
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / "package/dist/mermaid.min.js"


def as_file(drawn: str) -> str:
    """Return a picture with a size of its own, and white behind it: pages may be dark."""
    root = ET.fromstring(drawn)  # noqa: S314 - drawn by ourselves
    _, _, width, height = root.attrib["viewBox"].split()
    root.attrib |= {"width": width, "height": height, "style": "background: white"}
    ET.register_namespace("", "http://www.w3.org/2000/svg")
    return ET.tostring(root, encoding="unicode")


def main() -> None:
    """Draw all of them."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        script = fetch_mermaid(Path(folder))
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.add_script_tag(path=script)
        for file in sorted(DOCS.rglob("*.md")):
            name = file.relative_to(DOCS).as_posix()
            for number, text in enumerate(diagrams(file.read_text(encoding="utf-8")), 1):
                drawn: str = page.evaluate(DRAW, [SETTINGS, text])
                picture = DOCS / "figures" / picture_name(name, number)
                picture.write_text(f"{as_file(drawn)}\n{mark(text)}\n", encoding="utf-8")
        browser.close()


if __name__ == "__main__":
    main()
