"""Values as whole numbers: each maker's scaling, read back."""

import numpy as np
import pytest

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.volume import Volume
from training.simulate.formats import Style
from training.simulate.stored import GREY_LEVEL, adc_unit, stored


def volume(values: np.ndarray) -> Volume:
    grid = Geometry.from_components(
        origin=(0, 0, 0), axes=np.eye(3)[::-1], spacing=(1, 1, 1), shape=values.shape
    )
    return Volume(values.astype(np.float32), grid)


ANGLES = volume(np.linspace(-np.pi, np.pi, 2000).reshape(10, 10, 20))
# Unit of a radian, and half the distance of neighbouring values.
PHASE_UNITS = {
    Style.SIEMENS: (4096 / np.pi, 1.0),
    Style.SIEMENS_XA: (4096 / np.pi, 1.0),
    Style.GE: (1000.0, 0.5),
    Style.PHILIPS: (1000.0, 0.77),
    Style.PHILIPS_ENHANCED: (1000.0, 0.77),
}


@pytest.mark.parametrize("style", Style)
def test_phase_has_the_unit_of_its_maker(style: Style) -> None:
    found = stored(Role.PHASE, ANGLES, style)
    unit, tolerance = PHASE_UNITS[style]
    # The end of the range has no number of its own at Siemens: 4094 stands for pi.
    expected = np.minimum(ANGLES.voxels * unit, found.values.max())
    np.testing.assert_allclose(found.values, expected, atol=tolerance + 1e-2)
    assert found.signed == (style is Style.GE)
    assert np.ptp(found.voxels) > 4000


@pytest.mark.parametrize("style", Style)
def test_adc_has_the_unit_that_is_named(style: Style) -> None:
    wanted = np.linspace(0, 3500, 2000).reshape(10, 10, 20)
    found = stored(Role.ADC, volume(wanted), style)
    per_unit = {"10^-6 mm2/s": 1.0, "10^-3 mm2/s": 1e-3}[adc_unit(style)]
    np.testing.assert_allclose(found.values, wanted * per_unit, atol=0.51 * per_unit)
    assert len(f"{found.slope:.10g}") <= 16


@pytest.mark.parametrize("style", Style)
def test_head_has_some_hundreds_and_bright_vessels_stay(style: Style) -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 0.01, (20, 30, 30))
    values[5:15, 5:25, 5:25] = rng.normal(2.0, 0.1, (10, 20, 20))
    values[8, 8, 8:12] = 9.0
    found = stored(Role.TOF, volume(values), style)
    assert np.median(found.values[5:15, 5:25, 5:25]) == pytest.approx(GREY_LEVEL, rel=0.02)
    assert found.values[8, 8, 9] == pytest.approx(GREY_LEVEL * 4.5, rel=0.02)
    assert 0 <= found.voxels.min() <= found.voxels.max() <= 4095


@pytest.mark.parametrize("style", Style)
def test_images_of_one_series_keep_their_ratio(style: Style) -> None:
    weighted, plain = volume(np.full((4, 5, 6), 1.0)), volume(np.full((4, 5, 6), 3.0))
    first, second = (
        stored(Role.DWI, image, style, together=(plain, weighted)) for image in (plain, weighted)
    )
    assert first.slope == second.slope
    assert first.values.mean() / second.values.mean() == pytest.approx(3.0, rel=0.01)


@pytest.mark.parametrize("style", Style)
def test_an_empty_image_is_stored_as_zeros(style: Style) -> None:
    assert not stored(Role.FLAIR, volume(np.zeros((3, 4, 5))), style).values.any()
