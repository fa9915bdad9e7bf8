"""Components and their measurements against shapes whose numbers are known."""

import math

import numpy as np
import pytest

from service.domain.finding import Side
from service.domain.geometry import Geometry
from service.domain.model_spec import InputSpec, ModelSpec
from service.domain.volume import Volume
from service.stages.extract_findings import extract_findings

GRID = Geometry.from_components(
    origin=(-20, -20, 0), axes=np.eye(3)[::-1], spacing=(2.0, 1.0, 0.5), shape=(10, 40, 80)
)


def spec(**changes: float) -> ModelSpec:
    values = {"threshold": 0.5, "min_volume_mm3": 5.0, "peak": 0.0} | changes
    return ModelSpec(
        name="test",
        version="1",
        sha256="0" * 64,
        input=InputSpec(),
        state_channels=4,
        threshold=values["threshold"],
        min_volume_mm3=values["min_volume_mm3"],
        peak=values["peak"],
        intended_use="tests",
        training_data="none",
    )


def probability(**boxes: tuple[tuple[slice, slice, slice], float]) -> Volume:
    voxels = np.zeros(GRID.shape, np.float32)
    for box, value in boxes.values():
        voxels[box] = value
    return Volume(voxels, GRID)


def test_cuboid_has_the_measures_of_a_cuboid() -> None:
    box = (slice(2, 4), slice(10, 16), slice(20, 28))  # 4 x 6 x 4 mm
    found = extract_findings(probability(a=(box, 0.9)), spec(), midline_x=20.0).findings

    assert len(found) == 1
    assert found[0].voxel_count == 2 * 6 * 8
    assert found[0].volume_mm3 == pytest.approx(4 * 6 * 4)
    assert found[0].centroid_lps == pytest.approx((-20 + 23.5 * 0.5, -20 + 12.5, 2.5 * 2))
    assert found[0].length_mm == pytest.approx(math.sqrt(4**2 + 6**2 + 4**2))
    low, high = found[0].bounding_box_lps
    assert low == pytest.approx((-10.25, -10.5, 3.0))
    assert high == pytest.approx((-6.25, -4.5, 7.0))
    assert found[0].slice_range == (2, 3)
    assert found[0].side is Side.RIGHT


def test_width_of_a_thin_stick_is_its_cross_section() -> None:
    box = (slice(3, 4), slice(5, 35), slice(20, 22))  # 2 x 30 x 1 mm
    (stick,) = extract_findings(probability(a=(box, 0.9)), spec(), midline_x=0.0).findings
    assert stick.length_mm == pytest.approx(math.sqrt(30**2 + 2**2 + 1**2))
    assert 0.95 * math.hypot(2, 1) < stick.width_mm < 1.1 * math.hypot(2, 1)


def test_findings_are_numbered_by_falling_probability_and_masked_by_number() -> None:
    weak = (slice(1, 3), slice(2, 6), slice(2, 10))
    strong = (slice(6, 8), slice(20, 24), slice(60, 70))
    volume = probability(a=(weak, 0.6), b=(strong, 0.95))
    extraction = extract_findings(volume, spec(), midline_x=0.0)

    assert [found.number for found in extraction.findings] == [1, 2]
    assert extraction.findings[0].probability == pytest.approx(0.95)
    assert (extraction.mask.voxels[strong] == 1).all()
    assert (extraction.mask.voxels[weak] == 2).all()
    assert np.count_nonzero(extraction.mask.voxels) == sum(
        found.voxel_count for found in extraction.findings
    )


def test_voxels_that_touch_by_a_corner_are_one_finding() -> None:
    volume = probability(
        a=((slice(1, 3), slice(2, 6), slice(2, 10)), 0.8),
        b=((slice(3, 5), slice(6, 9), slice(10, 15)), 0.7),
    )
    assert len(extract_findings(volume, spec(), midline_x=0.0).findings) == 1


def test_smaller_than_the_least_volume_is_no_finding() -> None:
    box = (slice(2, 3), slice(10, 12), slice(20, 22))  # 2 mm3
    volume = probability(a=(box, 0.9))
    assert extract_findings(volume, spec(), midline_x=0.0).findings == ()
    assert len(extract_findings(volume, spec(min_volume_mm3=1.0), midline_x=0.0).findings) == 1


def test_a_component_that_is_nowhere_probable_enough_is_no_finding() -> None:
    dull = (slice(2, 4), slice(5, 10), slice(10, 20))
    bright = (slice(2, 4), slice(20, 25), slice(10, 20))
    inside = (slice(3, 4), slice(22, 23), slice(14, 15))
    seen = probability(a=(dull, 0.6), b=(bright, 0.6), c=(inside, 0.9))
    found = extract_findings(seen, spec(peak=0.8), midline_x=0.0)
    (finding,) = found.findings
    assert finding.voxel_count == 2 * 5 * 10
    assert found.mask.voxels[bright].all()
    assert not found.mask.voxels[dull].any()
    assert len(extract_findings(seen, spec(), midline_x=0.0).findings) == 2


def test_nothing_above_the_threshold_is_an_empty_mask() -> None:
    extraction = extract_findings(probability(), spec(), midline_x=0.0)
    assert extraction.findings == ()
    assert not extraction.mask.voxels.any()


@pytest.mark.parametrize(
    ("midline", "side"), [(20.0, Side.RIGHT), (-30.0, Side.LEFT), (-10.0, Side.MIDLINE)]
)
def test_side_is_the_patients(midline: float, side: Side) -> None:
    box = (slice(2, 4), slice(10, 16), slice(20, 28))  # centroid at x = -8.25
    (found,) = extract_findings(probability(a=(box, 0.9)), spec(), midline_x=midline).findings
    assert found.side is side
