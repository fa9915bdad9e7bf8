"""A study as a folder of DICOM files: header facts for everyone, data sets for those who need them.

Every file is read once to check it and to take its facts; pixels are read again, one series at a
time, when a volume is assembled. File names mean nothing.
"""

import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self

from pydicom.dataset import Dataset

from service.adapters.instance_files import InstanceFile, read_dataset, read_instance
from service.domain.errors import (
    InputError,
    LimitExceededError,
    MixedStudiesError,
    NoMagneticResonanceError,
    NotDicomError,
    TruncatedFileError,
)
from service.domain.study import FactValue, SeriesFacts, StudyFacts


@dataclass(frozen=True)
class ReadLimits:
    """What is read of a folder at most.

    Attributes
    ----------
    max_slices : int
        Most image planes that are accepted.
    max_file_bytes : int
        Largest file that is read, once inflated.
    max_pixels : int
        Most pixels that all planes may have together; compressed ones take no room in a file.
    """

    max_slices: int
    max_file_bytes: int = sys.maxsize
    max_pixels: int = sys.maxsize


@dataclass(frozen=True)
class FolderContents:
    """What the files below a folder are.

    Attributes
    ----------
    instances : tuple of InstanceFile
        Those that end early are among them if their header is whole.
    ignored_files : int
        Files that hold no DICOM instance.
    damages : tuple of InputError
        One for each file that cannot be used.
    """

    instances: tuple[InstanceFile, ...]
    ignored_files: int
    damages: tuple[InputError, ...]

    def check_whole(self) -> None:
        """Raise the first damage; of truncated files, say how many there are."""
        truncated = [each for each in self.damages if isinstance(each, TruncatedFileError)]
        for damage in self.damages:
            if damage not in truncated:
                raise damage
        if truncated:
            raise TruncatedFileError(f"{len(truncated)} truncated files; the first: {truncated[0]}")

    def check_one_study(self) -> None:
        """Raise unless all instances are of one study of one patient, with an MR image."""
        found = self.instances
        if not found:
            raise NotDicomError(f"none of {self.ignored_files} files is a DICOM instance")
        studies = {instance.study_instance_uid for instance in found}
        patients = {instance.patient_id for instance in found} - {None}
        if len(studies) > 1 or len(patients) > 1:
            raise MixedStudiesError(
                f"the files are of {len(studies)} studies and {len(patients)} patients, not of one"
            )
        if not any(instance.is_mr_image for instance in found):
            raise NoMagneticResonanceError(f"{len(found)} DICOM files, no MR image among them")


def read_folder(folder: Path, limits: ReadLimits, *, headers_only: bool = False) -> FolderContents:
    """Read all files below a folder; see `StudyFolder.read` and `read_instance`.

    Raises
    ------
    LimitExceededError
        If there are more planes, more pixels, or more bytes in one file, than allowed.
    """
    found: list[InstanceFile] = []
    damages: list[InputError] = []
    ignored = planes = pixels = 0
    for path in _files(folder):
        instance, damage = _read_file(path, limits, headers_only)
        if damage is not None:
            damages.append(damage)
        if instance is None:
            ignored += damage is None
            continue
        found.append(instance)
        planes += len(instance.planes)
        if planes > limits.max_slices:
            raise LimitExceededError(f"the study has more than {limits.max_slices} image planes")
        pixels += sum(plane.rows * plane.columns for plane in instance.planes)
        if pixels > limits.max_pixels:
            raise LimitExceededError(f"the study has more than {limits.max_pixels} pixels")
    return FolderContents(tuple(found), ignored, tuple(damages))


def _read_file(
    path: Path, limits: ReadLimits, headers_only: bool
) -> tuple[InstanceFile | None, InputError | None]:
    """Return what can be read of a file, and what is wrong with it."""
    read = partial(read_instance, path, max_bytes=limits.max_file_bytes)
    try:
        return read(headers_only=headers_only), None
    except LimitExceededError:
        raise
    except InputError as damage:
        try:
            instance = read(headers_only=True)
            return instance and replace(instance, is_whole=False), damage
        except InputError:
            return None, damage


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


@dataclass(frozen=True)
class StudyFolder:
    """One study in a folder.

    Attributes
    ----------
    facts : StudyFacts
        Header facts of all series. Results of this service are among them, marked, but do not
        count for the digest: a study that holds its own results is still the same input.
    conflicting_duplicates : int
        How many of the instances that came more than once came with different contents. The copy
        with the smallest digest is used, whatever its name.
    """

    facts: StudyFacts
    conflicting_duplicates: int
    _paths: Mapping[str, tuple[Path, ...]] = field(repr=False)

    @classmethod
    def read(
        cls,
        folder: Path,
        *,
        max_slices: int,
        max_file_bytes: int = sys.maxsize,
        max_pixels: int = sys.maxsize,
    ) -> Self:
        """Read all files below a folder.

        Parameters
        ----------
        folder : Path
            Searched with all its sub-folders; symbolic links are not followed.
        max_slices : int
            Most image planes that are accepted.
        max_file_bytes : int, optional
            Largest file that is read, once inflated.
        max_pixels : int, optional
            Most pixels that all planes may have together; compressed ones take no room in a file.

        Raises
        ------
        NotDicomError
            If no file is DICOM.
        NoMagneticResonanceError
            If there is DICOM but no MR image.
        MixedStudiesError
            If the files are of more than one patient or study.
        TruncatedFileError
            If files end before their data do; says how many and which is the first.
        LimitExceededError
            If there are more planes, more pixels, or more bytes in one file, than allowed.
        InputError
            If the header of a file is damaged.
        """
        limits = ReadLimits(max_slices, max_file_bytes, max_pixels)
        contents = read_folder(folder, limits)
        contents.check_whole()
        contents.check_one_study()
        return cls.of(contents.instances, contents.ignored_files)

    @classmethod
    def of(cls, found: Sequence[InstanceFile], ignored_files: int = 0) -> Self:
        """Return the study that these instances make; at least one, and all of one study."""
        unique, conflicts = _without_duplicates(found)
        by_series = _by_series(unique)
        facts = StudyFacts(
            study_instance_uid=found[0].study_instance_uid,
            series=tuple(_series_facts(members) for members in by_series.values()),
            input_digest=_input_digest(unique),
            ignored_files=ignored_files,
            duplicate_instances=len(found) - len(unique),
        )
        paths = {uid: tuple(member.path for member in of) for uid, of in by_series.items()}
        return cls(facts, conflicts, paths)

    def datasets(self, series_instance_uid: str) -> list[Dataset]:
        """Read all instances of one series with their pixels, in the order of the facts.

        Raises
        ------
        KeyError
            If the study has no such series.
        """
        return [read_dataset(path) for path in self._paths[series_instance_uid]]


@dataclass(frozen=True)
class StudyCatalogue:
    """All studies below a folder, for a look at what is there.

    Attributes
    ----------
    studies : tuple of StudyFolder
        By Study Instance UID; none if no file is DICOM.
    damaged_files : tuple of str
        What is wrong with each file that cannot be used. One whose header can be read counts as
        an instance all the same.
    """

    studies: tuple[StudyFolder, ...]
    ignored_files: int
    damaged_files: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path, limits: ReadLimits, *, headers_only: bool = False) -> Self:
        """Read all files below a folder, of any number of studies, with or without images.

        Raises
        ------
        LimitExceededError
            If there are more planes, more pixels, or more bytes in one file, than allowed.
        """
        contents = read_folder(folder, limits, headers_only=headers_only)
        studies: dict[str, list[InstanceFile]] = defaultdict(list)
        for instance in contents.instances:
            studies[instance.study_instance_uid].append(instance)
        return cls(
            studies=tuple(StudyFolder.of(members) for _, members in sorted(studies.items())),
            ignored_files=contents.ignored_files,
            damaged_files=tuple(str(damage) for damage in contents.damages),
        )


def _without_duplicates(found: Iterable[InstanceFile]) -> tuple[list[InstanceFile], int]:
    """Return one copy of each instance, a whole one if any, and how many copies differed."""
    copies: dict[str, list[InstanceFile]] = defaultdict(list)
    for instance in found:
        copies[instance.sop_instance_uid].append(instance)
    unique = [
        min(same, key=lambda copy: (not copy.is_whole, copy.digest))
        for _, same in sorted(copies.items())
    ]
    conflicts = sum(len({copy.digest for copy in same}) - 1 for same in copies.values())
    return unique, conflicts


def _input_digest(instances: Iterable[InstanceFile]) -> str:
    digest = hashlib.sha256()
    for instance in instances:
        if not instance.is_own_output:
            digest.update(f"{instance.sop_instance_uid} {instance.digest}\n".encode())
    return digest.hexdigest()


def _by_series(instances: Iterable[InstanceFile]) -> dict[str, list[InstanceFile]]:
    """Group by series, in the order of series numbers; members in the order of instance numbers."""
    groups: dict[str, list[InstanceFile]] = defaultdict(list)
    for instance in sorted(instances, key=lambda each: _number(each, "InstanceNumber")):
        groups[instance.series_instance_uid].append(instance)
    return dict(
        sorted(groups.items(), key=lambda item: (_number(item[1][0], "SeriesNumber"), item[0]))
    )


def _number(instance: InstanceFile, keyword: str) -> float:
    """Return a number of the header; infinity, to sort last, where there is none."""
    value = instance.facts.get(keyword)
    return float(value) if isinstance(value, int | float) else float("inf")


def _series_facts(members: list[InstanceFile]) -> SeriesFacts:
    first = members[0].facts
    planes = tuple(plane for member in members for plane in member.planes)
    carriers = [plane.attributes for plane in planes] or [member.facts for member in members]
    number = first.get("SeriesNumber")
    return SeriesFacts(
        series_instance_uid=members[0].series_instance_uid,
        series_number=number if isinstance(number, int) else None,
        description=str(first.get("SeriesDescription", "")),
        modality=str(first.get("Modality", "")),
        sop_class_uid=str(first.get("SOPClassUID", "")),
        frame_of_reference_uid=str(first.get("FrameOfReferenceUID", "")),
        planes=planes,
        attributes=_shared(carriers),
        instance_count=len(members),
    )


def _shared(carriers: list[Mapping[str, FactValue]]) -> dict[str, FactValue]:
    """Return the facts that are the same in all."""
    others = carriers[1:]
    return {
        key: value
        for key, value in carriers[0].items()
        if all(other.get(key) == value for other in others)
    }
