"""A DICOM-SEG, read back -> the mask it must hold, and what viewers ask of it."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import numpy.typing as npt
from highdicom.seg import Segmentation, segread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from service.domain.errors import SelfCheckError
from service.domain.report import ReportWarning
from service.domain.segmentation_form import SegmentationForm
from service.domain.volume import Volume
from service.stages.result_object import encode
from service.stages.write_segmentation import frame_sources

# Viewers compare orientations to about this much (direction cosines).
COSINE_TOLERANCE = 1e-3
# Scanners round positions; the object carries theirs, the mask the regular grid through them.
POSITION_TOLERANCE_MM = 0.2
# Above these, viewers were reported to be slow or to fail.
MANY_FRAMES = 400
MANY_BYTES = 20_000_000

Indices = npt.NDArray[np.int64]


def check_segmentation(
    segmentation: Dataset, mask: Volume, form: SegmentationForm = SegmentationForm.BINARY
) -> None:
    """Write the object, read it back, and compare it with the mask in patient space.

    Parameters
    ----------
    segmentation : Dataset
        Segmentation Storage as made by ``write_segmentation``.
    mask : Volume
        Unsigned integers, axes (slice, row, column): 0 or the number of a finding.
    form : SegmentationForm
        What it must have.

    Raises
    ------
    SelfCheckError
        Naming what differs: a voxel, a rule that viewers depend on, or that the object cannot be
        read back at all.
    """
    with disable_value_validation():
        read = _read_back(segmentation)
        _check_form(read, form)
        for rule in _RULES:
            rule(read, mask)
        _check_voxels(read, mask)


def _read_back(segmentation: Dataset) -> Segmentation:
    try:
        return segread(BytesIO(encode(segmentation)))
    except (AttributeError, LookupError, TypeError, ValueError) as exc:
        raise SelfCheckError(f"segmentation: it cannot be read back: {exc!r}") from exc


def segmentation_warnings(segmentation: Dataset) -> tuple[ReportWarning, ...]:
    """Return what is valid but may trouble a viewer."""
    warnings = []
    frames, size = int(segmentation.NumberOfFrames), len(encode(segmentation))
    if frames > MANY_FRAMES:
        warnings.append(
            ReportWarning("SEGMENTATION_MANY_FRAMES", f"{frames} frames; some viewers are slow")
        )
    if size > MANY_BYTES:
        warnings.append(
            ReportWarning("SEGMENTATION_LARGE", f"the segmentation has {size / 1e6:.0f} MB")
        )
    if any(image.SpatialLocationsPreserved == "NO" for image in frame_sources(segmentation)):
        warnings.append(
            ReportWarning(
                "SEGMENTATION_OF_MOSAIC",
                "the reference series packs its slices into mosaics; viewers cannot lay the "
                "segmentation over them",
            )
        )
    return tuple(warnings)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SelfCheckError(f"segmentation: {message}")


def _check_form(read: Segmentation, form: SegmentationForm) -> None:
    wanted = "LABELMAP" if form is SegmentationForm.LABELMAP else "BINARY"
    _require(read.SegmentationType == wanted, f"type is {read.SegmentationType}")
    if form is SegmentationForm.BINARY_PER_FRAME:
        frames = read.PerFrameFunctionalGroupsSequence
        told = all("SegmentIdentificationSequence" in frame for frame in frames)
        _require(told, "a frame names no segment")
    syntax = read.file_meta.TransferSyntaxUID
    _require(syntax == ExplicitVRLittleEndian, f"transfer syntax is {syntax}")
    _require(int(read.SeriesNumber) > 0, f"SeriesNumber is {read.SeriesNumber}")
    _require("RESEARCH USE ONLY" in read.SeriesDescription, "SeriesDescription lacks the notice")


def _check_grid(read: Segmentation, mask: Volume) -> None:
    size = (read.Rows, read.Columns)
    _require(size == mask.geometry.shape[1:], f"Rows and Columns are {size}")
    shared = read.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    wanted = np.concatenate([mask.geometry.axes[2], mask.geometry.axes[1]])
    worst = float(np.abs(cosines - wanted).max())
    _require(worst <= COSINE_TOLERANCE, f"orientation differs by {worst:.5f}")


def _check_references(read: Segmentation, mask: Volume) -> None:
    frame_of_reference = mask.geometry.frame_of_reference_uid
    _require(read.FrameOfReferenceUID == frame_of_reference, "another frame of reference")
    series = len(read.ReferencedSeriesSequence)
    _require(series == 1, f"{series} referenced series")
    known = {
        str(image.ReferencedSOPInstanceUID)
        for image in read.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    named = {str(image.ReferencedSOPInstanceUID) for image in frame_sources(read)}
    _require(named <= known, f"{len(named - known)} frames name an image of no referenced series")


def _check_segments(read: Segmentation, mask: Volume) -> None:
    # A label map describes its background as number 0.
    numbers = [number for number in read.segment_numbers if number]
    _require(numbers == list(range(1, len(numbers) + 1)), f"segment numbers are {numbers}")
    wanted = sorted(set(np.unique(mask.voxels).tolist()) - {0})
    _require(numbers == wanted, f"segments {numbers} for the mask's {wanted}")


_RULES: tuple[Callable[[Segmentation, Volume], None], ...] = (
    _check_grid,
    _check_references,
    _check_segments,
)


def _check_voxels(read: Segmentation, mask: Volume) -> None:
    found, offset = _labelled_voxels(read, mask)
    _require(offset <= POSITION_TOLERANCE_MM, f"voxels lie {offset:.3f} mm beside the mask's")
    indices = np.argwhere(mask.voxels)
    labels = mask.voxels[tuple(indices.T)].astype(np.int64)
    wanted = np.column_stack([labels, indices])
    difference = len(set(map(tuple, found.tolist())) ^ set(map(tuple, wanted.tolist())))
    _require(difference == 0, f"{difference} voxels differ from the mask")


def _labelled_voxels(read: Segmentation, mask: Volume) -> tuple[Indices, float]:
    """Return (segment, slice, row, column) of every voxel, and the worst distance in mm.

    The position of a voxel is computed from the attributes of the object alone (PS3.3
    C.7.6.2.1.1); only then is it turned into an index of the mask.
    """
    shared = read.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    row_mm, column_mm = (float(mm) for mm in shared.PixelMeasuresSequence[0].PixelSpacing)
    frames = read.pixel_array.reshape(-1, read.Rows, read.Columns)
    labelled, offset = [], 0.0
    for frame, pixels in zip(read.PerFrameFunctionalGroupsSequence, frames, strict=True):
        rows, columns = np.nonzero(pixels)
        origin = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        points = origin + np.outer(columns * column_mm, cosines[:3])
        points += np.outer(rows * row_mm, cosines[3:])
        nearest = np.rint(mask.geometry.to_index(points)).astype(np.int64)
        distances = np.linalg.norm(points - mask.geometry.to_lps(nearest), axis=1)
        offset = max(offset, float(distances.max(initial=0.0)))
        is_map = read.SegmentationType == "LABELMAP"
        number = pixels[rows, columns] if is_map else _segment_number(frame, shared)
        labelled.append(np.insert(nearest, 0, number, axis=1))
    return np.concatenate(labelled), offset


def _segment_number(frame: Dataset, shared: Dataset) -> int:
    """Return the frame's segment, which a one-segment object states once for all frames."""
    group = frame if "SegmentIdentificationSequence" in frame else shared
    _require("SegmentIdentificationSequence" in group, "a frame names no segment")
    return int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
