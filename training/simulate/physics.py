"""Magnetisation: the field of a susceptibility map, gradient-echo signal, phase and noise."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from training.simulate.anatomy import Float32, Float64, stretch

Array = npt.NDArray[Any]
Complex64 = npt.NDArray[np.complex64]

# Proton gyromagnetic ratio over 2 pi (CODATA 2018, shielded proton), MHz/T.
GAMMA_BAR_MHZ_PER_T = 42.576


def dipole_field(
    susceptibility: Float32, spacing: tuple[float, float, float], b0_direction: Float64
) -> Float32:
    """Return the relative field (same unit as the susceptibility, such as ppm).

    The dipole kernel 1/3 - (k.b)^2/k^2 in k-space with the Lorentz sphere correction; the map is
    taken as periodic and its mean as 0.

    Parameters
    ----------
    susceptibility : array (slice, row, column)
    spacing : (float, float, float)
        mm along (slice, row, column).
    b0_direction : array (3,)
        Unit vector of the main field along (slice, row, column).
    """
    fast = tuple(scipy.fft.next_fast_len(n, real=True) for n in susceptibility.shape)
    spectrum = scipy.fft.rfftn(susceptibility, s=fast)
    frequency = [
        scipy.fft.fftfreq(fast[0], spacing[0]).astype(np.float32)[:, None, None],
        scipy.fft.fftfreq(fast[1], spacing[1]).astype(np.float32)[None, :, None],
        scipy.fft.rfftfreq(fast[2], spacing[2]).astype(np.float32)[None, None, :],
    ]
    parts = zip(frequency, b0_direction, strict=True)
    first, second, third = (axis * np.float32(component) for axis, component in parts)
    along = first + second + third
    squared = np.asarray(frequency[0] ** 2 + frequency[1] ** 2 + frequency[2] ** 2)
    squared[0, 0, 0] = 1
    kernel = np.float32(1 / 3) - along * along / squared
    kernel[0, 0, 0] = 0
    field = scipy.fft.irfftn(spectrum * kernel, s=fast)
    inside = tuple(slice(0, n) for n in susceptibility.shape)
    return np.ascontiguousarray(field[inside], dtype=np.float32)


def larmor_rad_per_ms(field_strength_t: float) -> float:
    """Return phase per ms and ppm of relative field."""
    return 2 * np.pi * GAMMA_BAR_MHZ_PER_T * field_strength_t * 1e-3


def block_mean(fine: Array, factor: tuple[int, int, int]) -> Array:
    """Average blocks of ``factor`` (slice, row, column) samples: the voxel of the acquisition."""
    total = fine
    for axis, times in enumerate(factor):
        # Strided sums: far quicker than a mean over a short axis.
        behind = (slice(None),) * axis
        samples = total
        total = samples[(*behind, slice(0, None, times))]
        for start in range(1, times):
            total = total + samples[(*behind, slice(start, None, times))]
    return total / np.float32(np.prod(factor))


def spread(coarse: Float32, factor: tuple[int, int, int]) -> Float32:
    """Repeat each voxel ``factor`` times along (slice, row, column)."""
    fine = coarse
    for axis, times in enumerate(factor):
        fine = np.repeat(fine, times, axis=axis)
    return fine


@dataclass(frozen=True, eq=False)
class SpinMaps:
    """What dephases and decays inside the voxels, on the fine grid.

    Attributes
    ----------
    field_ppm : float32 array (slice, row, column)
        Relative field.
    decay_per_ms : float32 array
        R2* above that of the tissue around, 1/ms.
    gain : float32 array
        Signal relative to the tissue around at TE 0.
    """

    field_ppm: Float32
    decay_per_ms: Float32
    gain: Float32


def dephasing(
    maps: SpinMaps,
    echoes_ms: tuple[float, ...],
    field_strength_t: float,
    factor: tuple[int, int, int],
) -> list[Complex64]:
    """Return for each echo the mean over every voxel of gain x decay x precession.

    Echoes must be equally spaced; the factor of one echo spacing is applied again and again.
    """
    omega = np.float32(larmor_rad_per_ms(field_strength_t))
    signal = maps.gain * _propagator(maps, omega, echoes_ms[0])
    averages = [block_mean(signal, factor)]
    if len(echoes_ms) > 1:
        step = _propagator(maps, omega, echoes_ms[1] - echoes_ms[0])
        for _ in echoes_ms[1:]:
            signal *= step
            averages.append(block_mean(signal, factor))
    return averages


def _propagator(maps: SpinMaps, omega: np.float32, time_ms: float) -> Complex64:
    """Return exp(-R2* t + i omega field t); real sine and cosine are quicker than a complex exp."""
    angle = maps.field_ppm * (omega * np.float32(time_ms))
    factor = np.empty(angle.shape, np.complex64)
    np.cos(angle, out=factor.real)
    np.sin(angle, out=factor.imag)
    decaying = maps.decay_per_ms != 0
    factor[decaying] *= np.exp(-maps.decay_per_ms[decaying] * np.float32(time_ms))
    return factor


def spoiled_echo(
    *, t1_ms: float, t2star_ms: float, echo_ms: float, repetition_ms: float, flip_deg: float
) -> float:
    """Return the steady-state signal of a spoiled gradient echo (Ernst) for unit magnetisation."""
    angle = np.radians(flip_deg)
    recovery = np.exp(-repetition_ms / t1_ms)
    steady = np.sin(angle) * (1 - recovery) / (1 - np.cos(angle) * recovery)
    return float(steady * np.exp(-echo_ms / t2star_ms))


def add_noise(signal: Complex64, deviation: float, rng: np.random.Generator) -> Complex64:
    """Add complex Gaussian noise of this deviation per channel; its magnitude is Rician."""
    noise = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(deviation)
    return np.asarray(signal + noise[0] + 1j * noise[1], np.complex64)


def rician(magnitude: Float32, deviation: float, rng: np.random.Generator) -> Float32:
    """Return the magnitude with Rician noise."""
    return np.abs(add_noise(magnitude.astype(np.complex64), deviation, rng)).astype(np.float32)


def high_pass_phase(signal: Complex64, *, width_px: float = 64.0) -> Float32:
    """Return phase (rad) after homodyne division by the low-pass filtered image, slice by slice.

    The window is a Gaussian in k-space whose full width at half maximum is ``width_px`` samples.
    """
    spectrum = scipy.fft.fft2(signal, axes=(1, 2))
    deviation = width_px / 2.355
    rows, columns = (
        np.exp(-0.5 * (scipy.fft.fftfreq(n) * n / deviation) ** 2).astype(np.float32)
        for n in signal.shape[1:]
    )
    smooth = scipy.fft.ifft2(spectrum * rows[:, None] * columns[None, :], axes=(1, 2))
    return np.angle(signal * np.conj(smooth)).astype(np.float32)


def phase_mask(phase: Float32, sign: int, power: int = 4) -> Float32:
    """Return the SWI mask: 1 for the other sign, falling linearly to 0 at ``sign`` x pi."""
    fall = 1 - np.clip(sign * phase, 0, None) / np.float32(np.pi)
    return np.asarray(fall**power, np.float32)


def smooth_field(
    shape: tuple[int, int, int], rng: np.random.Generator, *, strength: float
) -> Float32:
    """Return a smooth positive factor around 1 (coil sensitivity), a few waves across the image."""
    nodes = rng.normal(0, strength, (3, 4, 4)).astype(np.float32)
    return np.exp(stretch(nodes, shape))
