"""NIfTI files as volumes in the patient: geometry without guesses, values as they are meant.

Voxel axes (i, j, k) are (column, row, slice), as converters of DICOM write them; which way they run
in the patient is what the affine says, oblique or flipped.
"""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError

from service.domain.errors import GeometryError
from service.domain.geometry import Geometry
from service.domain.volume import Volume
from training.cohort_errors import LayoutError, ValuesError
from training.simulate.nifti import LPS_TO_RAS, nifti_affine

# The two affines of a header may differ by rounding, not more.
AFFINE_TOLERANCE_MM = 0.1
_SCANNER_SPACE = 1
_UNREADABLE = (ImageFileError, OSError, EOFError, TypeError, ValueError)


def read_volumes(path: Path, frame_of_reference: str = "") -> list[Volume]:
    """Read all volumes of a file of three or four dimensions.

    Parameters
    ----------
    path : Path
    frame_of_reference : str
        Volumes of one name need no registration.

    Returns
    -------
    list of Volume
        float32 (slice, row, column) after scaling, in LPS mm.

    Raises
    ------
    LayoutError
        If the file cannot be read, is no image of grey values, or does not say where it lies.
    ValuesError
        If voxels are infinite.
    """
    try:
        image = nib.load(path)
        voxels = np.asarray(image.get_fdata(dtype=np.float32))
    except _UNREADABLE as exc:
        raise LayoutError(f"{path} cannot be read as NIfTI: {exc}") from exc
    if np.isinf(voxels).any():
        raise ValuesError(f"{path} has {int(np.isinf(voxels).sum())} infinite voxels")
    if not np.isfinite(voxels).any():
        raise ValuesError(f"{path} has no voxel with a value")
    if voxels.ndim not in (3, 4):
        raise LayoutError(f"{path} has {voxels.ndim} dimensions, three or four are needed")
    geometry = _geometry(path, image, frame_of_reference)
    stack = voxels if voxels.ndim == 4 else voxels[..., np.newaxis]
    return [Volume(stack[..., i].transpose(2, 1, 0), geometry) for i in range(stack.shape[-1])]


def read_volume(path: Path, frame_of_reference: str = "") -> Volume:
    """Read a file that holds one volume; see `read_volumes`.

    Raises
    ------
    LayoutError
        As `read_volumes`, and if there are several volumes.
    """
    volumes = read_volumes(path, frame_of_reference)
    if len(volumes) != 1:
        raise LayoutError(f"{path} has {len(volumes)} volumes, one is expected")
    return volumes[0]


def _geometry(path: Path, image: nib.Nifti1Image, frame_of_reference: str) -> Geometry:
    shape = (image.shape[2], image.shape[1], image.shape[0])
    affine = (LPS_TO_RAS @ _affine(path, image))[:, [2, 1, 0, 3]]
    try:
        rounded = Geometry(affine, shape, frame_of_reference)
    except GeometryError as exc:
        raise LayoutError(f"{path}: {exc}") from exc
    # Headers hold seven digits: axes that were perpendicular are so again, else the network's
    # grid may get a slice beyond the last one.
    left, _, right = np.linalg.svd(rounded.axes)
    return Geometry.from_components(
        origin=rounded.origin,
        axes=left @ right,
        spacing=rounded.spacing,
        shape=shape,
        frame_of_reference_uid=frame_of_reference,
    )


def _affine(path: Path, image: nib.Nifti1Image) -> npt.NDArray[np.float64]:
    """Return (i, j, k) -> RAS mm; refuse a header that says nothing or two things."""
    (sform, has_sform), (qform, has_qform) = (
        (affine, int(code) > 0)
        for affine, code in (image.get_sform(coded=True), image.get_qform(coded=True))
    )
    if not (has_sform or has_qform):
        raise LayoutError(
            f"{path} does not say where its voxels lie: the codes of sform and qform are 0"
        )
    if has_sform and has_qform:
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in image.shape[:3]])).reshape(3, -1)
        apart = (sform - qform) @ np.vstack([corners, np.ones(corners.shape[1])])
        if np.abs(apart).max() > AFFINE_TOLERANCE_MM:
            raise LayoutError(
                f"{path}: sform and qform place voxels {np.abs(apart).max():.2f} mm apart; "
                "delete the wrong one (its code is 0 then)"
            )
    return np.asarray(sform if has_sform else qform, np.float64)


def write_volume(volume: Volume, path: Path) -> Path:
    """Write a volume as float32, a mask as uint8; the same volume gives the same bytes."""
    kind = np.uint8 if volume.voxels.dtype == bool else np.float32
    image = nib.Nifti1Image(volume.voxels.transpose(2, 1, 0).astype(kind), None)
    affine = nifti_affine(volume.geometry)
    image.set_sform(affine, code=_SCANNER_SPACE)
    image.set_qform(affine, code=_SCANNER_SPACE)
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
    return path


def stem_of(path: Path) -> str:
    """Return the name without ``.nii`` or ``.nii.gz``."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def read_sidecar(path: Path) -> Mapping[str, Any]:
    """Read the JSON file beside an image; empty if there is none.

    Raises
    ------
    LayoutError
        If it is no JSON object.
    """
    file = path.with_name(f"{stem_of(path)}.json")
    if not file.exists():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as exc:
        raise LayoutError(f"{file} is no JSON object: {exc}") from exc
