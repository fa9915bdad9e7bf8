"""Masks that people drew, copied to the examinations of a BIDS data set that they belong to."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.bids_cohort import read_mask
from training.bids_layout import DERIVATIVES, Examination
from training.cohort_errors import CohortError, LabelError
from training.nifti_volumes import stem_of, write_volume

SOURCE = "manual"
_NAME = re.compile(r"(?P<key>.+)_(?P<label>[0-9A-Za-z]+)")


@dataclass(frozen=True)
class LabelFile:
    """A mask and what its name says.

    Attributes
    ----------
    key : str
        Study Instance UID, ``sub-NAME`` or ``sub-NAME_ses-NAME``.
    label : str
        What it outlines.
    """

    path: Path
    key: str
    label: str


def find_labels(folder: Path) -> list[LabelFile]:
    """Return the masks below a folder.

    Raises
    ------
    LabelError
        If there is none, or one whose name has no label.
    """
    paths = sorted((*folder.rglob("*.nii"), *folder.rglob("*.nii.gz")))
    found: list[LabelFile] = []
    for path in paths:
        named = _NAME.fullmatch(stem_of(path))
        if named is None:
            raise LabelError(
                f"mask {len(found) + 1} of {folder} is not named KEY_LABEL.nii.gz, such as"
                " 1.2.840.1_svs.nii.gz: a study UID or a subject, then the label"
            )
        found.append(LabelFile(path, named["key"], named["label"]))
    if not found:
        raise LabelError(f"{folder} has no mask (.nii or .nii.gz)")
    return found


def copy_labels(masks: Sequence[LabelFile], exam_of: Mapping[str, Examination]) -> int:
    """Copy masks to ``derivatives/manual`` and return how many fit no examination.

    Only voxels and grid are copied: headers of NIfTI have room for names of patients.

    Parameters
    ----------
    masks : sequence of LabelFile
    exam_of : mapping of str to Examination
        By Study Instance UID.

    Raises
    ------
    LabelError
        If a mask fits several examinations, or is no mask.
    """
    unused = 0
    for mask in masks:
        fitting = [
            exam
            for uid, exam in exam_of.items()
            if mask.key in (uid, exam.name) or mask.key == exam.subject
        ]
        if len(fitting) > 1:
            raise LabelError(
                f"{fitting[0].subject} has {len(fitting)} sessions: name its mask of"
                f" {mask.label!r} by the study UID or {fitting[0].name}"
            )
        if fitting:
            _copy(mask, fitting[0])
        unused += not fitting
    return unused


def _copy(mask: LabelFile, exam: Examination) -> None:
    source = exam.root / DERIVATIVES / SOURCE
    name = f"{exam.name}_desc-{mask.label}_mask.nii.gz"
    try:
        voxels = read_mask(mask.path)
    except CohortError as exc:
        # The name of the file, and of its folder, may be those of a patient: they stay unsaid.
        raise LabelError(
            f"the mask of {mask.label!r} for {exam.name} cannot be used ({exc.code})"
        ) from None
    write_volume(voxels, source / exam.place / "anat" / name)
    description = {"Name": "Masks", "BIDSVersion": "1.10.0", "DatasetType": "derivative"}
    (source / "dataset_description.json").write_text(
        json.dumps(description, indent=2) + "\n", encoding="utf-8"
    )
