"""Voxels and their geometry, inseparable."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.domain.errors import GeometryError
from service.domain.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Volume:
    """A three-dimensional image in the patient.

    Parameters
    ----------
    voxels : array (slice, row, column)
        Any numeric or boolean type; kept as a read-only view.
    geometry : Geometry
        Grid of the same shape.

    Raises
    ------
    GeometryError
        If the shapes differ.
    """

    voxels: npt.NDArray[Any]
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise GeometryError(
                f"voxels have shape {self.voxels.shape}, geometry has {self.geometry.shape}"
            )
        view = np.asarray(self.voxels).view()
        view.setflags(write=False)
        object.__setattr__(self, "voxels", view)
