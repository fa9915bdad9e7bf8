"""The simulator's physics against closed forms."""

import numpy as np
import pytest

from service.domain.geometry import Geometry
from training.simulate.anatomy import Float32, axial_grid
from training.simulate.physics import (
    SpinMaps,
    block_mean,
    dephasing,
    dipole_field,
    high_pass_phase,
    larmor_rad_per_ms,
    phase_mask,
    rician,
    spoiled_echo,
    spread,
)
from training.simulate.vessels import Tube, paint

ALONG_SLICES = np.array([1.0, 0.0, 0.0])
CHI_PPM = 0.4


def _distances(shape: tuple[int, int, int]) -> list[Float32]:
    middle = [(n - 1) / 2 for n in shape]
    axes = np.meshgrid(
        *[np.arange(n) - m for n, m in zip(shape, middle, strict=True)], indexing="ij"
    )
    return [axis.astype(np.float32) for axis in axes]


def test_field_of_a_sphere() -> None:
    z, y, x = _distances((97, 97, 97))
    radius = np.sqrt(x * x + y * y + z * z)
    sphere = (CHI_PPM * np.clip(8.0 - radius + 0.5, 0, 1)).astype(np.float32)
    field = dipole_field(sphere, (1.0, 1.0, 1.0), ALONG_SLICES)
    # Inside 0, outside chi/3 (a/r)^3 (3 cos^2 - 1).
    assert np.abs(field[radius < 6]).max() < 0.01
    ring = (radius > 12) & (radius < 20)
    cosine = z[ring] / radius[ring]
    expected = CHI_PPM / 3 * (8.0 / radius[ring]) ** 3 * (3 * cosine**2 - 1)
    assert np.abs(field[ring] - expected).max() < 0.004
    assert np.corrcoef(field[ring], expected)[0, 1] > 0.99


@pytest.mark.parametrize(("degrees", "inside_of_chi"), [(90, -1 / 6), (0, 1 / 3), (54.7356, 0.0)])
def test_field_inside_a_long_cylinder(degrees: float, inside_of_chi: float) -> None:
    z, y, _ = _distances((96, 96, 8))
    disc = (CHI_PPM * np.clip(8.0 - np.sqrt(z * z + y * y) + 0.5, 0, 1)).astype(np.float32)
    angle = np.radians(degrees)
    direction = np.array([np.sin(angle), 0.0, np.cos(angle)])
    # The map repeats along columns, so the cylinder is endless.
    field = dipole_field(disc, (1.0, 1.0, 1.0), direction)
    # The mean of the periodic map is taken out of the field.
    inside = field[np.sqrt(z * z + y * y) < 5].mean() - _mean_shift(disc, direction)
    assert inside == pytest.approx(CHI_PPM * inside_of_chi, abs=0.006)


def _mean_shift(susceptibility: Float32, direction: np.ndarray) -> float:
    """Field that the missing mean of an endless cylinder would have given."""
    along = direction[2] ** 2
    return -float(susceptibility.mean()) * (1 / 3 - (1 - along) / 2)


def test_field_is_linear_and_scales_with_the_voxel() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 16, 18, 20)).astype(np.float32)
    direction = np.array([0.8, 0.6, 0.0])
    both = dipole_field(one + 2 * other, (1.0, 2.0, 3.0), direction)
    parts = dipole_field(one, (1.0, 2.0, 3.0), direction) + 2 * dipole_field(
        other, (1.0, 2.0, 3.0), direction
    )
    np.testing.assert_allclose(both, parts, atol=1e-5)
    scaled = dipole_field(one, (2.0, 4.0, 6.0), direction)
    np.testing.assert_allclose(scaled, dipole_field(one, (1.0, 2.0, 3.0), direction), atol=1e-5)


def _horizontal_vessel(ppm: float) -> tuple[Float32, Float32, Geometry]:
    """Share and field of a 3.1 mm vessel across the field, on 0.45 x 0.45 x 0.75 mm samples."""
    fine = axial_grid((0.0, 0.0, 0.0), (0.75, 0.45, 0.45), (48, 96, 96))
    middle = fine.to_lps((23.5, 47.5, 47.5))
    x = np.arange(-30, 30, 0.25)
    line = middle + np.stack([x, 0 * x, 0 * x], axis=1)
    painted = paint(Tube("M1", line, np.full(len(line), 1.55)), fine)
    share = np.zeros(fine.shape, np.float32)
    share.reshape(-1)[painted.flat] = painted.fraction
    return share, dipole_field(share * np.float32(ppm), fine.spacing, ALONG_SLICES), fine


def _voxels(ppm: float, echo_ms: float, field_t: float) -> np.ndarray:
    share, field, _ = _horizontal_vessel(ppm)
    maps = SpinMaps(field, share * np.float32(abs(ppm) * 0.137), np.ones_like(share))
    return dephasing(maps, (echo_ms,), field_t, (2, 2, 2))[0]


def test_clot_across_the_field_is_dark_and_blooms() -> None:
    share, _, _ = _horizontal_vessel(0.42)
    lumen = block_mean(share, (2, 2, 2)) > 0.5
    dark = np.abs(_voxels(0.42, 20.0, 3.0)) < 0.7
    assert dark[lumen].mean() > 0.9
    assert dark.sum() > 1.2 * lumen.sum()
    # The longer the echo, the wider the void; a clot of little iron shows little.
    assert (np.abs(_voxels(0.42, 40.0, 3.0)) < 0.7).sum() > dark.sum()
    assert (np.abs(_voxels(0.05, 20.0, 3.0)) < 0.7).sum() < 0.2 * lumen.sum()


def test_calcium_has_the_opposite_phase_and_the_same_void() -> None:
    iron, calcium = _voxels(0.4, 20.0, 3.0), _voxels(-0.4, 20.0, 3.0)
    np.testing.assert_allclose(np.abs(iron), np.abs(calcium), atol=1e-4)
    # Complex conjugates: every phase has the other sign.
    np.testing.assert_allclose(iron.imag, -calcium.imag, atol=1e-4)
    assert np.abs(np.angle(iron)).max() > 1


def test_echoes_repeat_the_step_between_them() -> None:
    share, field, _ = _horizontal_vessel(0.3)
    maps = SpinMaps(field, share * np.float32(0.04), np.ones_like(share))
    together = dephasing(maps, (10.0, 20.0, 30.0), 1.5, (2, 2, 2))
    alone = dephasing(maps, (30.0,), 1.5, (2, 2, 2))[0]
    np.testing.assert_allclose(together[2], alone, atol=1e-4)


def test_precession_at_three_tesla() -> None:
    # 127.7 Hz per ppm at 3 T: 20 ms turn by 16 rad.
    assert larmor_rad_per_ms(3.0) * 20 == pytest.approx(16.05, abs=0.01)


def test_ernst_angle_gives_the_largest_signal() -> None:
    ernst = np.degrees(np.arccos(np.exp(-30 / 1000)))

    def signal(flip: float) -> float:
        return spoiled_echo(t1_ms=1000, t2star_ms=50, echo_ms=0, repetition_ms=30, flip_deg=flip)

    assert signal(ernst) > max(signal(ernst - 2), signal(ernst + 2))


def test_block_mean_undoes_spread() -> None:
    coarse = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(block_mean(spread(coarse, (2, 3, 2)), (2, 3, 2)), coarse, rtol=1e-5)


def test_rician_noise_of_nothing_has_rayleighs_mean() -> None:
    noisy = rician(np.zeros((40, 50, 50), np.float32), 2.0, np.random.default_rng(0))
    assert noisy.mean() == pytest.approx(2.0 * np.sqrt(np.pi / 2), rel=0.01)


def test_high_pass_keeps_a_vessel_and_removes_a_ramp() -> None:
    rows = np.linspace(0, 4, 128, dtype=np.float32)[:, None]
    phase = np.broadcast_to(rows, (128, 128)).copy()
    phase[60:63, 60:63] -= 1.0
    filtered = high_pass_phase(np.exp(1j * phase)[None].astype(np.complex64), width_px=32)[0]
    assert filtered[61, 61] < -0.5
    assert np.abs(filtered[30:50, 30:100]).max() < 0.15


@pytest.mark.parametrize("sign", [-1, 1])
def test_phase_mask_darkens_one_sign_only(sign: int) -> None:
    phase = np.array([-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi], np.float32) * sign
    np.testing.assert_allclose(phase_mask(phase, sign), [1, 1, 1, 1 / 16, 0], atol=1e-6)


def test_paint_fills_the_volume_of_a_tube() -> None:
    share, _, fine = _horizontal_vessel(0.1)
    length = 96 * 0.45
    assert share.sum() * fine.voxel_volume == pytest.approx(np.pi * 1.55**2 * length, rel=0.12)
