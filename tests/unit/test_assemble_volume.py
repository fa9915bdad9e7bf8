"""Assembly of volumes: cases that random stacks do not reach."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from service.adapters.header_facts import header_facts, planes_of
from service.domain.errors import GeometryError, InputError
from service.domain.geometry import Geometry
from service.domain.study import PlaneFacts, SeriesFacts, VolumeFacts
from service.domain.volume import Volume
from service.stages.assemble_volume import assemble_volume, geometric_mean
from service.stages.plane_grid import regular_grid
from tests.strategies import enhanced_mr, mr_series

AXES = [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def ramp(shape: tuple[int, int, int] = (6, 3, 4), spacing: Sequence[float] = (5, 2, 0.5)) -> Volume:
    grid = Geometry.from_components(origin=(-10, -20, -30), axes=AXES, spacing=spacing, shape=shape)
    return Volume(np.arange(np.prod(shape)).reshape(shape), grid)


def facts_of(planes: Sequence[PlaneFacts]) -> VolumeFacts:
    series = SeriesFacts("1.2", 1, "", "MR", "", "", tuple(planes), {})
    return VolumeFacts("1.2", series, tuple(planes))


def planes_in(series: Sequence[Dataset]) -> list[PlaneFacts]:
    return [plane for instance in series for plane in planes_of(instance, header_facts(instance))]


def test_pixel_spacing_is_row_distance_first() -> None:
    series = mr_series(ramp(spacing=(5, 2.0, 0.5)))
    found = assemble_volume(facts_of(planes_in(series)), series).volume.geometry
    assert found.spacing == pytest.approx((5, 2.0, 0.5))
    assert found.to_lps([0, 1, 0]) - found.origin == pytest.approx([0, 2.0, 0])
    assert found.to_lps([0, 0, 1]) - found.origin == pytest.approx([0.5, 0, 0])


def test_spacing_between_slices_is_not_believed() -> None:
    series = mr_series(ramp(), SpacingBetweenSlices=2.0, SliceThickness=3.0)
    _, grid = regular_grid(planes_in(series))
    assert grid.spacing[0] == pytest.approx(5.0)


def test_every_plane_has_its_own_rescale() -> None:
    series = mr_series(ramp())
    for index, instance in enumerate(series):
        instance.RescaleSlope, instance.RescaleIntercept = index + 1, -index
    found = assemble_volume(facts_of(planes_in(series)), series).volume.voxels
    scale = np.arange(6)[:, None, None]
    np.testing.assert_allclose(found, ramp().voxels * (scale + 1) - scale)


def test_every_frame_has_its_own_rescale() -> None:
    instance = enhanced_mr(ramp())
    for index, frame in enumerate(instance.PerFrameFunctionalGroupsSequence):
        item = Dataset()
        item.RescaleSlope, item.RescaleIntercept = index + 1, 0
        frame.PixelValueTransformationSequence = [item]
    found = assemble_volume(facts_of(planes_in([instance])), [instance]).volume.voxels
    np.testing.assert_allclose(found, ramp().voxels * np.arange(1, 7)[:, None, None])


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_accepted() -> None:
    tilt = np.deg2rad(7.7)
    axes = [[0, -np.sin(tilt), np.cos(tilt)], [0, np.cos(tilt), np.sin(tilt)], [1, 0, 0]]
    grid = Geometry.from_components(
        origin=(0, 0, 0), axes=axes, spacing=(7, 1, 1), shape=(20, 3, 3)
    )
    series = mr_series(Volume(np.zeros(grid.shape), grid))
    for instance in series:
        instance.ImagePositionPatient = [
            round(float(mm), 1) for mm in instance.ImagePositionPatient
        ]
    _, found = regular_grid(planes_in(series))
    assert found.spacing[0] == pytest.approx(7.0, abs=0.02)


def turned(plane: PlaneFacts) -> PlaneFacts:
    return replace(plane, orientation=(1, 0.01, 0, -0.01, 1, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plane: replace(plane, position=None), "no ImagePositionPatient"),
        (lambda plane: replace(plane, orientation=None), "no ImageOrientationPatient"),
        (lambda plane: replace(plane, pixel_spacing=None), "no PixelSpacing"),
        (lambda plane: replace(plane, rows=2), "3 x 4 and 2 x 4 pixels"),
        (lambda plane: replace(plane, pixel_spacing=(2.0, 0.6)), "pixel spacing"),
        (lambda plane: replace(plane, position=(-10, -20, -20)), "same position"),
        (lambda plane: replace(plane, orientation=(2, 0, 0, 0, 1, 0)), "lengths"),
        (turned, "not parallel"),
    ],
)
def test_one_bad_plane_is_named(change: Callable[[PlaneFacts], PlaneFacts], message: str) -> None:
    planes = planes_in(mr_series(ramp()))
    with pytest.raises(GeometryError, match=message):
        regular_grid([*planes[:-1], change(planes[-1])])


def test_one_slice_is_no_volume() -> None:
    with pytest.raises(GeometryError, match="1 slice"):
        regular_grid(planes_in(mr_series(ramp()))[:1])


def test_sheared_stack_is_refused() -> None:
    planes = [
        replace(plane, position=(-10 + 0.5 * index, -20.0, -30 + 5.0 * index))
        for index, plane in enumerate(planes_in(mr_series(ramp())))
    ]
    with pytest.raises(GeometryError, match="sheared"):
        regular_grid(planes)


def test_colour_is_refused() -> None:
    series = mr_series(ramp())
    for instance in series:
        instance.SamplesPerPixel = 3
    with pytest.raises(GeometryError, match="colour"):
        assemble_volume(facts_of(planes_in(series)), series)


def test_frame_that_is_not_there_is_named() -> None:
    instance = enhanced_mr(ramp())
    planes = planes_in([instance])
    instance.NumberOfFrames = 4
    instance.PixelData = instance.PixelData[: 4 * 3 * 4 * 2]
    with pytest.raises(GeometryError, match="no frame 5"):
        assemble_volume(facts_of(planes), [instance])


def test_compressed_pixels_are_decoded() -> None:
    series = mr_series(ramp())
    planes = planes_in(series)
    for instance in series:
        instance.compress(RLELossless, generate_instance_uid=False)
    found = assemble_volume(facts_of(planes), series)
    np.testing.assert_array_equal(found.volume.voxels, ramp().voxels)


def test_pixels_that_cannot_be_decoded_are_named() -> None:
    series = mr_series(ramp())
    series[2].compress(RLELossless, generate_instance_uid=False)
    series[2].PixelData = encapsulate([b"no run lengths here"])
    with pytest.raises(InputError, match="cannot be decoded"):
        assemble_volume(facts_of(planes_in(series)), series)


def test_tiles_of_a_mosaic_are_cut_out() -> None:
    mosaic = np.arange(8 * 12).reshape(8, 12)
    whole = Volume(mosaic[None], replace(ramp().geometry, shape=(1, 8, 12)))
    series = mr_series(whole)
    tiles = [
        replace(planes_in(series)[0], rows=4, columns=4, position=(0, 0, 3.0 * tile), tile=tile)
        for tile in range(5)
    ]
    found = assemble_volume(facts_of(tiles), series).volume.voxels
    assert found.shape == (5, 4, 4)
    np.testing.assert_array_equal(found[1], mosaic[:4, 4:8])
    np.testing.assert_array_equal(found[3], mosaic[4:, :4])


def test_geometric_mean_is_the_trace() -> None:
    grid = ramp().geometry
    parts = [Volume(np.full(grid.shape, value), grid) for value in (100.0, 400.0)]
    assert geometric_mean(parts).voxels == pytest.approx(200.0)


def test_geometric_mean_is_zero_where_a_direction_is() -> None:
    grid = ramp().geometry
    dark = np.full(grid.shape, 100.0)
    dark[0] = 0
    mean = geometric_mean([Volume(dark, grid), Volume(np.full(grid.shape, 100.0), grid)])
    assert mean.voxels[0].max() == 0
    assert mean.voxels[1:] == pytest.approx(100.0)
    assert mean.voxels.dtype == np.float32


def test_geometric_mean_needs_one_grid() -> None:
    first, second = ramp(), ramp(spacing=(5.1, 2, 0.5))
    with pytest.raises(GeometryError, match="different grids"):
        geometric_mean([first, second])


@pytest.mark.parametrize("spacing", [(-2.0, 2.0), (0.0, 1.0), (0.01, 0.01), (1.0, 600.0)])
def test_impossible_pixels_are_refused(spacing: tuple[float, float]) -> None:
    planes = [replace(p, pixel_spacing=spacing) for p in planes_in(mr_series(ramp()))]
    with pytest.raises(GeometryError, match="no MR image of a patient"):
        regular_grid(planes)


@pytest.mark.parametrize("slope", [float("inf"), float("nan"), 1e38])
def test_values_that_are_no_numbers_are_refused(slope: float) -> None:
    series = mr_series(ramp())
    planes = [
        replace(plane, attributes={**plane.attributes, "RescaleSlope": slope})
        for plane in planes_in(series)
    ]
    with pytest.raises(InputError, match="no numbers"):
        assemble_volume(facts_of(planes), series)
