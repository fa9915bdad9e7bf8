"""Magnetisation: the field of a susceptibility map, steady states, phase, noise.

Arrays are torch tensors (slice, row, column), float32 unless said otherwise, on whatever device the
case is simulated on.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.fft
import torch

from training.simulate.tissue import GAMMA_BAR_MHZ_PER_T

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# Full width at half maximum of the low-pass filter behind a phase image, in samples of k-space
# (homodyne filter of SWI products: 64 of 256 or more).
PHASE_FILTER_PX = 64.0
# Planes, or rows through all planes, transformed at once.
CHUNK = 8


def dipole_field(
    susceptibility: torch.Tensor,
    spacing: tuple[float, float, float],
    b0_direction: Float64,
    *,
    margin: float = 0.0,
) -> torch.Tensor:
    """Return the relative field (same unit as the susceptibility, such as ppm).

    The dipole kernel 1/3 - (k.b)^2/k^2 in k-space with the Lorentz sphere correction (Salomir 2003,
    Marques 2005). The map is taken as periodic and its mean as 0.

    Parameters
    ----------
    susceptibility : tensor (slice, row, column)
    spacing : (float, float, float)
        mm along (slice, row, column).
    b0_direction : array (3,)
        Unit vector of the main field along (slice, row, column).
    margin : float
        Zeros added along each axis before the transform, as a share of its length: keeps the
        periodic images away.
    """
    shape, device = susceptibility.shape, susceptibility.device
    padded = [scipy.fft.next_fast_len(int(np.ceil(n * (1 + margin))), real=True) for n in shape]
    in_plane = padded[1:]
    # Plane by plane, and along the slices in bundles of rows: what is worked on stays in the cache.
    half = torch.zeros((*padded[:2], padded[2] // 2 + 1), dtype=torch.complex64, device=device)
    planes = [slice(start, start + CHUNK) for start in range(0, shape[0], CHUNK)]
    for part in planes:
        half[: shape[0]][part] = torch.fft.rfft2(susceptibility[part], s=in_plane)
    for start in range(0, padded[1], CHUNK):
        rows = slice(start, start + CHUNK)
        spectrum = torch.fft.fft(half[:, rows], dim=0)
        spectrum *= _dipole_kernel(padded, rows, spacing, b0_direction, device)
        half[:, rows] = torch.fft.ifft(spectrum, dim=0)
    field = torch.empty(shape, device=device)
    for part in planes:
        whole = torch.fft.irfft2(half[: shape[0]][part], s=in_plane)
        field[part] = whole[:, : shape[1], : shape[2]]
    return field


def _dipole_kernel(
    shape: list[int],
    rows: slice,
    spacing: tuple[float, float, float],
    b0: Float64,
    device: torch.device,
) -> torch.Tensor:
    """Return 1/3 - (k.b)^2/k^2 in some rows of the half spectrum of a real transform of a shape.

    0 at its middle.
    """
    parts = (slice(None), rows, slice(shape[2] // 2 + 1))
    steps = [np.fft.fftfreq(n, mm) for n, mm in zip(shape, spacing, strict=True)]
    # The highest frequency of an even count has both signs: products of axes cancel there.
    signed = [
        np.where(np.arange(n) * 2 == n, 0, step) for n, step in zip(shape, steps, strict=True)
    ]
    # The map is linear between its samples. Taken as points, oblique fields would ring, because the
    # kernel breaks off at the highest frequencies.
    smooth = [np.sinc(np.fft.fftfreq(n)) ** 2 for n in shape]
    along = [_along_axes(values, parts, device) for values in (steps, signed, smooth)]
    (z, y, x), (w, v, u), (first, second, third) = along
    kernel = (w * float(b0[0]) + v * float(b0[1]) + u * float(b0[2])).square_()
    kernel += (z * z - w * w) * float(b0[0] ** 2)
    kernel += (y * y - v * v) * float(b0[1] ** 2)
    kernel += (x * x - u * u) * float(b0[2] ** 2)
    squared = z * z + y * y + x * x
    middle = squared == 0
    kernel.div_(squared).neg_().add_(1 / 3).masked_fill_(middle, 0)
    return kernel * (first * second) * third


def _along_axes(
    values: Sequence[npt.NDArray[np.floating]],
    parts: tuple[slice, slice, slice],
    device: torch.device,
) -> tuple[torch.Tensor, ...]:
    """Shape a part of the values along each axis so that they broadcast over the volume."""
    tensors = []
    for axis, (along, part) in enumerate(zip(values, parts, strict=True)):
        shape = [1, 1, 1]
        shape[axis] = -1
        tensors.append(torch.from_numpy(along[part].astype(np.float32)).to(device).reshape(shape))
    return tuple(tensors)


def larmor_rad_per_ms(field_strength_t: float) -> float:
    """Return phase per ms and ppm of relative field."""
    return 2 * np.pi * GAMMA_BAR_MHZ_PER_T * field_strength_t * 1e-3


def shim(field: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Take the second-order polynomial that fits best inside ``weight`` out of a field.

    Scanners shim with linear and second-order coils over the brain before they measure.
    """
    step = 4
    axes = [torch.linspace(-1, 1, n, device=field.device) for n in field.shape]
    z, y, x = torch.meshgrid(*[axis[::step] for axis in axes], indexing="ij")
    terms = [torch.ones_like(z), z, y, x, z * y, z * x, y * x, z * z, y * y, x * x]
    chosen = weight[::step, ::step, ::step] > 0.5
    design = torch.stack([term[chosen] for term in terms], dim=1).double()
    wanted = field[::step, ::step, ::step][chosen].double()
    factors = torch.linalg.lstsq(design, wanted[:, None]).solution[:, 0].float()
    z, y, x = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    c = [float(value) for value in factors]
    depth = c[0] + c[1] * z + c[7] * z * z
    plane = (c[2] + c[4] * z) * y + (c[3] + c[5] * z + c[6] * y) * x + c[8] * y * y + c[9] * x * x
    return field - (depth + plane)


def spoiled_echo(*, t1_ms: float, repetition_ms: float, flip_deg: float) -> float:
    """Return the steady-state signal of a spoiled gradient echo at TE 0 (Ernst)."""
    angle = np.radians(flip_deg)
    recovery = np.exp(-repetition_ms / t1_ms)
    return float(np.sin(angle) * (1 - recovery) / (1 - np.cos(angle) * recovery))


def inversion_recovery(*, t1_ms: float, repetition_ms: float, inversion_ms: float) -> float:
    """Return the magnitude of longitudinal magnetisation after inversion recovery."""
    signal = 1 - 2 * np.exp(-inversion_ms / t1_ms) + np.exp(-repetition_ms / t1_ms)
    return float(abs(signal))


def complex_noise(
    shape: tuple[int, ...], deviation: float, rng: np.random.Generator
) -> torch.Tensor:
    """Return complex Gaussian noise of this deviation per channel, complex64."""
    noise = rng.standard_normal((*shape, 2), dtype=np.float32) * np.float32(deviation)
    return torch.view_as_complex(torch.from_numpy(noise))


def high_pass_phase(signal: torch.Tensor, *, width_px: float = PHASE_FILTER_PX) -> torch.Tensor:
    """Return phase (rad) after homodyne division by the low-pass filtered image, slice by slice.

    Parameters
    ----------
    signal : complex64 tensor (slice, row, column)
    width_px : float
        Full width at half maximum of the Gaussian window in k-space, in samples.
    """
    rows, columns = (_gaussian_window(n, width_px, signal.device) for n in signal.shape[1:])
    spectrum = torch.fft.fft2(signal)
    smooth = torch.fft.ifft2(spectrum * rows[:, None] * columns[None, :])
    return torch.angle(signal * smooth.conj())


def _gaussian_window(count: int, width_px: float, device: torch.device) -> torch.Tensor:
    order = torch.fft.fftfreq(count, device=device) * count
    return torch.exp(-0.5 * (order / (width_px / 2.355)) ** 2)


def phase_mask(phase: torch.Tensor, sign: int, power: int = 4) -> torch.Tensor:
    """Return the SWI mask: 1 for the other sign, falling linearly to 0 at ``sign`` x pi.

    Haacke 2004; the power of 4 is what the products use.
    """
    return (1 - (sign * phase).clamp(min=0) / np.pi) ** power
