"""What a scanner does to the continuous object: one matrix an axis.

An object on a fine grid becomes an image by a linear map that separates by axis: Fourier encoding
keeps the low spatial frequencies (its point-spread function is a sinc, so edges ring), slice
selection averages over a profile. Each is a real matrix (samples out, samples in), applied with one
matrix product.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from service.domain.geometry import Geometry
from training.simulate.grids import axial_grid

Float64 = npt.NDArray[np.float64]
Complex128 = npt.NDArray[np.complex128]
Matrices = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

# Share of k-space that the scanner's filter against ringing rolls off towards the edge.
ROLL_OFF = 0.3
# Width of the edges of a slice profile, as a share of its thickness (usual sinc pulses).
PROFILE_EDGE = 0.12


def fourier_weights(count: int, factor: int) -> Complex128:
    """Return what encoding multiplies the ``count`` lowest frequencies with, in the FFT's order.

    The outer ROLL_OFF of k-space is damped by a raised cosine, as scanners do against ringing; the
    phase moves sample j of the image into the middle of the object's samples
    j x factor .. (j + 1) x factor - 1.
    """
    order = np.fft.fftfreq(count) * count
    reach = np.abs(order) / (count / 2)
    damped = 0.5 + 0.5 * np.cos(np.pi * np.clip((reach - 1 + ROLL_OFF) / ROLL_OFF, 0, 1))
    return np.asarray(damped * np.exp(1j * np.pi * order * (factor - 1) / (count * factor)))


def fourier_matrix(count: int, factor: int) -> Float64:
    """Return (count, count x factor): keep the ``count`` lowest frequencies of a periodic line.

    A constant stays what it is. The same as ``fourier_encode`` along one axis.
    """
    kept = np.rint(np.fft.fftfreq(count) * count).astype(int)
    image = np.exp(2j * np.pi * np.outer(np.arange(count), kept) / count)
    objects = np.exp(-2j * np.pi * np.outer(kept, np.arange(count * factor)) / (count * factor))
    weighted = image * fourier_weights(count, factor)
    return np.asarray((weighted @ objects).real / (count * factor))


def fourier_encode(voxels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Keep the ``rows`` and ``columns`` lowest frequencies, by Fourier transforms.

    Parameters
    ----------
    voxels : complex64 tensor (slice, row, column)
        Its rows and columns are whole multiples of those kept.
    """
    spectrum = torch.fft.fft2(voxels)
    for axis, count in ((2, columns), (1, rows)):
        factor = spectrum.shape[axis] // count
        weights = torch.from_numpy(fourier_weights(count, factor).astype(np.complex64) / factor)
        shape = [1, 1, 1]
        shape[axis] = count
        low = spectrum.narrow(axis, 0, (count + 1) // 2)
        high = spectrum.narrow(axis, spectrum.shape[axis] - count // 2, count // 2)
        spectrum = torch.cat([low, high], dim=axis)
        spectrum *= weights.to(voxels.device).reshape(shape)
    return torch.fft.ifft2(spectrum)


def slice_matrix(count: int, factor: int, thickness_share: float) -> Float64:
    """Return (count, count x factor): average over a slice profile.

    Parameters
    ----------
    thickness_share : float
        Slice thickness as a share of the distance between slices; the rest is the gap.
    """
    centre = factor * np.arange(count) + (factor - 1) / 2
    distance = np.abs(np.arange(count * factor)[None, :] - centre[:, None]) / factor
    edge = PROFILE_EDGE * thickness_share
    profile = special.erfc((distance - thickness_share / 2) / edge)
    return np.asarray(profile / profile.sum(axis=1, keepdims=True))


def apply(matrices: Matrices, voxels: torch.Tensor) -> torch.Tensor:
    """Apply one matrix along each axis of (slice, row, column)."""
    first, second, third = matrices
    columns = voxels @ third.T
    rows = second @ columns
    return (first @ rows.reshape(rows.shape[0], -1)).reshape(-1, *rows.shape[1:])


@dataclass(frozen=True, eq=False)
class Grid:
    """Where a sequence samples, and the finer grid of the object behind it.

    Attributes
    ----------
    geometry : Geometry
        Of the image, axial in the simulation frame.
    factor : (int, int, int)
        Samples of the object per voxel along (slice, row, column).
    thickness_share : float or None
        Slice thickness over slice distance for slice selection; None for 3D Fourier encoding.
    """

    geometry: Geometry
    factor: tuple[int, int, int]
    thickness_share: float | None

    @property
    def fine(self) -> Geometry:
        """Grid of the object."""
        spacing = np.array(self.geometry.spacing)
        step = spacing / self.factor
        shift = (step - spacing) / 2
        counts = tuple(n * f for n, f in zip(self.geometry.shape, self.factor, strict=True))
        return axial_grid(self.geometry.origin + shift[::-1], (step[0], step[1], step[2]), counts)

    def encoding(self, device: torch.device) -> Matrices:
        """Return the matrices that make the image from the object."""
        (rows, down), (columns, across) = (
            (self.geometry.shape[axis], self.factor[axis]) for axis in (1, 2)
        )
        in_plane = fourier_matrix(rows, down), fourier_matrix(columns, across)
        return to_device((self._through_plane(), *in_plane), device)

    def slices(self, device: torch.device) -> torch.Tensor:
        """Return the matrix along the slices alone."""
        return torch.from_numpy(self._through_plane().astype(np.float32)).to(device)

    def _through_plane(self) -> Float64:
        count, factor = self.geometry.shape[0], self.factor[0]
        if self.thickness_share is None:
            return fourier_matrix(count, factor)
        return slice_matrix(count, factor, self.thickness_share)


def to_device(matrices: tuple[Float64, Float64, Float64], device: torch.device) -> Matrices:
    """Return the matrices as float32 on a device."""
    first, second, third = (
        torch.from_numpy(matrix.astype(np.float32)).to(device) for matrix in matrices
    )
    return first, second, third
