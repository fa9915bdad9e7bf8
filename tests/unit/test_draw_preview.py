from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from service.domain.finding import Finding, StudyResult
from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.draw_preview import COLUMNS, draw_preview
from service.stages.finding_colours import colour_of
from service.stages.preview_panel import (
    PANEL,
    Panel,
    Projection,
    draw_panel,
    grey_levels,
    grey_window,
)
from tests.results import finding
from tests.strategies import dicom_axes

AXIAL = dicom_axes(np.eye(3))


def grid(
    shape: tuple[int, int, int] = (9, 60, 50),
    spacing: tuple[float, float, float] = (4.0, 2.0, 2.0),
    axes: npt.NDArray[np.float64] = AXIAL,
) -> Geometry:
    return Geometry.from_components(origin=(0, 0, 0), axes=axes, spacing=spacing, shape=shape)


def head(geometry: Geometry) -> Volume:
    """Return an ellipsoid of growing brightness on black."""
    middle = (np.array(geometry.shape) - 1) / 2
    steps = np.moveaxis(np.indices(geometry.shape), 0, -1) - middle
    inside = ((steps / (middle + 0.5)) ** 2).sum(axis=-1) < 0.8
    return Volume(np.where(inside, 100.0 + steps[..., 2], 0.0).astype(np.float32), geometry)


def clot(geometry: Geometry) -> Volume:
    voxels = np.zeros(geometry.shape, np.uint16)
    voxels[4:6, 20:23, 30:34] = 1
    voxels[4, 40:42, 20:22] = 2
    return Volume(voxels, geometry)


GRID = grid()
HEAD, CLOT = head(GRID), clot(GRID)
ROLES = {Role.DWI: HEAD, Role.SUSC: HEAD, Role.TOF: HEAD, Role.ADC: HEAD}
FINDINGS = (finding(1, volume_mm3=900.0), finding(2, volume_mm3=60.0))


def preview(findings: tuple[Finding, ...] = FINDINGS, mask: Volume | None = CLOT) -> bytes:
    result = StudyResult.THROMBUS_FOUND if findings else StudyResult.NO_THROMBUS_FOUND
    return draw_preview(ROLES, mask, findings, result=result, reference_role=Role.SUSC)


def opened(png: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(png)))


def places(picture: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> npt.NDArray[np.int64]:
    """Return (y, x) of the pixels that have exactly this colour."""
    return np.argwhere((picture[..., :3] == colour).all(axis=-1))


def test_same_input_gives_the_same_bytes() -> None:
    assert preview() == preview()


def test_findings_are_outlined_in_their_colours_on_three_sequences() -> None:
    picture = opened(preview())
    assert picture.shape[1] > COLUMNS * PANEL
    found = places(picture, colour_of(1))
    # Three whole slices in the first row, three neighbours in the third, and the table's square.
    thirds = np.histogram(found[:, 1], bins=3, range=(0, picture.shape[1]))[0]
    assert (thirds > 0).all()
    assert len(places(picture, colour_of(2))) > 0


def test_a_negative_study_shows_no_outline() -> None:
    for mask in (None, Volume(np.zeros(GRID.shape, np.uint16), GRID)):
        picture = opened(preview((), mask))
        assert len(places(picture, colour_of(1))) == 0
    assert preview((), None) != preview()


def test_the_words_follow_the_result() -> None:
    pictures = {
        result: draw_preview(ROLES, None, (), result=result, reference_role=Role.SUSC)
        for result in StudyResult
    }
    assert len(set(pictures.values())) == len(StudyResult)


def test_the_banner_is_there() -> None:
    for png in (preview(), preview((), None)):
        top = opened(png)[:30]
        share = (top == (255, 191, 0)).all(axis=-1).mean()
        assert 0.7 < share < 1.0


def test_the_table_grows_with_the_findings_up_to_a_limit() -> None:
    heights = [
        opened(preview(tuple(finding(n) for n in range(1, count + 1)))).shape[0]
        for count in (1, 2, 6, 7, 20)
    ]
    assert heights[0] < heights[1] < heights[2] < heights[3] == heights[4]


def test_one_sequence_and_few_slices_are_enough() -> None:
    small = grid(shape=(1, 30, 30))
    mask = np.zeros(small.shape, np.uint16)
    mask[0, 10:12, 10:12] = 1
    png = draw_preview(
        {Role.DWI: head(small)},
        Volume(mask, small),
        (finding(1),),
        result=StudyResult.THROMBUS_FOUND,
        reference_role=Role.DWI,
    )
    assert len(places(opened(png), colour_of(1))) > 0


WHOLE = (0.0, 0.0, 4.0, 2.0)


def test_voxels_that_a_sequence_does_not_cover_are_black() -> None:
    plane = np.array([[np.nan, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 3.0]])
    assert grey_levels(plane, grey_window(plane, WHOLE))[0, 0] == 0
    nothing = np.full((2, 4), np.nan)
    assert (grey_levels(nothing, grey_window(nothing, WHOLE)) == 0).all()


def test_a_constant_sequence_is_no_error() -> None:
    constant = np.full((2, 4), 7.0)
    assert grey_levels(constant, grey_window(constant, WHOLE)).shape == (2, 4)


def test_grey_levels_suit_what_is_shown() -> None:
    plane = np.array([[10.0, 20.0, 30.0, 5000.0], [10.0, 20.0, 30.0, 9000.0]])
    shown = grey_levels(plane, grey_window(plane, (-1.0, 0.0, 3.0, 2.0)))
    assert shown[0, 1] in range(100, 155)
    assert shown[0, 3] == 255
    assert grey_levels(plane, grey_window(plane, WHOLE))[0, 1] < 10


@pytest.mark.parametrize(
    ("axes", "letters"),
    [
        (AXIAL, ("R", "A", "L", "P")),
        # Columns to the patient's right, rows to the front: both are flipped for display.
        (AXIAL * np.array([[1], [-1], [-1]]), ("R", "A", "L", "P")),
        # Coronal: slices to the back, rows to the feet, columns to the left.
        (np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]]), ("R", "H", "L", "F")),
        # Sagittal: slices to the left, rows to the feet, columns to the back.
        (np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]), ("A", "H", "P", "F")),
    ],
)
def test_letters_and_flips(axes: npt.NDArray[np.float64], letters: tuple[str, ...]) -> None:
    projection = Projection(grid(axes=axes))
    assert projection.letters == letters


@pytest.mark.parametrize("flips", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_the_patient_s_right_is_on_the_left_however_the_grid_runs(flips: tuple[int, int]) -> None:
    geometry = grid(axes=AXIAL * np.array([[1], [flips[0]], [flips[1]]]))
    # Bright where x is low (right) and y is low (front).
    points = geometry.to_lps(np.moveaxis(np.indices(geometry.shape), 0, -1))
    x, y = points[..., 0], points[..., 1]
    bright = ((x < x.mean()) & (y < y.mean())).astype(np.uint8) * 255
    shown = Projection(geometry).displayed(bright[4])
    assert shown[:25, :20].all()
    assert not shown[35:, 30:].any()


@pytest.mark.parametrize("spacing", [(4.0, 2.0, 2.0), (4.0, 1.0, 3.0), (2.0, 3.0, 1.0)])
def test_pixels_keep_their_shape_and_outlines_lie_where_the_voxels_are(
    spacing: tuple[float, float, float],
) -> None:
    geometry = grid(spacing=spacing)
    projection = Projection(geometry)
    voxels = np.zeros(geometry.shape, np.uint16)
    # As square in millimetres as whole voxels allow, off the middle.
    rows, columns = round(24 / spacing[1]), round(24 / spacing[2])
    voxels[4, 10 : 10 + rows, 8 : 8 + columns] = 1
    mask = Volume(voxels, geometry)
    panel = Panel(Role.SUSC, 4, projection.whole, outlined=True)
    picture = draw_panel(panel, Volume(np.zeros(geometry.shape), geometry), mask, projection)
    found = places(np.asarray(picture), colour_of(1))
    per_mm = projection.pixels_per_mm(projection.whole)
    height, width = (found.max(axis=0) - found.min(axis=0) - 1) / per_mm
    assert height == pytest.approx(rows * spacing[1], abs=2 / per_mm)
    assert width == pytest.approx(columns * spacing[2], abs=2 / per_mm)
    middle = (found.max(axis=0) + found.min(axis=0) + 1) / 2 - PANEL / 2
    wanted = [
        ((10 + rows / 2) - 30) * spacing[1] * per_mm,
        ((8 + columns / 2) - 25) * spacing[2] * per_mm,
    ]
    assert middle.tolist() == pytest.approx(wanted, abs=1.5)


def test_the_close_up_follows_the_flips() -> None:
    geometry = grid(axes=AXIAL * np.array([[1], [-1], [-1]]))
    projection = Projection(geometry)
    left, top, right, bottom = projection.box_around(np.array([0.0, 0.0]), 20.0)
    assert ((left + right) / 2, (top + bottom) / 2) == (49.5, 59.5)


def test_the_scale_bar_is_ten_millimetres_long() -> None:
    projection = Projection(GRID)
    box = projection.box_around(np.array([30.0, 25.0]), 40.0)
    panel = Panel(Role.SUSC, 0, box, outlined=False)
    picture = np.asarray(draw_panel(panel, Volume(np.zeros(GRID.shape), GRID), None, projection))
    # The right part of the lowest lines; the letter of the bottom edge is in the middle.
    bar = places(picture[PANEL - 12 :, 200:], (235, 235, 235))
    assert bar[:, 1].max() - bar[:, 1].min() == pytest.approx(PANEL / 4, abs=1)


def test_neighbouring_slices_can_share_a_window() -> None:
    voxels = np.full(GRID.shape, 100.0)
    voxels[:, ::2] = 110.0
    # Something dark on the key slice alone.
    voxels[4, :30] = 10.0
    volume, projection = Volume(voxels, GRID), Projection(GRID)
    tissue = {}
    for window_slice in (None, 4):
        panels = [
            Panel(Role.SUSC, index, projection.whole, outlined=False, window_slice=window_slice)
            for index in (4, 5)
        ]
        pictures = [np.asarray(draw_panel(p, volume, None, projection)) for p in panels]
        tissue[window_slice] = [int(np.median(picture[200:240, 150:200])) for picture in pictures]
    assert tissue[4][0] == tissue[4][1]
    assert tissue[None][0] != tissue[None][1]
