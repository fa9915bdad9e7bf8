"""Prepare a cohort of one's own: ``python -m training.prepare_cohort BIDS_ROOT --label svs ...``.

Every examination becomes one case as the network sees it, by the service's own preprocessing.
Complete cases are kept, so that it can be started again; docs/own-cohort.md tells the whole way.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from service.domain.errors import ThrombolensError
from service.domain.model_spec import InputSpec
from training.bids_cohort import Reading, prepare_examination
from training.bids_layout import Examination, LabelName, check_label, examinations
from training.bids_participants import centres
from training.cohort_errors import SplitError
from training.dataset import save
from training.origin import OriginError, note_origin
from training.split_cohort import read_part

# Beside the cases of a cohort: how they were made.
ORIGIN = Path("cohort.json")


def make_case(exam: Examination, centre: str, reading: Reading, folder: Path) -> None:
    """Prepare and save one case, unless it is there already."""
    if not folder.exists():
        save(prepare_examination(exam, centre, reading, InputSpec()), folder)


def prepare_all(
    wanted: Mapping[Examination, str], reading: Reading, out: Path, processes: int
) -> dict[str, str]:
    """Prepare examinations of known centres in parallel, with a progress bar.

    Returns
    -------
    dict
        What failed and why, by the name of the examination; the others are there.
    """
    failed = {}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        names: dict[Future[None], str] = {
            pool.submit(make_case, exam, centre, reading, out / exam.name): exam.name
            for exam, centre in wanted.items()
        }
        for future in track(as_completed(names), "preparing", total=len(names)):
            try:
                future.result()
            except ThrombolensError as exc:
                failed[names[future]] = f"{exc.code}: {exc}"
    return failed


def selected(exams: Sequence[Examination], split: Path | None, part: str) -> list[Examination]:
    """Return the examinations of a part of a split; all of them without a split.

    Raises
    ------
    CohortError
        If the split does not have the part or nobody in it, or not all patients of the data set.
    """
    if split is None:
        return list(exams)
    subjects = read_part(split, part, [exam.subject for exam in exams])
    if not subjects:
        raise SplitError(f"the part {part!r} of {split} has no patients")
    return [exam for exam in exams if exam.subject in subjects]


# Each argument is one option of the command.
def main(  # noqa: PLR0913
    *,
    root: Annotated[Path, typer.Argument(help="BIDS data set.", exists=True, file_okay=False)],
    label: Annotated[str, typer.Option(help="Masks *_desc-LABEL_mask: what is to be found.")],
    out: Annotated[Path, typer.Option(help="Folder of the cohort.", file_okay=False)],
    split: Annotated[
        Path | None, typer.Option(help="JSON of training.split_cohort.", exists=True)
    ] = None,
    part: Annotated[str, typer.Option(help="Which part of the split.")] = "train",
    label_source: Annotated[
        str, typer.Option(help="Folder below derivatives; any if not given.")
    ] = "",
    centre: Annotated[str, typer.Option(help="Centre of all; else of participants.tsv.")] = "",
    exclude: Annotated[
        list[str] | None, typer.Option(help="Pattern of file names to leave out; repeatable.")
    ] = None,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="No mask means that there is nothing to find.")
    ] = False,
    resample_label: Annotated[
        bool, typer.Option("--resample-label", help="Masks may lie on another grid.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
) -> None:
    """Write a prepared case of every examination under OUT; complete ones are kept."""
    reading = Reading(
        LabelName(label, label_source), allow_empty, resample_label, tuple(exclude or ())
    )
    console = Console(stderr=True)
    try:
        exams = selected(examinations(root), split, part)
        check_label(exams, reading.label)
        centre_of = centres(root, [exam.subject for exam in exams], centre)
        note_origin(out, ORIGIN, _origin(root, reading, None if split is None else (part, exams)))
    except (ThrombolensError, OriginError) as exc:
        raise typer.BadParameter(str(exc)) from exc
    wanted = {exam: centre_of[exam.subject] for exam in exams}
    failed = prepare_all(wanted, reading, out, processes)
    for name, reason in sorted(failed.items()):
        console.print(f"{name} failed: {reason}", markup=False, soft_wrap=True)
    told = f"{out}: {len(wanted) - len(failed)} cases are there, {len(failed)} failed"
    console.print(told, markup=False, soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


def _origin(
    root: Path, reading: Reading, chosen: tuple[str, Sequence[Examination]] | None
) -> dict[str, object]:
    """Return what decides which cases are in a cohort and what is in them, as JSON holds it."""
    return {
        "data set": str(root.resolve()),
        "label": reading.label.label,
        "label source": reading.label.source,
        "allow empty": reading.allow_empty,
        "resample label": reading.resample_label,
        "excluded": list(reading.excluded),
        "part": None if chosen is None else chosen[0],
        "subjects": None if chosen is None else sorted({exam.subject for exam in chosen[1]}),
    }


if __name__ == "__main__":
    typer.run(main)
