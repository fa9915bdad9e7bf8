"""Phase in radians, ADC in 1e-6 mm2/s: by unit, by scale, or not at all."""

from pathlib import Path

import numpy as np
import pytest

from service.domain.volume import Volume
from tests.bids import angles, grid, head
from training.cohort_errors import ValuesError
from training.nifti_units import to_radians, to_square_micrometres

FILE = Path("sub-one_part-phase_T2starw.nii.gz")
GRID = grid()
PHASE = angles(GRID)
ADC = head(GRID, 800.0, air=0.0)


def _stored(factor: float, middle: float = 0.0) -> Volume:
    return Volume((PHASE.voxels * np.float32(factor) + np.float32(middle)), GRID)


@pytest.mark.parametrize(
    "stored",
    [
        _stored(1.0),
        _stored(1.0, np.pi),
        _stored(180 / np.pi),
        _stored(1000.0),
        _stored(4096 / np.pi),
        _stored(2048 / np.pi),
        _stored(2048 / np.pi, 2048.0),
        _stored(4096 / np.pi, 4096.0),
    ],
    ids=["rad", "0..2 pi", "degrees", "mrad", "4096ths", "2048ths", "0..4096", "0..8192"],
)
def test_scales_of_scanners_are_known_by_their_values(stored: Volume) -> None:
    found = to_radians(stored, {"Units": "arbitrary"}, FILE)
    np.testing.assert_allclose(found.voxels, PHASE.voxels, atol=2e-3)
    np.testing.assert_allclose(to_radians(stored, {}, FILE).voxels, PHASE.voxels, atol=2e-3)


def test_radians_may_fill_a_part_of_the_turn_if_the_unit_is_said() -> None:
    part = _stored(0.4)
    np.testing.assert_array_equal(to_radians(part, {"Units": "rad"}, FILE).voxels, part.voxels)
    with pytest.raises(ValuesError, match=r"part-phase_T2starw\.nii\.gz: values -1\.25"):
        to_radians(part, {}, FILE)


@pytest.mark.parametrize("factor", [700.0, 5000.0, 0.5])
def test_values_of_no_scale_are_refused(factor: float) -> None:
    with pytest.raises(ValuesError, match="no phase on a known scale"):
        to_radians(_stored(factor), {"Units": "arbitrary"}, FILE)


def test_values_beyond_the_unit_and_other_units_are_refused() -> None:
    with pytest.raises(ValuesError, match="of radians"):
        to_radians(_stored(1000.0), {"Units": "rad"}, FILE)
    with pytest.raises(ValuesError, match="'hz' are no unit of phase"):
        to_radians(PHASE, {"Units": "Hz"}, FILE)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("10^-6 mm2/s", 1.0),
        ("1e-6 mm^2/s", 1.0),
        ("µm²/s", 1.0),
        ("10⁻³ mm²/s", 1e-3),
        ("um2/ms", 1e-3),
        ("x 10-3 mm2/s", 1e-3),
        ("mm2/s", 1e-6),
    ],
)
def test_units_of_adc_are_read_as_people_write_them(unit: str, factor: float) -> None:
    stored = Volume(ADC.voxels * np.float32(factor), GRID)
    found = to_square_micrometres(stored, {"Units": unit}, FILE)
    np.testing.assert_allclose(found.voxels, ADC.voxels, rtol=1e-5)


@pytest.mark.parametrize("factor", [1.0, 0.1, 0.01, 1e-3])
def test_without_a_unit_the_brain_decides(factor: float) -> None:
    found = to_square_micrometres(Volume(ADC.voxels * np.float32(factor), GRID), {}, FILE)
    np.testing.assert_allclose(found.voxels, ADC.voxels, rtol=1e-5)


def test_implausible_adc_is_refused_with_its_value() -> None:
    with pytest.raises(ValuesError, match=r"is 8\d{5}e-6 mm2/s, implausible"):
        to_square_micrometres(ADC, {"Units": "10^-3 mm2/s"}, FILE)
    with pytest.raises(ValuesError, match=r"median 3\d\d.* under none of the units"):
        to_square_micrometres(Volume(ADC.voxels * np.float32(0.45), GRID), {}, FILE)
    with pytest.raises(ValuesError, match="'furlong' of an ADC map cannot be read"):
        to_square_micrometres(ADC, {"Units": "furlong"}, FILE)
    empty = Volume(np.zeros(GRID.shape, np.float32), GRID)
    with pytest.raises(ValuesError, match="median 0 "):
        to_square_micrometres(empty, {}, FILE)
