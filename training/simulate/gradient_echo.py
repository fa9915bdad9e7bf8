"""Complex gradient-echo images: spins precess and decay, the scanner encodes them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from training.simulate.acquisition import Grid, Matrices, apply, fourier_encode
from training.simulate.physics import larmor_rad_per_ms

Box = tuple[slice, slice, slice]

# Fine slices transformed at once, so that they stay in the processor's cache, and encoded along the
# slices at once, so that memory stays small.
CHUNK = 8
BLOCK = 64


@dataclass(frozen=True, eq=False)
class Spins:
    """What dephases and decays, float32 tensors (slice, row, column) on a fine grid.

    Attributes
    ----------
    signal : tensor
        At TE 0.
    decay_per_ms : tensor
        R2*.
    field_ppm : tensor
        Relative field.
    """

    signal: torch.Tensor
    decay_per_ms: torch.Tensor
    field_ppm: torch.Tensor

    def part(self, box: Box) -> "Spins":
        """Copy a part."""
        return Spins(*(m[box].clone() for m in (self.signal, self.decay_per_ms, self.field_ppm)))


def acquire(
    spins: Spins, grid: Grid, echo_times_ms: tuple[float, ...], field_strength_t: float
) -> tuple[torch.Tensor, ...]:
    """Return the complex image of every echo.

    Every voxel is the sum of what happens inside it, with the phase it has there: dephasing within
    the voxel needs no model of its own.

    Parameters
    ----------
    spins : Spins
        On the grid's fine samples (slice, row, column).
    echo_times_ms : tuple of float
        Equally spaced.

    Returns
    -------
    tuple of complex64 tensor (slice, row, column)
    """
    slices, rows, columns = grid.geometry.shape
    fine, device = spins.signal.shape[0], spins.signal.device
    along = grid.slices(device)
    images = torch.zeros((len(echo_times_ms), slices, rows, columns, 2), device=device)
    lines = torch.empty((len(echo_times_ms), BLOCK, rows, columns, 2), device=device)
    for start in range(0, fine, BLOCK):
        block = range(start, min(start + BLOCK, fine))
        for first in block[::CHUNK]:
            part = slice(first, min(first + CHUNK, block.stop))
            here = slice(part.start - start, part.stop - start)
            for number, signal in enumerate(precess(spins, part, echo_times_ms, field_strength_t)):
                encoded = fourier_encode(signal, rows, columns)
                lines[number, here] = torch.view_as_real(encoded)
        weights = along[:, block.start : block.stop]
        for image, encoded in zip(images, lines, strict=True):
            image.view(slices, -1).addmm_(weights, encoded[: len(block)].view(len(block), -1))
    return tuple(torch.view_as_complex(image) for image in images)


def precess(
    spins: Spins, part: slice, echo_times_ms: tuple[float, ...], field_strength_t: float
) -> Iterator[torch.Tensor]:
    """Yield the complex signal of some slices at each echo; each is overwritten by the next."""
    omega = larmor_rad_per_ms(field_strength_t)
    decay, angle = spins.decay_per_ms[part], spins.field_ppm[part] * omega
    first = echo_times_ms[0]
    signal = torch.polar(spins.signal[part] * torch.exp(decay * -first), angle * first)
    yield signal
    if len(echo_times_ms) > 1:
        # Equal steps: every further echo is one complex product away.
        step = echo_times_ms[1] - first
        turn = torch.polar(torch.exp(decay * -step), angle * step)
        for _ in echo_times_ms[1:]:
            signal *= turn
            yield signal


def difference(
    before: Spins,
    after: Spins,
    encoding: Matrices,
    echo_times_ms: tuple[float, ...],
    field_strength_t: float,
) -> tuple[torch.Tensor, ...]:
    """Return how the images change where the spins of a box change, on the whole image.

    Encoding is linear: the difference of the objects, encoded by the matrices' columns of the box,
    is the difference of the images.

    Parameters
    ----------
    before, after : Spins
        On the box alone.
    encoding : three matrices
        (voxel, fine sample of the box) along each axis.
    """
    everything = slice(None)
    old = precess(before, everything, echo_times_ms, field_strength_t)
    new = precess(after, everything, echo_times_ms, field_strength_t)
    changes = []
    for one, other in zip(new, old, strict=True):
        change = one - other
        real, imaginary = apply(encoding, change.real), apply(encoding, change.imag)
        changes.append(torch.complex(real, imaginary))
    return tuple(changes)
