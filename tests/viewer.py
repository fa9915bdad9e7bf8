"""OHIF in a headless browser: what it holds of a study, and what it draws."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from tests.tools import require

LOAD_MS = 90_000
DRAW_S = 60.0
# Difference of the largest and the smallest component from which a pixel is no shade of grey; the
# overlay is coloured, the image grey.
COLOURED = 12
# No GPU: the page draws by software.
BROWSER = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]


@dataclass(frozen=True)
class Viewer:
    """One open page of the viewer.

    Attributes
    ----------
    page : Page
        As playwright has it.
    complaints : list of str
        What the page said about errors, and answers of servers that are some.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)

    def open(self, address: str, study_instance_uid: str, series: int) -> None:
        """Open a study and wait for so many display sets."""
        self.page.goto(f"{address}/viewer?StudyInstanceUIDs={study_instance_uid}")
        ready = (
            "count => window.services?.displaySetService"
            " && services.displaySetService.getActiveDisplaySets().length >= count"
            " && cornerstone.getRenderingEngines()?.[0]?.getViewports().length > 0"
        )
        self.page.wait_for_function(ready, arg=series, timeout=LOAD_MS)
        # The viewer calls it an error when what it still loads is replaced.
        shown = "cornerstone.getRenderingEngines()[0].getViewports()[0].getCornerstoneImage?.()"
        self.page.wait_for_function(f"!!{shown}", timeout=LOAD_MS)
        self.page.wait_for_load_state("networkidle", timeout=LOAD_MS)

    def show(self, modality: str) -> None:
        """Put the series of a modality into the viewport, as a double click on it does."""
        self.page.evaluate(
            """modality => {
              const set = services.displaySetService.getActiveDisplaySets()
                .find(one => one.Modality === modality);
              const grid = services.viewportGridService;
              grid.setDisplaySetsForViewports(
                services.hangingProtocolService.getViewportsRequireUpdate(
                  grid.getActiveViewportId(), set.displaySetInstanceUID));
            }""",
            modality,
        )

    def segments(self, count: int) -> list[str]:
        """Wait for a segmentation of so many segments; return their labels."""
        labels = (
            "Object.values(services.segmentationService.getSegmentations()[0]?.segments ?? {})"
            ".map(one => one.label)"
        )
        self.page.wait_for_function(f"{labels}.length === {count}", timeout=LOAD_MS)
        found: list[str] = self.page.evaluate(labels)
        return found

    def colour_at(self, point_lps: list[float]) -> tuple[int, int, int]:
        """Go to the slice nearest to a place in the patient; return the colour drawn there."""
        x, y = self.page.evaluate(_GO_TO, point_lps)
        picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        colour = picture.getpixel((round(x), round(y)))
        assert isinstance(colour, tuple)
        red, green, blue = (int(value) for value in colour)
        return red, green, blue

    def is_coloured(self, point_lps: list[float], expected: bool) -> bool:
        """Return whether a place is drawn in colour, waiting a while for what is expected.

        The overlay follows the image, on a busy machine after seconds.
        """
        ends = time.monotonic() + DRAW_S
        while True:
            colour = self.colour_at(point_lps)
            coloured = max(colour) - min(colour) >= COLOURED
            if coloured == expected or time.monotonic() > ends:
                return coloured

    def text(self) -> str:
        """Return what stands on the page."""
        return str(self.page.inner_text("body"))


_GO_TO = """async point => {
  const viewport = cornerstone.getRenderingEngines()[0].getViewports()[0];
  const cross = (a, b) => [a[1]*b[2]-a[2]*b[1], a[2]*b[0]-a[0]*b[2], a[0]*b[1]-a[1]*b[0]];
  const distance = id => {
    const plane = cornerstone.metaData.get('imagePlaneModule', id);
    const normal = cross(plane.rowCosines, plane.columnCosines);
    const from = plane.imagePositionPatient;
    return Math.abs(normal.reduce((sum, n, axis) => sum + n * (point[axis] - from[axis]), 0));
  };
  const distances = viewport.getImageIds().map(distance);
  await viewport.setImageIdIndex(distances.indexOf(Math.min(...distances)));
  viewport.render();
  // Two frames, and the overlay, which follows the image.
  await new Promise(done => setTimeout(done, 1000));
  const [x, y] = viewport.worldToCanvas(point);
  const box = viewport.element.getBoundingClientRect();
  return [x + box.x, y + box.y];
}"""


@contextmanager
def viewer() -> Iterator[Viewer]:
    """Open the browser; what it complains about is noted."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not installed everywhere

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(require("chromium")), args=BROWSER)
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        opened = Viewer(page)
        page.on("console", lambda said: _note(opened, said.type == "error", said.text))
        page.on("response", lambda got: _note(opened, got.status >= 400, f"{got.status} {got.url}"))
        try:
            yield opened
        finally:
            browser.close()


def _note(viewer: Viewer, bad: bool, text: str) -> None:
    if bad:
        viewer.complaints.append(text)
