"""Key images for people: where the findings lie, on a few sequences, as one PNG.

With findings: the slice with most of the largest finding on up to three sequences, whole and
outlined, then close up without any mark, then its neighbours close up and outlined. Without:
slices from the middle of the stack. Axial and coronal images show the patient's right on the
left, as radiologists read them; letters at the edges say so.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from service.domain.finding import Finding, StudyResult
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.finding_colours import colour_of
from service.stages.preview_panel import PANEL, Box, Panel, Projection, draw_panel

BANNER = "RESEARCH USE ONLY - NOT A MEDICAL DEVICE"
WORDS = {
    StudyResult.THROMBUS_FOUND: "probable thrombus found",
    StudyResult.NO_THROMBUS_FOUND: "no thrombus found",
    StudyResult.INSUFFICIENT_INPUT: "insufficient input",
}
# What shows most about a clot first: the clot, the infarct, the cut vessel.
ROLE_ORDER = (Role.SUSC, Role.DWI, Role.TOF, Role.FLAIR, Role.ADC, Role.PHASE)
COLUMNS = 3
# Parts of the stack that a study without findings shows.
MIDDLE = (0.4, 0.5, 0.6)
CLOSE_UP_MM = 60.0
MAX_TABLE_LINES = 6

_MARGIN = 10
_LINE = 24
_BANNER_HEIGHT = 40
_BACKGROUND = (16, 16, 16)
_BANNER_COLOUR = (255, 191, 0)
_TEXT = (235, 235, 235)


def draw_preview(
    backgrounds: Mapping[Role, Volume],
    mask: Volume | None,
    findings: Sequence[Finding],
    *,
    result: StudyResult,
    reference_role: Role,
) -> bytes:
    """Draw the preview.

    Parameters
    ----------
    backgrounds : mapping of Role to Volume
        Axes (slice, row, column), all on the reference's grid; NaN where a sequence does not
        reach. Must hold the reference role.
    mask : Volume or None
        On the same grid: 0 or the number of a finding. None, or all 0, without findings.
    findings : sequence of Finding
        For the table and the choice of the slice.
    result : StudyResult
        Said in words.
    reference_role : Role
        The sequence that comes first.

    Returns
    -------
    bytes
        PNG, RGB; the same input gives the same bytes.
    """
    roles = _roles(backgrounds, reference_role)
    projection = Projection(backgrounds[reference_role].geometry)
    if mask is not None and findings and mask.voxels.any():
        rows = _rows_with_findings(roles, mask, findings, projection)
    else:
        rows = _rows_without(roles, projection)
    canvas = Image.new("RGB", (_width(), _height(len(rows), findings)), _BACKGROUND)
    _draw_heading(canvas, result, len(findings))
    for row, panels in enumerate(rows):
        for column, panel in enumerate(panels):
            picture = draw_panel(panel, backgrounds[panel.role], mask, projection)
            canvas.paste(picture, _corner(row, column))
    _draw_table(canvas, findings, _table_top(len(rows)))
    buffer = BytesIO()
    canvas.save(buffer, format="PNG")
    return buffer.getvalue()


def _roles(backgrounds: Mapping[Role, Volume], reference_role: Role) -> list[Role]:
    others = [role for role in ROLE_ORDER if role in backgrounds and role is not reference_role]
    return [reference_role, *others][:COLUMNS]


def _rows_with_findings(
    roles: Sequence[Role], mask: Volume, findings: Sequence[Finding], projection: Projection
) -> list[list[Panel]]:
    largest = max(findings, key=lambda finding: (finding.volume_mm3, -finding.number))
    voxels = mask.voxels == largest.number
    key = int(np.argmax(voxels.sum(axis=(1, 2))))
    close = projection.box_around(np.argwhere(voxels[key]).mean(axis=0), CLOSE_UP_MM)
    whole = projection.whole
    first = min(max(key - 1, 0), max(voxels.shape[0] - COLUMNS, 0))
    neighbours = range(first, min(first + COLUMNS, voxels.shape[0]))
    return [
        [Panel(role, key, whole, outlined=True) for role in roles],
        [Panel(role, key, close, outlined=False) for role in roles],
        [Panel(roles[0], index, close, outlined=True, window_slice=key) for index in neighbours],
    ]


def _rows_without(roles: Sequence[Role], projection: Projection) -> list[list[Panel]]:
    slices = projection.geometry.shape[0]
    chosen = sorted({int(slices * share) for share in MIDDLE})
    whole: Box = projection.whole
    return [[Panel(role, index, whole, outlined=False) for index in chosen] for role in roles]


def _width() -> int:
    return COLUMNS * (PANEL + _MARGIN) + _MARGIN


def _table_top(rows: int) -> int:
    return _corner(rows, 0)[1]


def _height(rows: int, findings: Sequence[Finding]) -> int:
    lines = min(len(findings), MAX_TABLE_LINES) + 1 + (len(findings) > MAX_TABLE_LINES)
    return _table_top(rows) + (lines * _LINE + _MARGIN if findings else 0)


def _corner(row: int, column: int) -> tuple[int, int]:
    top = _BANNER_HEIGHT + _LINE + 2 * _MARGIN
    return _MARGIN + column * (PANEL + _MARGIN), top + row * (PANEL + _MARGIN)


def _draw_heading(canvas: Image.Image, result: StudyResult, count: int) -> None:
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, 0, canvas.width, _BANNER_HEIGHT), fill=_BANNER_COLOUR)
    middle = (canvas.width / 2, _BANNER_HEIGHT / 2)
    draw.text(middle, BANNER, fill="black", font=ImageFont.load_default(20), anchor="mm")
    words = f"Thrombolens: {WORDS[result]}"
    if count:
        words += f" ({count} {'finding' if count == 1 else 'findings'})"
    place = (_MARGIN, _BANNER_HEIGHT + _MARGIN)
    draw.text(place, words, fill=_TEXT, font=ImageFont.load_default(18))


def _draw_table(canvas: Image.Image, findings: Sequence[Finding], top: int) -> None:
    if not findings:
        return
    lines = ["finding|side|probability|volume|length|width|slices"]
    lines += [_table_line(finding) for finding in findings[:MAX_TABLE_LINES]]
    if len(findings) > MAX_TABLE_LINES:
        lines.append(f"and {len(findings) - MAX_TABLE_LINES} more in the report")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(15)
    step = (canvas.width - 4 * _MARGIN) // 7
    for number, line in enumerate(lines):
        y = top + number * _LINE
        if 0 < number <= MAX_TABLE_LINES:
            square = (_MARGIN, y + 3, _MARGIN + 12, y + 15)
            draw.rectangle(square, fill=colour_of(findings[number - 1].number))
        for column, text in enumerate(line.split("|")):
            draw.text((3 * _MARGIN + column * step, y), text, fill=_TEXT, font=font)


def _table_line(finding: Finding) -> str:
    first, last = (index + 1 for index in finding.slice_range)
    cells = (
        f"{finding.number}",
        finding.side,
        f"{finding.probability:.2f}",
        f"{finding.volume_mm3:.0f} mm3",
        f"{finding.length_mm:.1f} mm",
        f"{finding.width_mm:.1f} mm",
        f"{first}" if first == last else f"{first} to {last}",
    )
    return "|".join(cells)
