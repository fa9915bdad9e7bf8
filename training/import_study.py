"""One DICOM study to the files of one examination in a BIDS data set."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from service.adapters.study_files import StudyFolder
from service.domain.errors import InputError
from service.domain.override import SiteOverride
from service.domain.sequence import Role
from service.domain.study import ClassifiedVolume, DetectedSequences, PlaneFacts, VolumeFacts
from service.domain.volume import Volume
from service.stages.align_volumes import REFERENCE_ORDER
from service.stages.assemble_volume import assemble_volume, geometric_mean
from service.stages.detect_sequences import detect_sequences
from service.stages.plane_traits import b_value
from service.stages.series_pixels import ReadVoxels
from training.bids_cohort import FRAME
from training.bids_layout import Examination
from training.cohort_errors import CohortError
from training.dicom_to_nifti import Converted, convert
from training.nifti_volumes import write_volume

ReadSeries = Callable[[str], list[Dataset]]

# Studies that are being written; one in its own place is complete.
PARTIAL = ".partial"
# Folder and end of the file name of each role: those of the simulator.
PLACES: Mapping[Role, tuple[str, str]] = {
    Role.SUSC: ("anat", "part-mag_T2starw"),
    Role.PHASE: ("anat", "part-phase_T2starw"),
    Role.DWI: ("dwi", "trace"),
    Role.ADC: ("dwi", "ADC"),
    Role.FLAIR: ("anat", "FLAIR"),
    Role.TOF: ("anat", "angio"),
}
# What a sidecar takes from the header, and by what it is divided: BIDS wants seconds.
_TAKEN = {
    "Manufacturer": None,
    "MagneticFieldStrength": 1.0,
    "MRAcquisitionType": None,
    "EchoTime": 1000.0,
    "RepetitionTime": 1000.0,
    "InversionTime": 1000.0,
    "FlipAngle": 1.0,
    "SliceThickness": 1.0,
}


class NoReferenceError(CohortError):
    """The study has nothing to draw a label on."""

    code = "NO_REFERENCE"
    fixed_by = "nobody, unless the detector is wrong: then --overrides"


def import_study(
    study: StudyFolder, exam: Examination, overrides: Sequence[SiteOverride] = ()
) -> None:
    """Convert what plays a role in a study; the examination appears when it is complete.

    Raises
    ------
    NoReferenceError
        If there is neither a susceptibility nor a diffusion series.
    ConversionError
        If a converted series is not what the service would see.
    InputError
        If a series cannot be read.
    """
    read_series = lru_cache(maxsize=1)(study.datasets)
    detected = detect_sequences(
        study.facts, overrides=overrides, read_voxels=_voxel_reader(read_series)
    )
    sources = _sources(detected)
    if not set(REFERENCE_ORDER) & set(sources):
        labels = sorted({each.classification.label.value for each in detected.volumes})
        raise NoReferenceError(
            f"neither a susceptibility nor a diffusion series among {', '.join(labels)}"
        )
    partial = exam.root / PARTIAL / exam.name
    shutil.rmtree(partial, ignore_errors=True)
    try:
        frames: dict[str, str] = {}
        for role, members in sources.items():
            _write_role(role, members, read_series, (exam, partial), frames)
        place = exam.root / exam.place
        place.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(place)
    finally:
        shutil.rmtree(exam.root / PARTIAL, ignore_errors=True)


def write_description(root: Path) -> None:
    """Write what makes a folder a BIDS data set, unless it is there."""
    file = root / "dataset_description.json"
    if not file.exists():
        root.mkdir(parents=True, exist_ok=True)
        _write_json(file, {"Name": "Own cohort", "BIDSVersion": "1.10.0", "DatasetType": "raw"})


def _voxel_reader(read_series: ReadSeries) -> ReadVoxels:
    """Return what reads the voxels of a volume, None where they cannot be read."""

    def read_voxels(volume: VolumeFacts) -> Volume | None:
        try:
            return assemble_volume(volume, read_series(volume.series.series_instance_uid)).volume
        except InputError:
            return None

    return read_voxels


def _sources(detected: DetectedSequences) -> dict[Role, tuple[ClassifiedVolume, ...]]:
    """Return the volumes of every role: one, or those that the role is computed from."""
    single = {role: (found,) for role, found in detected.of_role.items()}
    chosen = {**single, **detected.derived_roles}
    return {role: chosen[role] for role in Role if role in chosen}


def _write_role(
    role: Role,
    members: Sequence[ClassifiedVolume],
    read_series: ReadSeries,
    target: tuple[Examination, Path],
    frames: dict[str, str],
) -> None:
    """Write image and sidecar; ``frames`` numbers frames of reference as they come."""
    exam, folder = target
    parts = [
        convert(each.volume, read_series(each.volume.series.series_instance_uid))
        for each in members
    ]
    volumes = [part.volume for part in parts]
    volume = volumes[0] if len(volumes) == 1 else geometric_mean(volumes)
    uid = volume.geometry.frame_of_reference_uid
    number = frames.setdefault(uid, str(len(frames) + 1)) if uid else ""
    datatype, name = PLACES[role]
    image = folder / datatype / f"{exam.name}_{name}.nii.gz"
    write_volume(volume, image)
    _write_json(
        image.with_name(f"{exam.name}_{name}.json"),
        {**_sidecar(role, members, parts), FRAME: number},
    )


def _sidecar(
    role: Role, members: Sequence[ClassifiedVolume], parts: Sequence[Converted]
) -> dict[str, Any]:
    """Return facts about an image, none about the patient."""
    first, plane = members[0], members[0].volume.planes[0]
    known: dict[str, Any] = {"Modality": "MR", **_header_values(plane)}
    if role is Role.PHASE:
        known["Units"] = "arbitrary"
    if role is Role.DWI:
        known["DiffusionBValue"] = b_value(plane)
    known["SequenceLabel"] = first.classification.label.value
    known["SequenceConfidence"] = round(first.classification.confidence, 4)
    if len(members) > 1:
        known["Derivation"] = f"geometric mean of {len(members)} directional volumes"
    known["ConversionSoftware"] = parts[0].software
    known["ConversionSoftwareVersion"] = parts[0].version
    known["ConversionNote"] = parts[0].note
    return {key: value for key, value in known.items() if value not in (None, "")}


def _header_values(plane: PlaneFacts) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for keyword, divisor in _TAKEN.items():
        value = plane.attributes.get(keyword)
        if divisor is None:
            found[keyword] = value
        elif isinstance(value, int | float):
            found[keyword] = round(value / divisor, 9)
    return found


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
