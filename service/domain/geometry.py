"""Where voxels lie in the patient: affine of (slice, row, column) indices to LPS millimetres."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from service.domain.errors import GeometryError

FloatArray = npt.NDArray[np.float64]

# DICOM writes direction cosines with about six digits.
ORTHOGONALITY_TOLERANCE = 1e-3


def _frozen(array: npt.ArrayLike) -> FloatArray:
    copy = np.array(array, dtype=np.float64)
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True, eq=False)
class Geometry:
    """A regular grid in the patient-based LPS frame (PS3.3 C.7.6.2.1.1).

    Axis order is (slice, row, column) everywhere; unit is millimetre. Index (0, 0, 0) is the
    centre of the first voxel.

    Parameters
    ----------
    affine : array (4, 4)
        Maps homogeneous (slice, row, column, 1) to LPS millimetres.
    shape : (int, int, int)
        Number of slices, rows and columns; each at least 1.
    frame_of_reference_uid : str
        UID of the DICOM frame of reference; empty where there is none (simulated arrays).

    Raises
    ------
    GeometryError
        If the affine is not finite, has a zero spacing, or axes that are not orthogonal.
    """

    affine: FloatArray
    shape: tuple[int, int, int]
    frame_of_reference_uid: str = ""
    _inverse: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        affine = _frozen(self.affine)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError(f"affine must be a finite 4x4 matrix, got {affine.tolist()}")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"shape must be three positive numbers, got {self.shape}")
        object.__setattr__(self, "affine", affine)
        self._check_axes()
        object.__setattr__(self, "_inverse", _frozen(np.linalg.inv(affine)))

    def _check_axes(self) -> None:
        spacing = np.linalg.norm(self.affine[:3, :3], axis=0)
        if (spacing <= 0).any():
            raise GeometryError(f"spacing must be positive, got {spacing.tolist()} mm")
        axes = self.affine[:3, :3] / spacing
        skew = np.abs(axes.T @ axes - np.eye(3)).max()
        if skew > ORTHOGONALITY_TOLERANCE:
            raise GeometryError(
                f"axes are not orthogonal (worst dot product {skew:.4f}): sheared or gantry-tilted"
            )

    @classmethod
    def from_components(
        cls,
        *,
        origin: npt.ArrayLike,
        axes: npt.ArrayLike,
        spacing: npt.ArrayLike,
        shape: tuple[int, int, int],
        frame_of_reference_uid: str = "",
    ) -> Self:
        """Build from an origin (LPS mm), unit axes one a row (slice, row, column), spacing (mm)."""
        affine = np.eye(4)
        affine[:3, :3] = (np.asarray(axes, float) * np.asarray(spacing, float)[:, None]).T
        affine[:3, 3] = origin
        return cls(affine, shape, frame_of_reference_uid)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between neighbours along (slice, row, column) in mm."""
        slice_mm, row_mm, column_mm = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(slice_mm), float(row_mm), float(column_mm)

    @property
    def axes(self) -> FloatArray:
        """Unit vectors in LPS along slice, row and column, one a row: (3, 3)."""
        return (self.affine[:3, :3] / np.asarray(self.spacing)).T

    @property
    def origin(self) -> FloatArray:
        """LPS millimetres of the centre of voxel (0, 0, 0): (3,)."""
        return self.affine[:3, 3]

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mm3."""
        return float(np.prod(self.spacing))

    def to_lps(self, indices: npt.ArrayLike) -> FloatArray:
        """Turn (..., 3) indices (slice, row, column) into LPS millimetres."""
        return np.asarray(indices, float) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, points: npt.ArrayLike) -> FloatArray:
        """Turn (..., 3) LPS millimetres into fractional (slice, row, column) indices."""
        return np.asarray(points, float) @ self._inverse[:3, :3].T + self._inverse[:3, 3]

    def same_grid(self, other: "Geometry", *, tolerance_mm: float = 1e-2) -> bool:
        """Whether both have the same shape and no corner differs by more than the tolerance."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        return bool(np.abs(self.to_lps(corners) - other.to_lps(corners)).max() <= tolerance_mm)
