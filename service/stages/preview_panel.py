"""One picture of the preview: a slice or a part of it, with outlines, letters and a scale bar."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.finding_colours import colour_of

# Width and height of a panel in pixels of the picture.
PANEL = 320
SCALE_BAR_MM = 10.0
WINDOW_PERCENTILES = (1.0, 99.5)

# Left, top, right, bottom in pixels of the slice; may reach beyond it.
Box = tuple[float, float, float, float]

_EDGE = 4
_TEXT = (235, 235, 235)
# LPS axes: what lies towards higher x, y and z, and towards lower.
_TOWARDS = (("L", "R"), ("P", "A"), ("H", "F"))


@dataclass(frozen=True)
class Panel:
    """What one picture shows.

    Attributes
    ----------
    role : Role
    slice_index : int
        0-based slice of the reference grid.
    box : Box
        Part of the slice, as displayed.
    outlined : bool
        Whether findings are outlined.
    window_slice : int, optional
        Slice whose grey values set the window, so that neighbours can be compared; its own if not
        given.
    """

    role: Role
    slice_index: int
    box: Box
    outlined: bool
    window_slice: int | None = None


class Projection:
    """How slices of a grid are laid on the picture: never rotated, only flipped to convention.

    Columns run to the patient's left or back, rows to the back or the feet.

    Parameters
    ----------
    geometry : Geometry
        Grid of the slices.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        _, rows, columns = geometry.axes
        self._flips = tuple(bool(_runs_backwards(axis)) for axis in (rows, columns))
        self._rows = rows * (-1 if self._flips[0] else 1)
        self._columns = columns * (-1 if self._flips[1] else 1)

    def displayed(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the (row, column) plane as it is displayed."""
        axes = tuple(axis for axis in (0, 1) if self._flips[axis])
        return np.ascontiguousarray(np.flip(plane, axes))

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """What lies to the left, top, right and bottom of the picture."""
        return (
            _letter(-self._columns),
            _letter(-self._rows),
            _letter(self._columns),
            _letter(self._rows),
        )

    @property
    def whole(self) -> Box:
        """The square in mm around the whole slice."""
        _, rows, columns = self.geometry.shape
        _, row_mm, column_mm = self.geometry.spacing
        side = max(rows * row_mm, columns * column_mm)
        return self._square((rows / 2, columns / 2), side)

    def box_around(self, index: npt.NDArray[np.float64], side_mm: float) -> Box:
        """Return the square in mm around a (row, column) index of the slice."""
        _, *sizes = self.geometry.shape
        shown = [
            size - 1 - place if flipped else place
            for place, size, flipped in zip(index, sizes, self._flips, strict=True)
        ]
        return self._square((shown[0] + 0.5, shown[1] + 0.5), side_mm)

    def _square(self, centre: tuple[float, float], side_mm: float) -> Box:
        _, row_mm, column_mm = self.geometry.spacing
        half_height, half_width = side_mm / row_mm / 2, side_mm / column_mm / 2
        y, x = centre
        return (x - half_width, y - half_height, x + half_width, y + half_height)

    def pixels_per_mm(self, box: Box) -> float:
        """Return how many pixels of the picture one millimetre takes."""
        return PANEL / ((box[2] - box[0]) * self.geometry.spacing[2])


def _runs_backwards(axis: npt.NDArray[np.float64]) -> bool:
    """Tell whether an axis of the plane runs to the right, the front or the head."""
    dominant = int(np.argmax(np.abs(axis)))
    wanted = (1, 1, -1)[dominant]
    return bool(axis[dominant] * wanted < 0)


def _letter(direction: npt.NDArray[np.float64]) -> str:
    dominant = int(np.argmax(np.abs(direction)))
    return _TOWARDS[dominant][0 if direction[dominant] > 0 else 1]


def grey_window(plane: npt.NDArray[Any], box: Box) -> tuple[float, float]:
    """Return the grey values shown as black and white for what lies in the box of a plane.

    They span two percentiles of the box, leaving out 0; both are 0 where nothing is left.
    """
    left, top, right, bottom = (max(round(edge), 0) for edge in box)
    shown = plane[top:bottom, left:right]
    values = shown[np.isfinite(shown) & (shown != 0)]
    if values.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(values, WINDOW_PERCENTILES)
    return float(low), float(high)


def grey_levels(plane: npt.NDArray[Any], window: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Return a plane (row, column) as grey levels; NaN becomes black."""
    low, high = window
    if low == high == 0:
        return np.zeros(plane.shape, np.uint8)
    scaled = (np.nan_to_num(plane, nan=low) - low) / max(high - low, 1e-6)
    return np.asarray(np.clip(scaled, 0, 1) * 255, np.uint8)


def draw_panel(
    panel: Panel, volume: Volume, mask: Volume | None, projection: Projection
) -> Image.Image:
    """Draw one panel of PANEL x PANEL pixels.

    Parameters
    ----------
    panel : Panel
        What to show.
    volume : Volume
        The panel's sequence, axes (slice, row, column), on the reference grid.
    mask : Volume or None
        0 or the number of a finding; may be None if the panel is not outlined.
    projection : Projection
        Of the reference grid.
    """
    window_slice = panel.slice_index if panel.window_slice is None else panel.window_slice
    window = grey_window(projection.displayed(volume.voxels[window_slice]), panel.box)
    plane = grey_levels(projection.displayed(volume.voxels[panel.slice_index]), window)
    picture = _fit(plane, panel.box, Image.Resampling.BICUBIC).convert("RGB")
    if panel.outlined and mask is not None:
        _draw_outlines(picture, projection.displayed(mask.voxels[panel.slice_index]), panel.box)
    _draw_letters(picture, projection.letters)
    slices = projection.geometry.shape[0]
    _write(picture, (_EDGE, _EDGE), f"{panel.role}  slice {panel.slice_index + 1}/{slices}", "la")
    _draw_scale_bar(picture, projection.pixels_per_mm(panel.box))
    return picture


def _fit(plane: npt.NDArray[np.uint8], box: Box, method: Image.Resampling) -> Image.Image:
    """Cut a box out of a plane, black beyond it, and scale it to a panel."""
    left, top, right, bottom = box
    rows, columns = plane.shape
    margin = int(np.ceil(max(0.0, -left, -top, right - columns, bottom - rows))) + 1
    padded = Image.fromarray(np.pad(plane, margin))
    inside = (left + margin, top + margin, right + margin, bottom + margin)
    return padded.resize((PANEL, PANEL), method, box=inside)


def _draw_outlines(picture: Image.Image, labels: npt.NDArray[Any], box: Box) -> None:
    for number in sorted(set(np.unique(labels).tolist()) - {0}):
        binary = np.where(labels == number, 255, 0).astype(np.uint8)
        inside = _fit(binary, box, Image.Resampling.NEAREST)
        # Just outside the finding, so that the dark vessel under it stays visible.
        outline = ImageChops.difference(inside.filter(ImageFilter.MaxFilter(3)), inside)
        picture.paste(colour_of(int(number)), (0, 0), outline)


def _draw_letters(picture: Image.Image, letters: tuple[str, str, str, str]) -> None:
    middle, far = PANEL / 2, PANEL - _EDGE
    places = ((_EDGE, middle, "lm"), (middle, 20, "ma"), (far, middle, "rm"), (middle, far, "md"))
    for letter, (x, y, anchor) in zip(letters, places, strict=True):
        _write(picture, (x, y), letter, anchor)


def _draw_scale_bar(picture: Image.Image, pixels_per_mm: float) -> None:
    length = round(SCALE_BAR_MM * pixels_per_mm)
    right, bottom = PANEL - 2 * _EDGE, PANEL - 2 * _EDGE
    draw = ImageDraw.Draw(picture)
    draw.rectangle((right - length - 1, bottom - 4, right + 1, bottom), fill="black")
    draw.rectangle((right - length, bottom - 3, right, bottom - 1), fill=_TEXT)
    _write(picture, (right, bottom - 6), f"{SCALE_BAR_MM:.0f} mm", "rd")


def _write(picture: Image.Image, place: tuple[float, float], text: str, anchor: str) -> None:
    ImageDraw.Draw(picture).text(
        place,
        text,
        fill=_TEXT,
        font=ImageFont.load_default(14),
        anchor=anchor,
        stroke_width=1,
        stroke_fill="black",
    )
