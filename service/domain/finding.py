"""What was found: thrombus candidates with measurements, each in its unit."""

from dataclasses import dataclass
from enum import StrEnum

Vector = tuple[float, float, float]


class StudyResult(StrEnum):
    """The outcome of one analysed study."""

    THROMBUS_FOUND = "thrombus_found"
    NO_THROMBUS_FOUND = "no_thrombus_found"
    INSUFFICIENT_INPUT = "insufficient_input"


class Side(StrEnum):
    """Side of the patient, by the finding's centroid against the middle of the head."""

    LEFT = "left"
    RIGHT = "right"
    MIDLINE = "midline"


@dataclass(frozen=True)
class Finding:
    """One connected component of probable thrombus on the reference grid.

    Attributes
    ----------
    number : int
        From 1, by falling probability; also the segment number and the label in masks.
    probability : float
        Highest voxel probability of the component, 0..1.
    mean_probability : float
        Mean voxel probability of the component, 0..1.
    volume_mm3 : float
        Voxels times voxel volume.
    voxel_count : int
        Voxels of the reference grid.
    centroid_lps : (x, y, z)
        Mean voxel centre, LPS mm.
    bounding_box_lps : ((x, y, z), (x, y, z))
        Lowest and highest LPS mm that any voxel's body reaches.
    length_mm : float
        Maximal Feret diameter: largest distance between two corners of the component's voxels.
    width_mm : float
        Largest extent of any cross-section orthogonal to the length.
    side : Side
        Side of the patient.
    slice_range : (int, int)
        First and last slice index of the reference grid, 0-based.
    """

    number: int
    probability: float
    mean_probability: float
    volume_mm3: float
    voxel_count: int
    centroid_lps: Vector
    bounding_box_lps: tuple[Vector, Vector]
    length_mm: float
    width_mm: float
    side: Side
    slice_range: tuple[int, int]
