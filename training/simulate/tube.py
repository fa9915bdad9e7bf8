"""A vessel as a tube: a smooth centreline and a radius along it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator, make_interp_spline

Float64 = npt.NDArray[np.float64]

STEP_MM = 0.25
# Samples of the raw spline per step, from which points at equal distances are taken.
OVERSAMPLING = 4


@dataclass(frozen=True, eq=False)
class Tube:
    """A vessel of one patient.

    Attributes
    ----------
    name : str
        As in the table, with ``_R`` or ``_L`` unless on the midline.
    centreline : float64 array (n, 3)
        LPS mm, one point every STEP_MM along the curve.
    radius_mm : float64 array (n,)
    parent : str
        Name of the tube it comes from; empty for a root.
    """

    name: str
    centreline: Float64
    radius_mm: Float64
    parent: str = ""

    @property
    def length_mm(self) -> float:
        """Length of the centreline."""
        return float(np.linalg.norm(np.diff(self.centreline, axis=0), axis=1).sum())


def make_tube(
    name: str, control: npt.ArrayLike, diameters_mm: npt.ArrayLike, parent: str = ""
) -> Tube:
    """Lay a smooth curve through control points.

    Parameters
    ----------
    name, parent : str
    control : array (m, 3), m >= 2
        LPS mm; the curve passes through all of them.
    diameters_mm : array (k,), k >= 2
        Diameters at equal distances from the first to the last point.
    """
    points = np.asarray(control, float)
    chord = np.linalg.norm(np.diff(points, axis=0), axis=1)
    # Centripetal knots (square roots of the chords) keep sharp bends free of loops.
    knots = np.concatenate([[0.0], np.cumsum(np.sqrt(chord))])
    spline = make_interp_spline(knots, points, k=min(3, len(points) - 1))
    fine = spline(np.linspace(0, knots[-1], max(8, int(chord.sum() / STEP_MM * OVERSAMPLING))))
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    stations = np.linspace(0, along[-1], max(3, round(along[-1] / STEP_MM) + 1))
    line = np.stack([np.interp(stations, along, fine[:, axis]) for axis in range(3)], axis=1)
    diameters = np.asarray(diameters_mm, float)
    nodes = np.linspace(0, along[-1], len(diameters))
    return Tube(name, line, PchipInterpolator(nodes, diameters)(stations) / 2, parent)
