"""Import DICOM studies: ``python -m training.import_dicom DICOM_ROOT --out BIDS_ROOT ...``.

The service's own detector says which series plays which role; only these are converted. No name
and no identifier of a patient gets into the data set or to the screen.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from service.adapters.instance_files import InstanceFile, read_instance
from service.adapters.override_files import read_overrides
from service.adapters.study_files import StudyFolder
from service.domain.errors import InputError, MixedStudiesError, ThrombolensError
from service.domain.override import SiteOverride
from training.bids_layout import Examination
from training.bids_participants import PARTICIPANTS, write_participants
from training.cohort_errors import CohortError, ConversionError, LayoutError
from training.import_labels import copy_labels, find_labels
from training.import_study import NoReferenceError, import_study, write_description
from training.pseudonyms import Pseudonyms


@dataclass(frozen=True)
class Names:
    """A study of the archive and its names in the data set; shown nowhere."""

    exam: Examination
    study_instance_uid: str = field(repr=False)
    patient_id: str = field(repr=False)


@dataclass
class Outcome:
    """What became of the studies so far.

    Attributes
    ----------
    names : list of Names
        Of those that are in the data set.
    failed, unusable : dict
        Why not, by the name of the session: what somebody can repair, and what has nothing to
        train on.
    damaged : int
        Files that cannot be read.
    """

    names: list[Names] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    damaged: int = 0


@dataclass(frozen=True)
class Order:
    """How studies are imported.

    Attributes
    ----------
    out : Path
        Root of the BIDS data set.
    centre : str
        Where all of them come from; empty if that is not to be noted.
    overrides : tuple of SiteOverride
        What the site knows better about its series.
    """

    out: Path
    pseudonyms: Pseudonyms
    centre: str = ""
    overrides: tuple[SiteOverride, ...] = ()


def import_all(root: Path, order: Order) -> Outcome:
    """Import every study below a folder, with a progress bar; those there already are kept.

    A study that fails leaves the others alone.
    """
    outcome = Outcome()
    write_description(order.out)
    studies, outcome.damaged = find_studies(root)
    for uid, paths in track(sorted(studies.items()), "importing"):
        _import_one(uid, paths, order, outcome)
    if order.centre and outcome.names:
        centre_of = {names.exam.subject: order.centre for names in outcome.names}
        write_participants(order.out / PARTICIPANTS, centre_of)
    return outcome


def find_studies(root: Path) -> tuple[dict[str, list[Path]], int]:
    """Return the files of every study, wherever they lie, and how many are damaged."""
    studies: dict[str, list[Path]] = defaultdict(list)
    damaged = 0
    paths = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    for path in track(paths, "looking"):
        try:
            instance = read_instance(path, max_bytes=sys.maxsize, headers_only=True)
        except InputError:
            damaged += 1
            continue
        if instance is not None:
            studies[instance.study_instance_uid].append(path)
    return dict(studies), damaged


def _import_one(uid: str, paths: Sequence[Path], order: Order, outcome: Outcome) -> None:
    session = order.pseudonyms.session(uid)
    try:
        members = _read(paths)
        patient = _patient_id(members)
        subject = order.pseudonyms.subject(patient or uid, order.centre)
        names = Names(Examination(order.out, subject, session), uid, patient)
        if not (order.out / names.exam.place).exists():
            _convert(StudyFolder.of(members), names.exam, order)
        outcome.names.append(names)
    except NoReferenceError as exc:
        outcome.unusable[session] = str(exc)
    except ThrombolensError as exc:
        outcome.failed[session] = f"{exc.code}: {exc}"


def _convert(study: StudyFolder, exam: Examination, order: Order) -> None:
    """Import a study; say nothing that names its instances.

    Raises
    ------
    CohortError
        As ``import_study``, and where the service cannot read the study.
    """
    try:
        import_study(study, exam, order.overrides)
    except CohortError:
        raise
    except ThrombolensError as exc:
        raise ConversionError(f"the service cannot read the study: {exc.code}") from None


def _read(paths: Sequence[Path]) -> list[InstanceFile]:
    """Read all instances of a study; the service would refuse one with damaged files as well.

    Raises
    ------
    InputError
        If a file is damaged. Names none of them: names of files may be those of patients.
    """
    found, damages = [], []
    for path in paths:
        try:
            found.append(read_instance(path, max_bytes=sys.maxsize))
        except InputError as exc:
            damages.append(exc)
    if damages:
        raise InputError(
            f"{len(damages)} of the {len(paths)} files of the study are damaged"
            f" ({', '.join(sorted({damage.code for damage in damages}))})"
        )
    return [instance for instance in found if instance is not None]


def _patient_id(members: Sequence[InstanceFile]) -> str:
    """Return the identifier that all instances share; empty where there is none.

    Raises
    ------
    MixedStudiesError
        If the study is of different patients.
    """
    found = {member.patient_id or "" for member in members} - {""}
    if len(found) > 1:
        raise MixedStudiesError(f"the files of a study are of {len(found)} patients, not of one")
    return found.pop() if found else ""


def write_mapping(path: Path, names: Sequence[Names]) -> Path:
    """Write which patient and study is which; whoever has this file knows the patients.

    Rows of earlier imports are kept.
    """
    head = "\t".join(("participant_id", "session", "study_instance_uid", "patient_id"))
    earlier = path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else []
    rows = {
        "\t".join((each.exam.subject, each.exam.session, each.study_instance_uid, each.patient_id))
        for each in names
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o600)
    path.write_text("\n".join([head, *sorted(rows | set(earlier))]) + "\n", encoding="utf-8")
    return path


# Each argument is one option of the command.
def main(  # noqa: PLR0913
    *,
    root: Annotated[
        Path,
        typer.Argument(help="Folder of studies, or of patients.", exists=True, file_okay=False),
    ],
    out: Annotated[Path, typer.Option(help="BIDS data set to write.", file_okay=False)],
    labels: Annotated[
        Path | None,
        typer.Option(help="Masks named STUDYUID_LABEL.nii.gz or sub-NAME_LABEL.nii.gz."),
    ] = None,
    centre: Annotated[str, typer.Option(help="Where the studies come from.")] = "",
    key: Annotated[
        Path | None, typer.Option(help="Secret key of the names; OUT.key if not given.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="Table of who is who to write, outside OUT.")
    ] = None,
    overrides: Annotated[
        Path | None, typer.Option(help="YAML of what the site knows better about its series.")
    ] = None,
) -> None:
    """Write the series of DICOM studies that a network can use as a BIDS data set."""
    console = Console(stderr=True)
    tell = partial(console.print, markup=False, soft_wrap=True)
    key = key or out.with_name(f"{out.name}.key")
    try:
        _check_outside(out, {"--mapping": mapping, "--key": key})
        masks = [] if labels is None else find_labels(labels)
        known = () if overrides is None else read_overrides(overrides)
        order = Order(out, Pseudonyms.of_file(key), centre, known)
        outcome = import_all(root, order)
        if mapping is not None:
            write_mapping(mapping, outcome.names)
        known_as = {names.study_instance_uid: names.exam for names in outcome.names}
        unused = copy_labels(masks, known_as)
    except ThrombolensError as exc:
        raise typer.BadParameter(str(exc)) from exc
    for line in _lines(outcome):
        tell(line)
    if unused:
        tell(f"{unused} of {len(masks)} masks fit no study that was imported")
    tell(f"{out}: {len(outcome.names)} studies are there, {len(outcome.failed)} failed")
    raise typer.Exit(1 if outcome.failed or unused else 0)


def _lines(outcome: Outcome) -> Iterator[str]:
    """Return what to tell of studies that are not in the data set."""
    for session, reason in sorted(outcome.unusable.items()):
        yield f"{session} left out: {reason}"
    for session, reason in sorted(outcome.failed.items()):
        yield f"{session} failed: {reason}"
    if outcome.damaged:
        yield f"{outcome.damaged} files are damaged"


def _check_outside(out: Path, paths: Mapping[str, Path | None]) -> None:
    """Refuse to write what tells who is who into the data set.

    Raises
    ------
    LayoutError
        Names the option.
    """
    for option, path in paths.items():
        if path is not None and path.resolve().is_relative_to(out.resolve()):
            raise LayoutError(f"{option} {path} must lie outside the data set {out}")


if __name__ == "__main__":
    typer.run(main)
