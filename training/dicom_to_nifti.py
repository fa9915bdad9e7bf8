"""One volume of a DICOM series, converted by dicom2nifti and held against the service's own view.

A network that is trained on one view of a series must not be served another: grid and values have
to be those that the service assembles.
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import nibabel as nib
import numpy as np
import numpy.typing as npt
from dicom2nifti import convert_dicom
from dicom2nifti.exceptions import ConversionError as RefusedError
from dicom2nifti.exceptions import ConversionValidationError
from pydicom.dataset import Dataset

from service.domain.errors import GeometryError
from service.domain.geometry import Geometry
from service.domain.study import VolumeFacts
from service.domain.volume import Volume
from service.stages.assemble_volume import assemble_volume
from training.cohort_errors import ConversionError
from training.simulate.nifti import LPS_TO_RAS, nifti_affine

AFFINE_TOLERANCE_MM = 1e-3
# Of the range of values: scales of instances are written with few digits.
VALUE_TOLERANCE = 1e-4
DICOM2NIFTI = "dicom2nifti"
OWN_ASSEMBLER = "Thrombolens"
# What dicom2nifti raises, besides its own errors, for series that it does not know.
_OTHER_REFUSALS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, eq=False)
class Converted:
    """A volume and what made it.

    Attributes
    ----------
    volume : Volume
        float32 after rescale.
    software, version : str
        ``dicom2nifti``, or ``Thrombolens`` where that could not convert the series.
    note : str
        Why not; empty for dicom2nifti.
    """

    volume: Volume
    software: str
    version: str
    note: str = ""


def convert(found: VolumeFacts, datasets: Sequence[Dataset]) -> Converted:
    """Convert one volume.

    Parameters
    ----------
    found : VolumeFacts
    datasets : sequence of Dataset
        Instances of its series with pixels; dicom2nifti gets those of this volume alone.

    Raises
    ------
    ConversionError
        If dicom2nifti gives another grid or other values than the service.
    InputError
        If the service cannot assemble the volume either.
    """
    own = assemble_volume(found, datasets).volume
    reason, image = "", None
    members = _members(found, datasets)
    if _is_part_of_instance(found, members):
        reason = "one of several volumes of a multi-frame instance"
    else:
        try:
            image = _by_dicom2nifti(members)
        except (RefusedError, ConversionValidationError) as exc:
            reason = f"{DICOM2NIFTI} cannot convert the series: {exc}"
        except _OTHER_REFUSALS as exc:
            # What these say may hold anything of the header.
            reason = f"{DICOM2NIFTI} cannot convert the series: {type(exc).__name__}"
    if image is None:
        return Converted(own, OWN_ASSEMBLER, version("thrombolens"), reason)
    volume = _volume(image, own.geometry.frame_of_reference_uid, found)
    _check(volume, own, found)
    return Converted(volume, DICOM2NIFTI, version(DICOM2NIFTI))


def _members(found: VolumeFacts, datasets: Sequence[Dataset]) -> list[Dataset]:
    wanted = {plane.sop_instance_uid for plane in found.planes}
    unique = {str(dataset.SOPInstanceUID): dataset for dataset in datasets}
    return [dataset for uid, dataset in unique.items() if uid in wanted]


def _is_part_of_instance(found: VolumeFacts, members: Sequence[Dataset]) -> bool:
    """Whether an instance has frames that are not of this volume: dicom2nifti takes them all."""
    framed = [plane for plane in found.planes if plane.frame_number is not None]
    frames = sum(int(dataset.get("NumberOfFrames", 1)) for dataset in members)
    return bool(framed) and (len(framed) < frames or len(members) > 1)


def _by_dicom2nifti(members: list[Dataset]) -> nib.Nifti1Image:
    """Convert without reorientation, so that voxels stay where the scanner had them."""
    # It tells of every series that it refuses; the sidecar does that here.
    logging.getLogger(DICOM2NIFTI).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        # On headers of old scanners, about which the service has its own opinion.
        warnings.simplefilter("ignore")
        result = convert_dicom.dicom_array_to_nifti(members, None, reorient_nifti=False)
        image: nib.Nifti1Image = result["NII"]
    if image.ndim != 3:
        raise RefusedError(f"{image.ndim} dimensions")
    return image


def _volume(image: nib.Nifti1Image, frame_of_reference: str, found: VolumeFacts) -> Volume:
    voxels = np.asarray(image.dataobj, np.float32).transpose(2, 1, 0)
    affine = (LPS_TO_RAS @ np.asarray(image.affine, np.float64))[:, [2, 1, 0, 3]]
    shape = (voxels.shape[0], voxels.shape[1], voxels.shape[2])
    try:
        return Volume(voxels, Geometry(affine, shape, frame_of_reference))
    except GeometryError as exc:
        raise ConversionError(f"{_named(found)}: {DICOM2NIFTI} gives no grid: {exc}") from exc


def _check(converted: Volume, own: Volume, found: VolumeFacts) -> None:
    """Compare with what the service assembles; axes may run the other way."""
    one, other = _canonical(converted), _canonical(own)
    if one.shape != other.shape:
        raise ConversionError(
            f"{_named(found)}: {DICOM2NIFTI} gives {one.shape} voxels, the service {other.shape}"
        )
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in one.shape])).reshape(3, -1)
    apart = (one.affine - other.affine) @ np.vstack([corners, np.ones(corners.shape[1])])
    if np.abs(apart).max() > AFFINE_TOLERANCE_MM:
        raise ConversionError(
            f"{_named(found)}: {DICOM2NIFTI} places voxels {np.abs(apart).max():.4g} mm from where"
            " the service does"
        )
    mine, theirs = (_values(image) for image in (other, one))
    worst = float(np.abs(theirs - mine).max())
    if worst > VALUE_TOLERANCE * max(float(np.ptp(mine)), 1e-6):
        raise ConversionError(
            f"{_named(found)}: values of {DICOM2NIFTI} differ from those of the service by up to"
            f" {worst:g}"
        )


def _canonical(volume: Volume) -> nib.Nifti1Image:
    image = nib.Nifti1Image(
        np.asarray(volume.voxels.transpose(2, 1, 0)), nifti_affine(volume.geometry)
    )
    return nib.as_closest_canonical(image)


def _values(image: nib.Nifti1Image) -> npt.NDArray[np.float32]:
    return np.asarray(image.dataobj, np.float32)


def _named(found: VolumeFacts) -> str:
    """Name a volume without the words that people write into headers."""
    split = "".join(f" {name} {value}" for name, value in found.split.items())
    return f"series {found.series.series_number}{split}"
