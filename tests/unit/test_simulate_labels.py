"""Labels of simulated thrombi: what counts as visible, and how annotators differ."""

import numpy as np
import numpy.typing as npt
import pytest

from training.simulate.acquisition import Grid
from training.simulate.grids import axial_grid
from training.simulate.labels import (
    Jitter,
    draw_jitter,
    microbleed_mask,
    tissue_around,
    visible_mask,
)
from training.simulate.mimics import Source
from training.simulate.painting import ball

SPACING = (1.5, 0.9, 0.9)
SHAPE = (12, 40, 40)
LUMEN = (slice(5, 7), slice(18, 22), slice(15, 25))


def _mask(part: tuple[slice, slice, slice]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(SHAPE, bool)
    mask[part] = True
    return mask


def _image(*dark: tuple[tuple[slice, slice, slice], float]) -> npt.NDArray[np.float32]:
    image = np.ones(SHAPE, np.float32)
    for part, value in dark:
        image[part] = value
    return image


def test_dark_region_around_the_lumen_is_visible() -> None:
    bloom = (slice(5, 7), slice(16, 24), slice(14, 26))
    svs = visible_mask(_image((bloom, 0.3)), _image(), _mask(LUMEN), SPACING)
    np.testing.assert_array_equal(svs, _mask(bloom))


def test_faint_region_is_not() -> None:
    svs = visible_mask(_image((LUMEN, 0.7)), _image(), _mask(LUMEN), SPACING)
    assert not svs.any()


def test_what_was_dark_without_the_thrombus_is_not_its_sign() -> None:
    vein = (slice(5, 7), slice(18, 22), slice(25, 35))
    healthy = _image((vein, 0.3))
    shown = _image((vein, 0.3), (LUMEN, 0.2))
    svs = visible_mask(shown, healthy, _mask(LUMEN), SPACING)
    np.testing.assert_array_equal(svs, _mask(LUMEN))


def test_dark_region_elsewhere_is_not_its_sign() -> None:
    far = (slice(1, 2), slice(2, 6), slice(2, 6))
    svs = visible_mask(_image((LUMEN, 0.2), (far, 0.2)), _image(), _mask(LUMEN), SPACING)
    np.testing.assert_array_equal(svs, _mask(LUMEN))


def test_hole_in_the_dark_region_is_filled() -> None:
    hole = (slice(5, 6), slice(19, 20), slice(20, 21))
    svs = visible_mask(_image((LUMEN, 0.2), (hole, 1.0)), _image(), _mask(LUMEN), SPACING)
    assert svs[hole].all()


def test_without_a_lumen_nothing_is_visible() -> None:
    nothing = np.zeros(SHAPE, bool)
    assert not visible_mask(_image((LUMEN, 0.1)), _image(), nothing, SPACING).any()


def test_tissue_around_leaves_out_what_gives_no_signal() -> None:
    air = (slice(0, 12), slice(0, 20), slice(0, 40))
    around = tissue_around(_image((air, 0.02)), SPACING)
    assert around[6, 21, 20] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("jitter", "rows", "slices"),
    [
        (Jitter(0, 0, 0), 4, 2),
        (Jitter(1, 0, 0), 6, 2),
        (Jitter(-1, 0, 0), 2, 2),
        (Jitter(0, 1, 1), 4, 4),
        (Jitter(0, -1, 0), 4, 1),
    ],
)
def test_annotators_differ_by_a_voxel_and_a_slice(jitter: Jitter, rows: int, slices: int) -> None:
    drawn = jitter.apply(_mask(LUMEN))
    assert drawn.any(axis=(1, 2)).sum() == slices
    assert drawn.any(axis=(0, 2)).sum() == rows


def test_no_annotator_loses_a_label() -> None:
    point = _mask((slice(5, 6), slice(18, 19), slice(15, 16)))
    for jitter in (Jitter(-1, -1, -1), Jitter(-1, 0, 0), Jitter(0, -1, -1)):
        assert jitter.apply(point).any()
    assert not Jitter(1, 1, 1).apply(np.zeros(SHAPE, bool)).any()


def test_annotators_are_drawn_of_all_kinds() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_jitter(rng) for _ in range(200)]
    for name in ("grow", "first", "last"):
        assert {getattr(jitter, name) for jitter in drawn} == {-1, 0, 1}


def _bleed(centre_mm: tuple[float, float, float], radius_mm: float, kind: str) -> Source:
    return Source(kind, "brain", ball(kind, np.array(centre_mm), radius_mm), 0.6)


def _grid() -> Grid:
    geometry = axial_grid(np.zeros(3), (2.0, 1.0, 1.0), (10, 30, 30))
    return Grid(geometry=geometry, factor=(4, 2, 2), thickness_share=None)


def test_microbleeds_have_their_place_and_volume() -> None:
    # LPS (x, y, z) is (column, row, slice).
    sources = [_bleed((8.0, 20.0, 6.0), 2.0, "microbleed"), _bleed((22.0, 9.0, 12.0), 3.0, "x")]
    mask = microbleed_mask(sources, _grid())
    assert np.argwhere(mask).mean(axis=0) == pytest.approx([3.0, 20.0, 8.0], abs=0.5)
    assert int(mask.sum()) * 2.0 == pytest.approx(4 / 3 * np.pi * 2.0**3, rel=0.25)


def test_microbleed_smaller_than_a_voxel_has_one() -> None:
    mask = microbleed_mask([_bleed((8.0, 20.0, 6.0), 0.4, "microbleed")], _grid())
    np.testing.assert_array_equal(np.argwhere(mask), [[3, 20, 8]])


def test_microbleed_outside_the_slab_has_no_voxel() -> None:
    outside = [_bleed((8.0, 20.0, 24.0), 1.5, "microbleed"), _bleed((8.0, 20.0, 90.0), 1.5, "x")]
    assert not microbleed_mask(outside, _grid()).any()
