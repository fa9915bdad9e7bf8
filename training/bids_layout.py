"""Which files of a BIDS data set belong to an examination, and what each is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from service.domain.sequence import Role
from training.cohort_errors import LabelError, LayoutError
from training.nifti_volumes import stem_of

DERIVATIVES = "derivatives"
_DATATYPES = ("anat", "dwi", "swi")
_SUSCEPTIBILITY = ("swi", "t2starw")
# Projections over several slices show other values than the slices themselves.
_PROJECTIONS = frozenset({"mip", "minip"})


@dataclass(frozen=True)
class Examination:
    """All that one visit of a patient left in the data set.

    Attributes
    ----------
    root : Path
        Of the data set.
    subject : str
        With ``sub-``.
    session : str
        With ``ses-``; empty where the data set has no sessions.
    """

    root: Path
    subject: str
    session: str = ""

    @property
    def name(self) -> str:
        """Subject and session, as file names begin."""
        return f"{self.subject}_{self.session}" if self.session else self.subject

    @property
    def place(self) -> Path:
        """Folder of subject and session below the root of a data set."""
        return Path(self.subject, self.session)


@dataclass(frozen=True)
class BidsFile:
    """An image and what its name says: ``sub-1_part-mag_T2starw.nii.gz``.

    Attributes
    ----------
    entities : mapping
        Keys and values, in lower case: ``{"sub": "1", "part": "mag"}``.
    suffix : str
        The last part, in lower case: ``t2starw``.
    """

    path: Path
    entities: Mapping[str, str]
    suffix: str

    @classmethod
    def of(cls, path: Path) -> "BidsFile":
        """Read a name."""
        *pairs, suffix = stem_of(path).lower().split("_")
        entities = {key: value for key, _, value in (pair.partition("-") for pair in pairs)}
        return cls(path, entities, suffix)

    @property
    def is_projection(self) -> bool:
        """Whether this is a minimum or maximum projection."""
        return bool(_PROJECTIONS & {self.suffix, *self.entities.values()})

    @property
    def part(self) -> str:
        """Part of the complex signal; "mag" where the name does not say."""
        return "phase" if self.suffix == "phase" else self.entities.get("part", "mag")


def examinations(root: Path) -> list[Examination]:
    """Return all examinations of a data set, by name.

    Raises
    ------
    LayoutError
        If there is none.
    """
    found = []
    for subject in sorted(path for path in root.glob("sub-*") if path.is_dir()):
        sessions = sorted(path.name for path in subject.glob("ses-*") if path.is_dir())
        found += [Examination(root, subject.name, session) for session in sessions or [""]]
    if not found:
        raise LayoutError(f"{root} is no BIDS data set: it has no folder sub-*")
    return found


def files_of_roles(exam: Examination, excluded: Sequence[str] = ()) -> dict[Role, BidsFile]:
    """Choose the file of every role that the examination has.

    Parameters
    ----------
    exam : Examination
    excluded : sequence of str
        Patterns of file names that are left out, such as ``*_run-2_*``.

    Raises
    ------
    LayoutError
        If several files could play one role.
    """
    files = [file for file in _images(exam) if not _is_excluded(file, excluded)]
    chosen: dict[Role, BidsFile] = {}
    for role in Role:
        ranked = [(rank, file) for file in files if (rank := _rank(role, file)) is not None]
        if role is Role.PHASE:
            ranked = [(_distance(file, chosen.get(Role.SUSC)), file) for _, file in ranked]
        best = min((rank for rank, _ in ranked), default=0)
        candidates = [file for rank, file in ranked if rank == best]
        if len(candidates) > 1:
            names = ", ".join(file.path.name for file in candidates)
            raise LayoutError(
                f"{exam.name}: {len(candidates)} files could be {role}: {names}; leave out all but"
                " one with --exclude"
            )
        if candidates:
            chosen[role] = candidates[0]
    return chosen


def _images(exam: Examination) -> Iterator[BidsFile]:
    for datatype in _DATATYPES:
        yield from _niftis(exam.root / exam.place / datatype)


def _niftis(folder: Path) -> Iterator[BidsFile]:
    for path in sorted((*folder.glob("*.nii"), *folder.glob("*.nii.gz"))):
        yield BidsFile.of(path)


def _is_excluded(file: BidsFile, excluded: Sequence[str]) -> bool:
    return file.is_projection or any(fnmatch(file.path.name, pattern) for pattern in excluded)


def _rank(role: Role, file: BidsFile) -> int | None:
    """Return how far a file is down the list of what can play a role; None if it cannot."""
    wanted: dict[Role, tuple[tuple[str, ...], str]] = {
        Role.SUSC: (_SUSCEPTIBILITY, "mag"),
        Role.PHASE: ((*_SUSCEPTIBILITY, "phase"), "phase"),
        Role.DWI: (("trace", "dwi"), "mag"),
        Role.ADC: (("adc",), "mag"),
        Role.FLAIR: (("flair",), "mag"),
        Role.TOF: (("angio",), "mag"),
    }
    suffixes, part = wanted[role]
    if file.suffix not in suffixes or file.part != part:
        return None
    return suffixes.index(file.suffix)


def _distance(phase: BidsFile, magnitude: BidsFile | None) -> int:
    """Return how many entities and suffixes set a phase apart from the magnitude."""
    if magnitude is None:
        return 0
    mine, other = (
        {*file.entities.items(), ("suffix", file.suffix)} - {("part", file.part)}
        for file in (phase, magnitude)
    )
    return len(mine ^ other)


@dataclass(frozen=True)
class LabelName:
    """Which masks are the label.

    Attributes
    ----------
    label : str
        As in ``*_desc-<label>_mask`` or ``*_label-<label>_mask``.
    source : str
        Folder below ``derivatives``; any if empty.
    """

    label: str
    source: str = ""

    def fits(self, file: BidsFile) -> bool:
        """Whether a file is a mask of this label."""
        named = {file.entities.get("desc"), file.entities.get("label")}
        return file.suffix == "mask" and self.label.lower() in named


def label_file(exam: Examination, name: LabelName) -> Path | None:
    """Return the mask of an examination, None if there is none.

    Raises
    ------
    LabelError
        If there are several.
    """
    found = [file.path for file in _masks(exam, name.source or "*") if name.fits(file)]
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(exam.root)) for path in found)
        raise LabelError(
            f"{exam.name} has {len(found)} masks of {name.label!r}: {names}; choose a source with"
            " --label-source"
        )
    return found[0] if found else None


def check_label(exams: Iterable[Examination], name: LabelName) -> None:
    """Refuse a label that no examination has: its name is misspelt.

    Raises
    ------
    LabelError
        Says which labels there are.
    """
    known: set[str] = set()
    for exam in exams:
        if label_file(exam, name) is not None:
            return
        for file in _masks(exam, name.source or "*"):
            known |= {file.entities[key] for key in ("desc", "label") if key in file.entities}
    raise LabelError(
        f"no examination has a mask of {name.label!r} below {DERIVATIVES}/{name.source or '*'};"
        f" labels there: {', '.join(sorted(known)) or 'none'}"
    )


def _masks(exam: Examination, source: str) -> Iterator[BidsFile]:
    for folder in sorted(exam.root.glob(f"{DERIVATIVES}/{source}")):
        for datatype in _DATATYPES:
            for file in _niftis(folder / exam.place / datatype):
                if file.suffix == "mask":
                    yield file
