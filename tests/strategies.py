"""Random geometries and volumes, and DICOM series made of them, for tests of every stage.

The series are honest DICOM: geometry only in the attributes that a scanner writes, so that a
reader and a writer can be checked against each other through patient space alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from service.domain.geometry import Geometry
from service.domain.volume import Volume

_SPACINGS = st.floats(0.3, 7.0, allow_nan=False).map(lambda mm: round(mm, 3))
_COORDINATES = st.floats(-150.0, 150.0, allow_nan=False).map(lambda mm: round(mm, 2))


def rotation(quaternion: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the rotation matrix (3, 3) of a quaternion (w, x, y, z) of any length but zero."""
    w, x, y, z = np.asarray(quaternion, float) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def dicom_axes(turn: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return unit axes (slice, row, column) in rows, slices along the DICOM normal.

    Parameters
    ----------
    turn : array (3, 3)
        Rotation of an axial stack (columns to the left, rows to the back, slices to the head).
    """
    return np.array([turn[:, 2], turn[:, 1], turn[:, 0]])


_COMPONENTS = st.floats(-1.0, 1.0, allow_nan=False)
_ROTATIONS = (
    st.tuples(_COMPONENTS, _COMPONENTS, _COMPONENTS, _COMPONENTS)
    .filter(lambda quaternion: float(np.linalg.norm(quaternion)) > 0.1)
    .map(rotation)
)


@st.composite
def geometries(
    draw: st.DrawFn, *, min_slices: int = 2, max_slices: int = 8, max_in_plane: int = 9
) -> Geometry:
    """Oblique grids with three unequal spacings and slices along the DICOM normal."""
    shape = (
        draw(st.integers(min_slices, max_slices)),
        draw(st.integers(2, max_in_plane)),
        draw(st.integers(2, max_in_plane)),
    )
    return Geometry.from_components(
        origin=draw(st.tuples(_COORDINATES, _COORDINATES, _COORDINATES)),
        axes=dicom_axes(draw(_ROTATIONS)),
        spacing=draw(st.tuples(_SPACINGS, _SPACINGS, _SPACINGS)),
        shape=shape,
        frame_of_reference_uid=uid("frame of reference"),
    )


@st.composite
def volumes(
    draw: st.DrawFn, *, min_value: int = -1024, max_value: int = 4095, max_slices: int = 8
) -> Volume:
    """Volumes of whole numbers, int32, on oblique grids."""
    grid = draw(geometries(max_slices=max_slices))
    voxels = npst.arrays(np.int32, grid.shape, elements=st.integers(min_value, max_value))
    return Volume(draw(voxels), grid)


def uid(*words: object) -> str:
    """Return the same UID for the same words."""
    return str(generate_uid(entropy_srcs=[str(word) for word in words]))


def mr_series(
    volume: Volume, *, slope: float = 1.0, intercept: float = 0.0, **attributes: Any
) -> list[Dataset]:
    """Return the volume as a classic MR series, one data set a slice, in slice order.

    Parameters
    ----------
    volume : Volume
        Real values; stored as 16-bit ``(value - intercept) / slope``, rounded.
    slope, intercept : float
        Written as RescaleSlope and RescaleIntercept unless they are 1 and 0.
    attributes : any
        DICOM keywords that are added or replaced in every slice; None removes one.
    """
    stored = _stored(volume, slope, intercept)
    series_uid = attributes.get("SeriesInstanceUID", uid("series", attributes))
    series = []
    for index in range(len(stored)):
        instance = _instance(volume.geometry, MRImageStorage)
        instance.SeriesInstanceUID = series_uid
        instance.SOPInstanceUID = uid(series_uid, index)
        instance.InstanceNumber = index + 1
        instance.ImagePositionPatient = _position(volume.geometry, index)
        instance.ImageOrientationPatient = _orientation(volume.geometry)
        instance.PixelSpacing = list(volume.geometry.spacing[1:])
        instance.SliceThickness = volume.geometry.spacing[0]
        if (slope, intercept) != (1.0, 0.0):
            instance.RescaleSlope, instance.RescaleIntercept = slope, intercept
            instance.RescaleType = "US"
        _finish(instance, stored[index], attributes)
        series.append(instance)
    return series


def enhanced_mr(
    volume: Volume, *, slope: float = 1.0, intercept: float = 0.0, **attributes: Any
) -> Dataset:
    """Return the volume as one Enhanced MR instance, frames in slice order.

    Parameters are those of `mr_series`; ``attributes`` go to the top level of the data set.
    """
    stored = _stored(volume, slope, intercept)
    instance = _instance(volume.geometry, EnhancedMRImageStorage)
    instance.SeriesInstanceUID = attributes.get("SeriesInstanceUID", uid("enhanced", attributes))
    instance.SOPInstanceUID = uid(instance.SeriesInstanceUID, "enhanced")
    instance.InstanceNumber = 1
    instance.NumberOfFrames = len(stored)
    shared = Dataset()
    shared.PixelMeasuresSequence = [
        _item(
            PixelSpacing=list(volume.geometry.spacing[1:]),
            SliceThickness=volume.geometry.spacing[0],
        )
    ]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=_orientation(volume.geometry))]
    shared.PixelValueTransformationSequence = [
        _item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US")
    ]
    shared.MRImageFrameTypeSequence = [
        _item(FrameType=attributes.get("ImageType", ["ORIGINAL", "PRIMARY", "M", "NONE"]))
    ]
    instance.SharedFunctionalGroupsSequence = [shared]
    instance.PerFrameFunctionalGroupsSequence = [
        _frame(volume.geometry, index) for index in range(len(stored))
    ]
    _finish(instance, stored, attributes)
    return instance


def write_instances(instances: Sequence[Dataset], folder: Path) -> list[Path]:
    """Write data sets as DICOM files into a folder that is made if needed; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{instance.SOPInstanceUID}.dcm" for instance in instances]
    for instance, path in zip(instances, paths, strict=True):
        instance.save_as(path, enforce_file_format=True)
    return paths


def _stored(volume: Volume, slope: float, intercept: float) -> npt.NDArray[np.int64]:
    return np.rint((np.asarray(volume.voxels, float) - intercept) / slope).astype(np.int64)


def _position(geometry: Geometry, index: int) -> list[float]:
    return [_decimal(value) for value in geometry.to_lps([index, 0, 0])]


def _orientation(geometry: Geometry) -> list[float]:
    """First the direction of increasing column index, then of row index (PS3.3 C.7.6.2.1.1)."""
    return [_decimal(value) for value in (*geometry.axes[2], *geometry.axes[1])]


def _decimal(value: float) -> float:
    """Round so that the number fits into the sixteen characters of a decimal string."""
    return round(float(value), 9)


def _instance(geometry: Geometry, sop_class: str) -> Dataset:
    instance = Dataset()
    instance.SOPClassUID = sop_class
    instance.PatientName = "Test^Subject"
    instance.PatientID = "TEST-0001"
    instance.PatientBirthDate = ""
    instance.PatientSex = "O"
    instance.StudyInstanceUID = uid("study")
    instance.StudyID = "1"
    instance.StudyDate = "20240102"
    instance.StudyTime = "030405"
    instance.AccessionNumber = ""
    instance.ReferringPhysicianName = ""
    instance.Modality = "MR"
    instance.Manufacturer = "Test scanner"
    instance.SeriesNumber = 1
    instance.SeriesDescription = "test series"
    instance.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    instance.FrameOfReferenceUID = geometry.frame_of_reference_uid or uid("frame of reference")
    instance.PositionReferenceIndicator = ""
    return instance


def _finish(instance: Dataset, stored: npt.NDArray[np.int64], attributes: dict[str, Any]) -> None:
    """Add pixels and replaced attributes; unsigned unless a value is negative."""
    signed = int(stored.min() < 0)
    if stored.max() >= (2**15 if signed else 2**16) or stored.min() < -(2**15):
        raise ValueError(f"stored values {stored.min()}..{stored.max()} do not fit into 16 bits")
    instance.Rows, instance.Columns = stored.shape[-2:]
    instance.SamplesPerPixel = 1
    instance.PhotometricInterpretation = "MONOCHROME2"
    instance.BitsAllocated = instance.BitsStored = 16
    instance.HighBit = 15
    instance.PixelRepresentation = signed
    instance.add_new("PixelData", "OW", stored.astype("<i2" if signed else "<u2").tobytes())
    for keyword, value in attributes.items():
        if value is None:
            delattr(instance, keyword)
        else:
            setattr(instance, keyword, value)
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID


def _frame(geometry: Geometry, index: int) -> Dataset:
    frame = Dataset()
    frame.PlanePositionSequence = [_item(ImagePositionPatient=_position(geometry, index))]
    frame.FrameContentSequence = [
        _item(StackID="1", InStackPositionNumber=index + 1, DimensionIndexValues=[1, index + 1])
    ]
    return frame


def _item(**attributes: Any) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item
