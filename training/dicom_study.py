"""A simulated examination as a folder of DICOM files, with the headers of one maker.

Classic MR Image Storage with the attributes a scanner of the kind simulated would write. The
patient's name, the study description and a comment in every image say that it is simulated.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.resample import resample_linear
from training.simulate.case import Case
from training.simulate.site import SITES, Composition, Site

SIMULATED = "Simulated images, no patient: research and demonstration only"
GREY_LEVELS = 400
# Stored phase: whole numbers of this many 4096ths of pi.
PHASE_STEP = 64
LOCALIZER_MM = 2.0

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SeriesHeader:
    """What distinguishes the series of one role; keys of ``attributes`` are DICOM keywords.

    Attributes
    ----------
    number : int
        SeriesNumber.
    """

    number: int
    description: str
    attributes: dict[str, Any] = field(default_factory=dict)


def headers(site: Site) -> dict[Role, SeriesHeader]:
    """Return the headers of every role for the protocol of a site."""
    echo = site.echoes_ms[len(site.echoes_ms) // 2]
    flash = {
        "ScanningSequence": "GR",
        "EchoTime": echo,
        "RepetitionTime": site.repetition_ms,
        "FlipAngle": site.flip_deg,
    }
    planar = {
        "ScanningSequence": "EP",
        "SequenceVariant": "SK",
        "MRAcquisitionType": "2D",
        "EchoTime": 75.0,
        "RepetitionTime": 5200.0,
        "FlipAngle": 90.0,
    }
    if site.composition is Composition.MAGNITUDE:
        susceptibility = SeriesHeader(
            3,
            "t2_fl2d_tra_hemo",
            flash
            | {
                "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"],
                "SequenceName": "*fl2d1",
                "SequenceVariant": "SP",
                "MRAcquisitionType": "2D",
            },
        )
    else:
        susceptibility = SeriesHeader(
            3,
            "SWI_Images",
            flash
            | {
                "ImageType": ["ORIGINAL", "PRIMARY", "M", "SWI", "NORM"],
                "SequenceName": "*swi3d1r",
                "SequenceVariant": "SP",
                "MRAcquisitionType": "3D",
            },
        )
    return {
        Role.SUSC: susceptibility,
        Role.PHASE: SeriesHeader(
            4,
            "Pha_Images",
            flash
            | {
                "ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"],
                "SequenceName": "*swi3d1r",
                "SequenceVariant": "SP",
                "MRAcquisitionType": "3D",
            },
        ),
        Role.DWI: SeriesHeader(
            5,
            "ep2d_diff_3scan_trace_TRACEW",
            planar
            | {
                "ImageType": ["ORIGINAL", "PRIMARY", "DIFFUSION", "TRACEW", "NORM"],
                "SequenceName": f"*ep_b{site.b_value:.0f}t",
                "DiffusionBValue": site.b_value,
                "DiffusionDirectionality": "ISOTROPIC",
            },
        ),
        Role.ADC: SeriesHeader(
            6,
            "ep2d_diff_3scan_trace_ADC",
            planar
            | {
                "ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "NORM"],
                "SequenceName": f"*ep_b0_{site.b_value:.0f}",
            },
        ),
        Role.FLAIR: SeriesHeader(
            7,
            "t2_tirm_tra_dark-fluid",
            {
                "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"],
                "SequenceName": "*tir2d1_16",
                "ScanningSequence": ["SE", "IR"],
                "SequenceVariant": ["SK", "SP", "MP"],
                "MRAcquisitionType": "2D",
                "EchoTime": 89.0,
                "RepetitionTime": 8500.0,
                "InversionTime": 2440.0,
                "FlipAngle": 150.0,
            },
        ),
        Role.TOF: SeriesHeader(
            8,
            "TOF_3D_multi-slab",
            {
                "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"],
                "SequenceName": "*fl3d1r_t50",
                "ScanningSequence": "GR",
                "SequenceVariant": "SP",
                "MRAcquisitionType": "3D",
                "AngioFlag": "Y",
                "EchoTime": 7.0,
                "RepetitionTime": 24.0,
                "FlipAngle": 25.0,
            },
        ),
    }


LOCALIZER = SeriesHeader(
    1,
    "localizer",
    {
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"],
        "SequenceName": "*fl2d1",
        "ScanningSequence": "GR",
        "SequenceVariant": "SP",
        "MRAcquisitionType": "2D",
        "EchoTime": 4.0,
        "RepetitionTime": 8.6,
        "FlipAngle": 20.0,
    },
)


def write_dicom_study(
    case: Case, folder: Path, *, seed: int, turn: Float64 | None = None
) -> list[Path]:
    """Write all sequences of a case and a localizer.

    Parameters
    ----------
    case : Case
    folder : Path
        Gets one folder a series; created if it is not there.
    seed : int
        Of all UIDs: the same case and seed give the same bytes.
    turn : array (3, 3), optional
        Rotation of the patient in LPS about the isocentre, for oblique studies.

    Returns
    -------
    list of Path
        Every file written, in order.
    """
    study = _Study(seed, SITES[case.site], np.eye(3) if turn is None else turn)
    written = []
    for role, header in headers(study.site).items():
        if role in case.volumes:
            written += study.write_series(header, _stored(role, case.volumes[role]), folder)
    return written + study.write_localizer(case, folder)


@dataclass(frozen=True, eq=False)
class _Stored:
    """Whole numbers as they go into pixel data, and how they become values again."""

    voxels: npt.NDArray[np.uint16]
    geometry: Geometry
    slope: float = 1.0
    intercept: float = 0.0


def _stored(role: Role, volume: Volume) -> _Stored:
    """Scale to 12 bits: phase and ADC keep their unit, magnitudes have none."""
    if role is Role.PHASE:
        numbers, slope, intercept = (volume.voxels + 4096) / PHASE_STEP, PHASE_STEP, -4096
    elif role is Role.ADC:
        numbers, slope, intercept = volume.voxels, 1, 0
    else:
        top = max(float(np.percentile(volume.voxels, 99.8)), 1e-6)
        numbers, slope, intercept = volume.voxels * (GREY_LEVELS / top), 1, 0
    whole = np.clip(np.rint(numbers), 0, 4095).astype(np.uint16)
    return _Stored(whole, volume.geometry, float(slope), float(intercept))


@dataclass(frozen=True, eq=False)
class _Study:
    """Attributes that all images of a study share."""

    seed: int
    site: Site
    turn: Float64

    def uid(self, *words: object) -> UID:
        """Return the same UID for the same words."""
        sources = ["thrombolens simulated study", str(self.seed), self.site.name]
        return generate_uid(entropy_srcs=sources + [str(word) for word in words])

    def write_series(self, header: SeriesHeader, stored: _Stored, folder: Path) -> list[Path]:
        """Write one file a slice."""
        target = folder / f"{header.number:02d}"
        target.mkdir(parents=True, exist_ok=True)
        paths = []
        for index, dataset in enumerate(self._images(header, stored), 1):
            path = target / f"{index:04d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
        return paths

    def write_localizer(self, case: Case, folder: Path) -> list[Path]:
        """Write one slice in each plane through the middle of the head."""
        source = case.volumes[Role.SUSC]
        middle = source.geometry.to_lps((np.array(source.geometry.shape) - 1) / 2)
        paths = []
        for number, axes in enumerate(_PLANES):
            grid = _plane(middle, np.array(axes, float))
            plane = resample_linear(source, grid, outside=0.0)
            header = SeriesHeader(
                LOCALIZER.number,
                LOCALIZER.description,
                {"AcquisitionNumber": number + 1} | LOCALIZER.attributes,
            )
            stored = _stored(Role.SUSC, plane)
            written = self.write_series(header, stored, folder / f"localizer-{number + 1}")
            paths += written
        return paths

    def _images(self, header: SeriesHeader, stored: _Stored) -> Iterator[Dataset]:
        for index, plane in enumerate(stored.voxels):
            dataset = self._common(header)
            acquisition = header.attributes.get("AcquisitionNumber", 1)
            instance = index + 1 if acquisition == 1 else acquisition
            dataset.InstanceNumber = instance
            dataset.SOPInstanceUID = self.uid(header.number, acquisition, index)
            _add_plane(dataset, stored.geometry, index, self.turn)
            _add_pixels(dataset, plane, stored)
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            yield dataset

    def _common(self, header: SeriesHeader) -> Dataset:
        dataset = Dataset()
        dataset.SOPClassUID = MRImageStorage
        dataset.StudyInstanceUID = self.uid("study")
        dataset.SeriesInstanceUID = self.uid("series", header.number)
        dataset.FrameOfReferenceUID = self.uid("frame of reference")
        dataset.PatientName = "SIMULATED^DEMO"
        dataset.PatientID = f"SIMULATED-{self.seed}"
        dataset.PatientBirthDate = ""
        dataset.PatientSex = "O"
        dataset.StudyID = "1"
        dataset.AccessionNumber = ""
        dataset.ReferringPhysicianName = ""
        dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = "20260101"
        dataset.StudyTime = dataset.ContentTime = "080000"
        dataset.SeriesTime = f"08{header.number:02d}00"
        dataset.StudyDescription = "SIMULATED stroke MR, not a patient"
        dataset.ImageComments = SIMULATED
        dataset.Modality = "MR"
        dataset.Manufacturer = "SIEMENS"
        dataset.ManufacturerModelName = "Simulated scanner"
        dataset.PatientPosition = "HFS"
        dataset.PositionReferenceIndicator = ""
        dataset.BodyPartExamined = "BRAIN"
        dataset.MagneticFieldStrength = self.site.field_strength_t
        dataset.ScanOptions = ""
        dataset.EchoTrainLength = 1
        dataset.SeriesNumber = header.number
        dataset.SeriesDescription = header.description
        dataset.ProtocolName = header.description
        dataset.AcquisitionNumber = 1
        for keyword, value in header.attributes.items():
            setattr(dataset, keyword, value)
        return dataset


# Axes (slice, row, column) of an axial, a coronal and a sagittal plane, LPS.
_PLANES = (
    ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
    ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
)


def _plane(middle: Float64, axes: Float64) -> Geometry:
    """Return a single 240 mm slice through a point."""
    count = int(240 / LOCALIZER_MM)
    corner = middle - (axes[1] + axes[2]) * LOCALIZER_MM * (count - 1) / 2
    return Geometry.from_components(
        origin=corner, axes=axes, spacing=(5.0, LOCALIZER_MM, LOCALIZER_MM), shape=(1, count, count)
    )


def _add_plane(dataset: Dataset, geometry: Geometry, index: int, turn: Float64) -> None:
    """Add the Image Plane module (PS3.3 C.7.6.2)."""
    slice_mm, row_mm, column_mm = geometry.spacing
    _, along_rows, along_columns = geometry.axes @ turn.T
    position = turn @ geometry.to_lps((index, 0, 0))
    # Orientation: first the direction in which the column index grows, then the row index.
    cosines = np.concatenate([along_columns, along_rows])
    dataset.ImageOrientationPatient = [f"{value:.9f}" for value in cosines]
    dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]
    dataset.PixelSpacing = [f"{row_mm:.6f}", f"{column_mm:.6f}"]
    dataset.SliceThickness = f"{slice_mm:.4f}"
    dataset.SpacingBetweenSlices = f"{slice_mm:.4f}"
    dataset.SliceLocation = f"{float(np.cross(along_columns, along_rows) @ position):.4f}"


def _add_pixels(dataset: Dataset, plane: npt.NDArray[np.uint16], stored: _Stored) -> None:
    """Add the Image Pixel module and the rescaling."""
    dataset.Rows, dataset.Columns = plane.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12
    dataset.HighBit = 11
    dataset.PixelRepresentation = 0
    dataset.RescaleSlope = f"{stored.slope:g}"
    dataset.RescaleIntercept = f"{stored.intercept:g}"
    dataset.RescaleType = "US"
    low, high = (float(value) for value in np.percentile(stored.voxels, [1, 99.5]))
    width = max(1.0, (high - low) * stored.slope)
    dataset.WindowCenter = f"{(low + high) / 2 * stored.slope + stored.intercept:.0f}"
    dataset.WindowWidth = f"{width:.0f}"
    dataset.PixelData = np.ascontiguousarray(plane, dtype="<u2").tobytes()
