"""The simulator's physics against closed forms."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from training.simulate.acquisition import (
    Grid,
    apply,
    fourier_encode,
    fourier_matrix,
    slice_matrix,
    to_device,
)
from training.simulate.gradient_echo import Spins, acquire, difference
from training.simulate.grids import axial_grid, resample_axial
from training.simulate.labels import block_mean
from training.simulate.painting import paint
from training.simulate.physics import (
    complex_noise,
    dipole_field,
    high_pass_phase,
    inversion_recovery,
    larmor_rad_per_ms,
    phase_mask,
    shim,
    spoiled_echo,
)
from training.simulate.tissue import TISSUES, at_field, blood_r2star_per_ms
from training.simulate.tube import Tube

Float64 = npt.NDArray[np.float64]

ALONG_SLICES = np.array([1.0, 0.0, 0.0])
CPU = torch.device("cpu")
CHI_PPM = 0.4
# Object of the vessel tests, and samples per voxel: 1.7 x 0.86 x 0.86 mm.
FINE_MM = 0.43
VOXEL = (4, 2, 2)


def _distances(shape: tuple[int, ...]) -> list[Float64]:
    axes = [np.arange(n) - (n - 1) / 2 for n in shape]
    return list(np.meshgrid(*axes, indexing="ij"))


def _field(chi: npt.NDArray[np.generic], direction: Float64, margin: float = 0.0) -> Float64:
    tensor = torch.from_numpy(chi.astype(np.float32))
    return dipole_field(tensor, (1.0, 1.0, 1.0), direction, margin=margin).double().numpy()


@pytest.mark.parametrize("degrees", [0.0, 30.0, 54.7356, 90.0])
def test_field_of_a_sphere_for_any_direction_of_the_main_field(degrees: float) -> None:
    z, y, x = _distances((128, 128, 128))
    radius = np.sqrt(x * x + y * y + z * z)
    sphere = CHI_PPM * np.clip(10 - radius + 0.5, 0, 1)
    angle = np.radians(degrees)
    direction = np.array([np.cos(angle), np.sin(angle), 0.0])
    field = _field(sphere, direction)
    # Outside chi/3 (a/r)^3 (3 cos^2 - 1), a of the volume that was painted; inside 0 (Lorentz).
    cubed = sphere.sum() / CHI_PPM * 3 / 4 / np.pi
    outside = (radius > 11.5) & (radius < 35)
    cosine = (z * direction[0] + y * direction[1])[outside] / radius[outside]
    expected = CHI_PPM / 3 * cubed / radius[outside] ** 3 * (3 * cosine**2 - 1)
    peak = CHI_PPM * 2 / 3
    assert np.abs(field[outside] - expected).max() < 0.02 * peak
    assert np.abs(field[radius < 8]).max() < 0.02 * peak


@pytest.mark.parametrize("degrees", [0.0, 30.0, 54.7356, 90.0])
def test_field_of_an_endless_cylinder(degrees: float) -> None:
    z, y, _ = _distances((384, 384, 4))
    radius = np.sqrt(z * z + y * y)
    cylinder = CHI_PPM * np.clip(12 - radius + 0.5, 0, 1)
    angle = np.radians(degrees)
    # The map repeats along columns: the cylinder's axis lies there, at this angle to the field.
    field = _field(cylinder, np.array([np.sin(angle), 0.0, np.cos(angle)]))
    # What the missing mean of the periodic map would have added.
    field += cylinder.mean() * (1 / 3 - np.sin(angle) ** 2 / 2)
    squared = cylinder[:, :, 0].sum() / CHI_PPM / np.pi
    outside = (radius > 13.5) & (radius < 40)
    doubled = ((z * z - y * y) / np.maximum(radius, 1) ** 2)[outside]
    expected = CHI_PPM / 2 * np.sin(angle) ** 2 * squared / radius[outside] ** 2 * doubled
    assert np.abs(field[outside] - expected).max() < 0.02 * CHI_PPM / 2
    inside = CHI_PPM / 6 * (3 * np.cos(angle) ** 2 - 1)
    assert field[radius < 10].mean() == pytest.approx(inside, abs=0.02 * CHI_PPM / 3)


def test_field_is_linear_and_does_not_depend_on_the_unit_of_length() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 16, 18, 20)).astype(np.float32)
    direction = np.array([0.8, 0.6, 0.0])

    def field(chi: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.float32]:
        spacing = (scale, 2 * scale, 3 * scale)
        return dipole_field(torch.from_numpy(chi), spacing, direction).numpy()

    np.testing.assert_allclose(
        field(one + 2 * other, 1), field(one, 1) + 2 * field(other, 1), atol=1e-5
    )
    np.testing.assert_allclose(field(one, 2), field(one, 1), atol=1e-5)


def test_margin_keeps_the_periodic_images_away() -> None:
    z, y, x = _distances((40, 40, 40))
    near_the_edge = np.clip(4.5 - np.sqrt((z - 14) ** 2 + y * y + x * x), 0, 1)
    far = np.index_exp[0, 20, 20]
    wrapped = _field(near_the_edge, ALONG_SLICES)[far]
    apart = _field(near_the_edge, ALONG_SLICES, margin=2.0)[far]
    expected = 2 / 3 * near_the_edge.sum() * 3 / 4 / np.pi / 34**3
    assert apart == pytest.approx(expected, abs=2e-4)
    assert abs(wrapped - expected) > 10 * abs(apart - expected)


def test_shim_removes_second_order_fields_and_keeps_a_vessel() -> None:
    z, y, x = _distances((40, 48, 44))
    smooth = 0.5 + 0.02 * z - 0.01 * y + 0.001 * x * y + 0.0005 * z * z
    vessel = 0.3 * (np.hypot(y, x) < 2)
    weight = (z * z + y * y + x * x < 19**2).astype(np.float32)
    field = torch.from_numpy((smooth + vessel).astype(np.float32))
    left = shim(field, torch.from_numpy(weight)).numpy()
    inside = weight > 0
    assert np.abs((left - vessel)[inside]).max() < 0.03


def test_precession_at_three_tesla() -> None:
    # 127.7 Hz per ppm at 3 T: 20 ms turn by 16 rad.
    assert larmor_rad_per_ms(3.0) * 20 == pytest.approx(16.05, abs=0.01)


def _grid(factor: tuple[int, int, int], shape: tuple[int, ...]) -> Grid:
    """3D encoding of an object of FINE_MM."""
    counts = tuple(n // f for n, f in zip(shape, factor, strict=True))
    first, second, third = (f * FINE_MM for f in factor)
    return Grid(axial_grid((0.0, 0.0, 0.0), (first, second, third), counts), factor, None)


def _vessel(ppm: float, direction: Float64 = ALONG_SLICES) -> tuple[Spins, Float64]:
    """Spins around a 3.1 mm vessel along the columns, and the share it fills of each sample."""
    fine = axial_grid((0.0, 0.0, 0.0), (FINE_MM,) * 3, (96, 96, 96))
    middle = fine.to_lps((47.5, 47.5, 47.5))
    x = np.arange(-40, 40, 0.25)
    tube = Tube("M1", middle + np.stack([x, 0 * x, 0 * x], axis=1), np.full(len(x), 1.55))
    share = np.zeros(fine.shape, np.float32)
    paint(tube, fine).blend(share, 1.0)
    field = dipole_field(torch.from_numpy(share * np.float32(ppm)), fine.spacing, direction)
    decay = torch.from_numpy(share) * blood_r2star_per_ms(ppm, 3.0)
    return Spins(torch.ones(fine.shape), decay, field), share.astype(float)


def _voxels(ppm: float, echo_ms: float, direction: Float64 = ALONG_SLICES) -> torch.Tensor:
    spins, share = _vessel(ppm, direction)
    return acquire(spins, _grid(VOXEL, share.shape), (echo_ms,), 3.0)[0]


def _lumen(share: Float64) -> npt.NDArray[np.bool_]:
    return block_mean(share.astype(np.float32), VOXEL) > 0.5


def test_phase_is_linear_in_echo_time() -> None:
    z, y, x = _distances((48, 48, 48))
    # Smooth, so that encoding changes nothing: what a voxel shows is its own field.
    field = 0.05 * np.exp(-(z * z + y * y + x * x) / 2 / 9.0**2)
    ones = torch.ones(48, 48, 48)
    spins = Spins(ones, torch.zeros_like(ones), torch.from_numpy(field.astype(np.float32)))
    times = (5.0, 10.0, 15.0, 20.0)
    echoes = acquire(spins, _grid((1, 1, 1), (48, 48, 48)), times, 3.0)
    middle = (slice(16, 32),) * 3
    phases = np.stack([np.angle(echo.numpy()[middle]) for echo in echoes])
    expected = larmor_rad_per_ms(3.0) * field[middle] * np.array(times)[:, None, None, None]
    assert expected.max() > 0.75
    np.testing.assert_allclose(phases, expected, atol=0.01 * expected.max())
    np.testing.assert_allclose(phases[3], 4 * phases[0], atol=0.01 * expected.max())


def test_clot_across_the_field_is_dark_and_blooms_with_echo_time() -> None:
    _, share = _vessel(0.42)
    lumen = _lumen(share)
    dark = np.abs(_voxels(0.42, 20.0).numpy()) < 0.6
    assert dark[lumen].mean() > 0.85
    assert dark.sum() > 1.2 * lumen.sum()
    assert (np.abs(_voxels(0.42, 40.0).numpy()) < 0.6).sum() > 1.1 * dark.sum()
    assert (np.abs(_voxels(0.05, 20.0).numpy()) < 0.6).sum() < 0.2 * lumen.sum()


def test_vessel_along_the_field_does_not_bloom_and_one_across_it_does() -> None:
    _, share = _vessel(0.6)
    lumen = block_mean(share.astype(np.float32), VOXEL).sum()
    along_columns = np.array([0.0, 0.0, 1.0])
    dark = {
        (direction, echo): (np.abs(_voxels(0.6, echo, field).numpy()) < 0.6).sum() / lumen
        for direction, field in (("across", ALONG_SLICES), ("along", along_columns))
        for echo in (20.0, 40.0)
    }
    # Along the field only the signal's decay inside is left, which does not grow outwards.
    assert dark["along", 40.0] == dark["along", 20.0] < 1.7
    assert dark["across", 40.0] > 1.8 * dark["along", 40.0]


def test_calcium_has_the_opposite_phase_and_the_same_void() -> None:
    iron, calcium = _voxels(0.4, 20.0), _voxels(-0.4, 20.0)
    np.testing.assert_allclose(iron.abs(), calcium.abs(), atol=1e-4)
    np.testing.assert_allclose(iron.imag, -calcium.imag, atol=1e-4)
    assert torch.angle(iron).abs().max() > 1


def test_fourier_encoding_keeps_constants_and_low_frequencies() -> None:
    matrix = fourier_matrix(32, 3)
    np.testing.assert_allclose(matrix @ np.ones(96), 1, atol=1e-12)
    centre = 3 * np.arange(32) + 1
    for cycles in (1, 5, 10):
        wave = np.cos(2 * np.pi * cycles * np.arange(96) / 96 + 0.3)
        np.testing.assert_allclose(
            matrix @ wave, np.cos(2 * np.pi * cycles * centre / 96 + 0.3), atol=1e-9
        )
    beyond = np.cos(2 * np.pi * 20 * np.arange(96) / 96)
    np.testing.assert_allclose(matrix @ beyond, 0, atol=1e-12)


def test_fourier_encoding_rings_at_an_edge() -> None:
    edge = (np.arange(128) > 63).astype(float)
    image = fourier_matrix(64, 2) @ edge
    assert image.max() > 1.02
    assert image.min() < -0.02


def test_fourier_encoding_by_transforms_and_by_matrices_is_the_same() -> None:
    rng = np.random.default_rng(0)
    # Odd and even counts, and a plane that is not encoded any coarser.
    for rows, columns, factor in ((16, 21, 2), (15, 20, 3), (12, 14, 1)):
        fine = rng.normal(size=(2, 3, rows * factor, columns * factor)).astype(np.float32)
        found = fourier_encode(torch.complex(*torch.from_numpy(fine)), rows, columns)
        down, across = fourier_matrix(rows, factor), fourier_matrix(columns, factor)
        expected = np.einsum("rR,sRC,cC->src", down, fine[0] + 1j * fine[1], across)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_difference_of_a_box_is_the_difference_of_the_images() -> None:
    with_clot, _ = _vessel(0.3)
    without = Spins(
        torch.ones_like(with_clot.signal),
        torch.zeros_like(with_clot.signal),
        torch.zeros_like(with_clot.signal),
    )
    box = (slice(20, 76), slice(10, 80), slice(0, 96))
    after = Spins(without.signal.clone(), without.decay_per_ms.clone(), without.field_ppm.clone())
    for whole, part in (
        (after.decay_per_ms, with_clot.decay_per_ms),
        (after.field_ppm, with_clot.field_ppm),
    ):
        whole[box] = part[box]
    grid, times = _grid(VOXEL, (96, 96, 96)), (10.0, 20.0)
    first, second, third = (
        matrix[:, part] for matrix, part in zip(grid.encoding(CPU), box, strict=True)
    )
    images = acquire(after, grid, times, 3.0)
    plain = acquire(without, grid, times, 3.0)
    changes = difference(without.part(box), after.part(box), (first, second, third), times, 3.0)
    for image, base, change in zip(images, plain, changes, strict=True):
        np.testing.assert_allclose((base + change).numpy(), image.numpy(), atol=2e-5)


def test_slice_profile_is_normalised_and_leaves_the_gap_out() -> None:
    matrix = slice_matrix(5, 10, thickness_share=0.8)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    gap = np.zeros(50)
    gap[[9, 10]] = 1
    whole = slice_matrix(5, 10, thickness_share=1.0)
    assert (matrix @ gap).max() < 0.5 * (whole @ gap).max()
    # Half of the height at half of the thickness.
    np.testing.assert_allclose(matrix[2, [20, 29]] / matrix[2, 25], 0.5, atol=0.3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_interpolation_is_linear_and_zero_beyond(axis: int) -> None:
    source = axial_grid((5.0, -3.0, 2.0), (2.0, 2.0, 2.0), (3, 3, 3))
    voxels = np.moveaxis(np.tile(np.array([1, 3, 2], np.float32), (3, 3, 1)), 2, axis)
    # From half a millimetre before the first sample, every millimetre.
    spacing = [2.0, 2.0, 2.0]
    spacing[axis] = 1.0
    origin = np.array([5.0, -3.0, 2.0])
    origin[2 - axis] -= 0.5
    shape = [3, 3, 3]
    shape[axis] = 7
    target = axial_grid(origin, (spacing[0], spacing[1], spacing[2]), tuple(shape))
    found = np.moveaxis(resample_axial(voxels, source, target), axis, 2)
    np.testing.assert_allclose(found, np.tile([0, 1.5, 2.5, 2.75, 2.25, 0, 0], (3, 3, 1)))


def test_matrices_apply_to_their_own_axis() -> None:
    voxels = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32))
    parts = [
        np.random.default_rng(n).normal(size=(2 + n, size)) for n, size in enumerate((4, 6, 5))
    ]
    found = apply(to_device((parts[0], parts[1], parts[2]), CPU), voxels)
    expected = np.einsum("ai,bj,ck,ijk->abc", *parts, voxels.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_ernst_angle_gives_the_largest_signal() -> None:
    ernst = np.degrees(np.arccos(np.exp(-30 / 1000)))

    def signal(flip: float) -> float:
        return spoiled_echo(t1_ms=1000, repetition_ms=30, flip_deg=flip)

    assert signal(ernst) > max(signal(ernst - 2), signal(ernst + 2))


def test_inversion_nulls_fluid_at_its_null_time() -> None:
    null = 4000 * np.log(2 / (1 + np.exp(-9000 / 4000)))
    assert inversion_recovery(t1_ms=4000, repetition_ms=9000, inversion_ms=null) < 1e-9
    assert inversion_recovery(t1_ms=1400, repetition_ms=9000, inversion_ms=null) > 0.5


def test_tissue_times_are_the_tables_at_its_fields_and_lie_between_elsewhere() -> None:
    for tissue in TISSUES.values():
        assert at_field(tissue.t1_ms, 1.5) == pytest.approx(tissue.t1_ms[0])
        assert at_field(tissue.t1_ms, 3.0) == pytest.approx(tissue.t1_ms[1])
        assert tissue.t1_ms[0] <= at_field(tissue.t1_ms, 2.0) <= tissue.t1_ms[1]
    assert blood_r2star_per_ms(0.42, 1.5) == pytest.approx(blood_r2star_per_ms(0.42, 3.0) / 2)
    assert blood_r2star_per_ms(0.42, 3.0) * 1000 == pytest.approx(20 + 137 * 0.42)


def test_noise_is_rician() -> None:
    rng = np.random.default_rng(0)
    empty = complex_noise((40, 50, 50), 2.0, rng).abs().numpy()
    # Rayleigh: mean and variance of the magnitude of noise alone.
    assert empty.mean() == pytest.approx(2.0 * np.sqrt(np.pi / 2), rel=0.01)
    assert empty.var() == pytest.approx((2 - np.pi / 2) * 4, rel=0.02)
    # Second moment of a Rician: A^2 + 2 sigma^2; far above the noise it is Gaussian.
    strong = (30.0 + complex_noise((40, 50, 50), 2.0, rng)).abs().numpy()
    assert (strong.astype(float) ** 2).mean() == pytest.approx(30**2 + 2 * 2**2, rel=0.002)
    assert strong.std() == pytest.approx(2.0, rel=0.02)
    noise = complex_noise((50, 50, 50), 3.0, rng).numpy()
    assert noise.real.std() == pytest.approx(3.0, rel=0.02)
    assert abs(np.corrcoef(noise.real.ravel(), noise.imag.ravel())[0, 1]) < 0.01


def test_high_pass_keeps_a_vessel_and_removes_a_ramp() -> None:
    phase = np.broadcast_to(np.linspace(0, 4, 128, dtype=np.float32)[:, None], (128, 128)).copy()
    phase[60:63, 60:63] -= 1.0
    signal = torch.from_numpy(np.exp(1j * phase)[None].astype(np.complex64))
    filtered = high_pass_phase(signal, width_px=32)[0].numpy()
    assert filtered[61, 61] < -0.5
    assert np.abs(filtered[30:50, 30:100]).max() < 0.15


@pytest.mark.parametrize("sign", [-1, 1])
def test_phase_mask_darkens_one_sign_only(sign: int) -> None:
    phase = torch.tensor([-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi], dtype=torch.float32) * sign
    np.testing.assert_allclose(phase_mask(phase, sign), [1, 1, 1, 1 / 16, 0], atol=1e-6)


def test_paint_fills_the_volume_of_a_tube() -> None:
    _, share = _vessel(0.1)
    volume = share.sum() * FINE_MM**3
    assert volume == pytest.approx(np.pi * 1.55**2 * 96 * FINE_MM, rel=0.05)


def test_thin_vessel_fills_its_cross_section_of_a_large_voxel() -> None:
    grid = axial_grid((-20.0, -20.0, -20.0), (2.0, 2.0, 2.0), (21, 21, 21))
    x = np.arange(-18, 18, 0.25)
    line = np.stack([x, 0 * x, 0 * x], axis=1)
    share = np.zeros(grid.shape, np.float32)
    paint(Tube("M3", line, np.full(len(x), 0.6)), grid).blend(share, 1.0)
    assert share.max() == pytest.approx(np.pi * 0.6**2 / 4, rel=0.05)
