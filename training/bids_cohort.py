"""Examinations of a BIDS data set as prepared cases: a hospital's own cohort to train on.

The label's name decides what is trained: another small lesion is another mask, no other code.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from service.domain.geometry import Geometry
from service.domain.model_spec import InputSpec
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.align_volumes import align_volumes
from service.stages.assemble_volume import geometric_mean
from service.stages.assign_roles import WANTED_B_VALUE
from service.stages.plane_traits import B0_LIMIT
from service.stages.preprocess import NetworkInput, preprocess
from service.stages.resample import resample_linear
from training.bids_layout import BidsFile, Examination, LabelName, files_of_roles, label_file
from training.cohort_errors import LabelError, LayoutError
from training.dataset import PreparedCase
from training.nifti_units import to_radians, to_square_micrometres
from training.nifti_volumes import read_sidecar, read_volume, read_volumes, stem_of

Mask = npt.NDArray[np.bool_]

# Key of a sidecar: images of one value lie in one frame of reference. Others are registered, as
# the service does it.
FRAME = "FrameOfReference"
# How labels come onto the network's grid; noted with every case.
LABEL_RULE = "half, or the fullest voxels of a lesion that fills none by half"
# b-values of one shell are nominally equal; scanners write what their gradients really gave.
SHELL_TOLERANCE = 50.0
# Corners of grids that have the same voxels; headers keep seven digits.
SAME_PLACE_MM = 0.05


@dataclass(frozen=True)
class Reading:
    """How a data set is read.

    Attributes
    ----------
    label : LabelName
    allow_empty : bool
        An examination without a mask has nothing to find; else it is an error.
    resample_label : bool
        A mask may lie on another grid than the reference sequence; else that is an error.
    excluded : tuple of str
        Patterns of file names that are left out.
    """

    label: LabelName
    allow_empty: bool = False
    resample_label: bool = False
    excluded: tuple[str, ...] = ()


def prepare_examination(
    exam: Examination, centre: str, reading: Reading, spec: InputSpec
) -> PreparedCase:
    """Read an examination and preprocess it as the service does.

    Returns
    -------
    PreparedCase
        ``lumen`` is the label as well: of a real patient nobody knows it.

    Raises
    ------
    CohortError
        Names the file and what is wrong with it.
    InputError
        If there is neither a susceptibility nor a diffusion image, or no head on it.
    """
    files = files_of_roles(exam, reading.excluded)
    volumes = {role: read_role(role, file) for role, file in files.items()}
    alignment = align_volumes(volumes)
    network_input = preprocess(alignment.volumes, alignment.reference_role, spec)
    reference = volumes[alignment.reference_role].geometry
    mask = _read_mask(exam, reading, reference)
    target = np.zeros(network_input.grid.shape, bool)
    if mask is not None:
        target = on_grid(mask, network_input.grid)
        if mask.voxels.any() and not target.any():
            raise LabelError(
                f"{exam.name}: nothing of the {int(mask.voxels.sum())} voxels of its mask of"
                f" {reading.label.label!r} lies near the head"
            )
    origin = _origin(files.values())
    parameters: dict[str, Any] = origin | {
        "site": centre,
        "subject": exam.subject,
        "session": exam.session,
        "seed": seed_of(exam.name),
        "label": reading.label.label,
        "labelled": mask is not None,
        "label_rule": LABEL_RULE,
        "reference": alignment.reference_role.value,
        "files": {role.value: file.path.name for role, file in files.items()},
        # What the archive lacks, in the words of simulated cases: evaluation asks for it.
        "examination": {"lacking": sorted(set(spec.roles) - _present(network_input, spec))},
        "dropped": [role.value for role in alignment.dropped],
    }
    return PreparedCase(network_input, target, target, parameters)


def _origin(files: Iterable[BidsFile]) -> dict[str, Any]:
    """Say that a case is simulated, in the words of simulated cases, if its sidecars do."""
    said = [read_sidecar(file.path).get("Simulated", False) for file in files]
    return {"simulator": "as the sidecars say"} if any(said) else {}


def _present(network_input: NetworkInput, spec: InputSpec) -> set[Role]:
    flags = zip(spec.roles, network_input.presence, strict=True)
    return {role for role, flag in flags if flag}


def seed_of(name: str) -> int:
    """Return a number of an examination, the same wherever and whenever it is asked for."""
    return crc32(name.encode())


def read_role(role: Role, file: BidsFile) -> Volume:
    """Read the volume of a role in the unit that the service has it in.

    Raises
    ------
    CohortError
        Names the file and the value that cannot be.
    """
    sidecar = read_sidecar(file.path)
    frame = str(sidecar.get(FRAME, ""))
    if role is Role.DWI:
        return _weighted(file.path, sidecar, frame)
    volume = read_volume(file.path, frame)
    if role is Role.PHASE:
        return to_radians(volume, sidecar, file.path)
    if role is Role.ADC:
        return to_square_micrometres(volume, sidecar, file.path)
    return volume


def _weighted(path: Path, sidecar: Mapping[str, Any], frame: str) -> Volume:
    """Return the trace image: of several volumes, the mean of the shell that the service takes."""
    volumes = read_volumes(path, frame)
    weightings = _b_values(path, sidecar)
    if not weightings:
        if len(volumes) > 1:
            raise LayoutError(f"{path} has {len(volumes)} volumes and no .bval file beside it")
        # A single volume by this name is the weighted image.
        return volumes[0]
    if len(weightings) != len(volumes):
        raise LayoutError(f"{path} has {len(volumes)} volumes but {len(weightings)} b-values")
    strong = [value for value in weightings if value > B0_LIMIT]
    if not strong:
        raise LayoutError(f"{path} has no diffusion weighting: b-values {weightings} s/mm2")
    shell = min(strong, key=lambda value: (abs(value - WANTED_B_VALUE), -value))
    members = [
        volume
        for volume, value in zip(volumes, weightings, strict=True)
        if value > B0_LIMIT and abs(value - shell) <= SHELL_TOLERANCE
    ]
    return members[0] if len(members) == 1 else geometric_mean(members)


def _b_values(path: Path, sidecar: Mapping[str, Any]) -> Sequence[float]:
    """Return the b-value (s/mm2) of every volume; empty where nothing is said."""
    file = path.with_name(f"{stem_of(path)}.bval")
    if not file.exists():
        said = sidecar.get("DiffusionBValue")
        if isinstance(said, int | float):
            return [float(said)]
        if said is not None:
            raise LayoutError(f"{path}: the sidecar's DiffusionBValue {said!r} is no number")
        return []
    try:
        return [float(word) for word in file.read_text(encoding="ascii").split()]
    except ValueError as exc:
        raise LayoutError(f"{file} holds no b-values: {exc}") from exc


def _read_mask(exam: Examination, reading: Reading, reference: Geometry) -> Volume | None:
    path = label_file(exam, reading.label)
    if path is None:
        if reading.allow_empty:
            return None
        raise LabelError(
            f"{exam.name} has no mask of {reading.label.label!r}; if that means that there is"
            " nothing to find, say --allow-empty"
        )
    mask = read_mask(path)
    if not (reading.resample_label or _same_voxels(mask.geometry, reference)):
        raise LabelError(
            f"{path}: grid {mask.geometry.shape} with voxels of"
            f" {_in_mm(mask.geometry)} mm is not that of the reference sequence,"
            f" {reference.shape} with {_in_mm(reference)} mm; if both lie in the same place of the"
            " patient, say --resample-label"
        )
    return mask


def read_mask(path: Path) -> Volume:
    """Read a mask: 0 and one other value, or 0 alone.

    Raises
    ------
    LabelError
        If there are other values.
    """
    volume = read_volume(path)
    values = np.unique(volume.voxels)
    if len(values) > 2 or values[0] != 0 or not np.isfinite(values).all():
        shown = ", ".join(f"{value:g}" for value in values[:5])
        raise LabelError(f"{path} is no mask: {len(values)} different values, such as {shown}")
    return Volume(volume.voxels > 0, volume.geometry)


def _same_voxels(one: Geometry, other: Geometry) -> bool:
    """Whether two grids have the same voxels, in any order: tools flip and swap axes."""
    first, second = (
        grid.to_lps(np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape])).reshape(3, -1).T)
        for grid in (one, other)
    )
    apart = np.linalg.norm(first[:, np.newaxis] - second, axis=-1).min(axis=1).max()
    return sorted(one.shape) == sorted(other.shape) and bool(apart <= SAME_PLACE_MM)


def _in_mm(geometry: Geometry) -> str:
    return " x ".join(f"{mm:.2f}" for mm in geometry.spacing)


def on_grid(mask: Volume, grid: Geometry) -> Mask:
    """Bring a mask onto the network's grid by `LABEL_RULE`.

    Parameters
    ----------
    mask : Volume
        Boolean, anywhere in the same space.
    grid : Geometry

    Returns
    -------
    bool array (slice, row, column)
        Voxels filled by half or more under linear interpolation. Of a lesion that fills no voxel
        by half, such as a microbleed of one voxel between four, the fullest that together have its
        volume: it would be lost otherwise.
    """
    share = resample_linear(mask, grid, outside=0.0).voxels
    kept = np.asarray(share >= 0.5)
    lesions, count = ndimage.label(share > 0, structure=np.ones((3, 3, 3)))
    boxes = ndimage.find_objects(lesions)
    for number, box in zip(range(1, count + 1), boxes, strict=True):
        own = np.where(lesions[box] == number, share[box], 0.0)
        if own.max() >= 0.5:
            continue
        most = max(1, round(float(own.sum())))
        fullest = np.unravel_index(np.argsort(-own, axis=None, kind="stable")[:most], own.shape)
        kept[box][fullest] |= own[fullest] > 0
    return _with_lost_lesions(kept, mask, grid)


def _with_lost_lesions(kept: Mask, mask: Volume, grid: Geometry) -> Mask:
    """Add the nearest voxel of every lesion so small that it fell between all samples."""
    lesions, count = ndimage.label(mask.voxels, structure=np.ones((3, 3, 3)))
    for number, box in zip(range(1, count + 1), ndimage.find_objects(lesions), strict=True):
        inside = np.argwhere(lesions[box] == number) + [part.start for part in box]
        places = np.rint(grid.to_index(mask.geometry.to_lps(inside))).astype(int)
        places = places[((places >= 0) & (places < grid.shape)).all(axis=1)]
        if len(places) and not ndimage.binary_dilation(kept[_around(places)]).any():
            kept[tuple(places[len(places) // 2])] = True
    return kept


def _around(places: npt.NDArray[np.int64]) -> tuple[slice, slice, slice]:
    """Return the box of some places and their neighbours."""
    low, high = np.maximum(places.min(axis=0) - 1, 0), places.max(axis=0) + 2
    first, second, third = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return first, second, third
