"""How the mask of a study is written as a DICOM object."""

from enum import StrEnum


class SegmentationForm(StrEnum):
    """Which of the valid forms a segmentation has; receivers differ in what they read.

    ``binary`` is read by all that were tried: one bit a voxel and segment. Where there is one
    segment, all frames share the item that names it. ``binary_per_frame`` repeats that item in
    every frame, for readers that look for it there. ``labelmap`` is Label Map Segmentation Storage
    (PS3.3 A.51, since 2024d): one number a voxel; older programs do not know it.
    """

    BINARY = "binary"
    BINARY_PER_FRAME = "binary_per_frame"
    LABELMAP = "labelmap"
