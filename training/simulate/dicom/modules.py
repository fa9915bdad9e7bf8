"""Modules that classic and enhanced images share: patient, study, equipment, plane, pixels."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from service.domain.geometry import Geometry
from training.simulate.case import Case
from training.simulate.dicom.maker import Maker
from training.simulate.dicom.series import Series
from training.simulate.exported import SIMULATED, Technique
from training.simulate.stored import Stored

# Of no real examination, and the same for all.
STUDY_DATE = "20260101"
STUDY_TIME = "080000"


def item(attributes: Iterable[tuple[str, Any]] = (), **more: object) -> Dataset:
    """Return a data set with these DICOM keywords."""
    dataset = Dataset()
    for keyword, value in (*attributes, *more.items()):
        setattr(dataset, keyword, value)
    return dataset


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return the item of a code sequence (PS3.3 8.8)."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def decimal(value: float) -> str:
    """Return a number as decimal string of at most 16 characters (PS3.5 6.2)."""
    return f"{value:.10g}"


@dataclass(frozen=True, eq=False)
class Study:
    """Attributes that all images of a study share.

    Attributes
    ----------
    identity : tuple of str
        Words from which all UIDs are made: the same words give the same UIDs.
    """

    case: Case
    maker: Maker
    identity: tuple[str, ...]

    def uid(self, *words: object) -> UID:
        """Return the same UID for the same words."""
        return generate_uid(entropy_srcs=[*self.identity, *map(str, words)])

    def header(self, series: Series, sop_class: UID, instance: int) -> Dataset:
        """Return patient, study, series, equipment and frame of reference modules (PS3.3 C.7)."""
        grid = series.parts[0].exported.stored.geometry
        dataset = item(
            self._common().items(),
            SOPClassUID=sop_class,
            SOPInstanceUID=self.uid("instance", series.number, instance),
            StudyInstanceUID=self.uid("study"),
            SeriesInstanceUID=self.uid("series", series.number),
            FrameOfReferenceUID=self.uid("frame of reference", grid.frame_of_reference_uid),
            SeriesDate=STUDY_DATE,
            ContentDate=STUDY_DATE,
            SeriesTime=series.time,
            ContentTime=series.time,
            SeriesDescription=series.description,
            ProtocolName=series.protocol,
            SeriesNumber=series.number,
            InstanceNumber=instance,
        )
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = sop_class
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        return dataset

    def _common(self) -> dict[str, Any]:
        """Return what all images of the study say of patient, study and equipment."""
        name = self.case.name
        return {
            "SpecificCharacterSet": "ISO_IR 100",
            "PatientName": f"SIMULATED^{name}",
            "PatientID": f"SIMULATED-{name}",
            "PatientBirthDate": "",
            "PatientSex": "O",
            "StudyID": "1",
            "AccessionNumber": "",
            "ReferringPhysicianName": "",
            "StudyDate": STUDY_DATE,
            "StudyTime": STUDY_TIME,
            "StudyDescription": "SIMULATED stroke MR, not a patient",
            "ImageComments": SIMULATED,
            "Modality": "MR",
            "Manufacturer": self.maker.manufacturer,
            "ManufacturerModelName": self.maker.model,
            "SoftwareVersions": list(self.maker.software),
            "DeviceSerialNumber": "SIMULATED",
            "InstitutionName": "Simulated hospital",
            "PatientPosition": "HFS",
            "PositionReferenceIndicator": "",
            "BodyPartExamined": "BRAIN",
            "MagneticFieldStrength": decimal(self.case.site.field_strength_t),
            "BurnedInAnnotation": "NO",
            "LossyImageCompression": "00",
        }


def orientation(geometry: Geometry) -> list[str]:
    """Return ImageOrientationPatient: where columns grow, then where rows grow (C.7.6.2.1.1)."""
    _, along_rows, along_columns = geometry.axes
    return [f"{value + 0.0:.9f}" for value in (*along_columns, *along_rows)]


def position(geometry: Geometry, index: int) -> list[str]:
    """Return ImagePositionPatient of a slice: the centre of its first voxel, LPS mm."""
    return [f"{value:.6f}" for value in geometry.to_lps((index, 0, 0))]


def location(geometry: Geometry, index: int) -> str:
    """Return the place of a slice along the normal of its plane, mm.

    Slices may run against the normal: then it falls from slice to slice.
    """
    _, along_rows, along_columns = geometry.axes
    normal = np.cross(along_columns, along_rows)
    return f"{float(normal @ geometry.to_lps((index, 0, 0))):.4f}"


def measures(geometry: Geometry, technique: Technique) -> dict[str, Any]:
    """Return pixel spacing, slice thickness and distance of slices in mm."""
    slice_mm, row_mm, column_mm = geometry.spacing
    return {
        "PixelSpacing": [decimal(row_mm), decimal(column_mm)],
        "SliceThickness": decimal(technique.thickness_mm),
        "SpacingBetweenSlices": decimal(slice_mm),
    }


def pixels(stored: Stored) -> dict[str, Any]:
    """Return the Image Pixel module (PS3.3 C.7.6.3) without the pixels themselves."""
    bits = 16 if stored.signed else 12
    rows, columns = stored.voxels.shape[1:]
    return {
        "Rows": rows,
        "Columns": columns,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.signed),
    }


def pixel_data(voxels: npt.NDArray[np.int16] | npt.NDArray[np.uint16]) -> bytes:
    """Return voxels as little-endian bytes of even number."""
    return np.ascontiguousarray(voxels, voxels.dtype.newbyteorder("<")).tobytes()


def window(stored: Stored) -> dict[str, str]:
    """Return window centre and width around what most voxels hold, in rescaled values."""
    low, high = (float(value) for value in np.percentile(stored.voxels, [1, 99.5]))
    width = max((high - low) * stored.slope, stored.slope)
    centre = (low + high) / 2 * stored.slope + stored.intercept
    return {"WindowCenter": f"{centre:.6g}", "WindowWidth": f"{width:.6g}"}


def rescaling(stored: Stored, kind: str) -> dict[str, str]:
    """Return the Modality LUT (PS3.3 C.11.1)."""
    return {
        "RescaleIntercept": decimal(stored.intercept),
        "RescaleSlope": decimal(stored.slope),
        "RescaleType": kind,
    }
