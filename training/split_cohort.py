"""Split a data set by patient: ``python -m training.split_cohort BIDS_ROOT --out split.json ...``.

All examinations of a patient are in one part. Every part has patients of every centre in the same
shares; whole centres can be held out besides, as the part ``test-centres``: a network is asked
there what it has learnt for hospitals that it has not seen.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.domain.errors import ThrombolensError
from training.bids_layout import examinations
from training.bids_participants import centres
from training.cohort_errors import SplitError
from training.simulate.asked import names_of
from training.simulate.streams import stream

TRAIN, VALIDATION, TEST, TEST_CENTRES = "train", "validation", "test", "test-centres"


@dataclass(frozen=True)
class Shares:
    """Which part of the patients goes where; the rest is for training.

    Attributes
    ----------
    validation, test : float
        0 or more, and less than 1 together. They count among the centres that are not held out.
    test_centres : tuple of str
        Centres that are held out.
    """

    validation: float
    test: float
    test_centres: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise SplitError(
                f"shares must be 0 or more and below 1 together, got validation {self.validation:g}"
                f" and test {self.test:g}"
            )


def split(centre_of: Mapping[str, str], shares: Shares, seed: int) -> dict[str, list[str]]:
    """Return the patients of every part; the same arguments give the same split.

    Parameters
    ----------
    centre_of : mapping of str to str
        Centre of every patient.
    shares : Shares
    seed : int

    Raises
    ------
    SplitError
        If a centre that is held out does not exist, or a part would be empty.
    """
    unknown = sorted(set(shares.test_centres) - set(centre_of.values()))
    if unknown:
        known = ", ".join(sorted(set(centre_of.values())))
        raise SplitError(f"there is no centre {unknown[0]!r}; known are {known}")
    held_out = sorted(who for who, centre in centre_of.items() if centre in shares.test_centres)
    rest = _shuffled_by_centre(centre_of, set(centre_of) - set(held_out), seed)
    total = len(rest)
    parts = {TEST_CENTRES: held_out}
    for name, share in ((TEST, shares.test), (VALIDATION, shares.validation)):
        count = max(1, round(share * total)) if share > 0 else 0
        if count and count >= len(rest):
            raise SplitError(
                f"{total} patients are too few for a {name} part of {share:g} beside the others"
            )
        chosen = _evenly(rest, count, seed, name)
        rest = [who for who in rest if who not in chosen]
        parts[name] = sorted(chosen)
    if not rest:
        raise SplitError("every patient is of a centre that is held out: none is left for training")
    return {TRAIN: sorted(rest), **{name: parts[name] for name in (VALIDATION, TEST, TEST_CENTRES)}}


def _shuffled_by_centre(centre_of: Mapping[str, str], among: set[str], seed: int) -> list[str]:
    """Return patients by centre, in random order inside each."""
    ordered = []
    for centre in sorted({centre_of[who] for who in among}):
        members = sorted(who for who in among if centre_of[who] == centre)
        order = stream(seed, "split", centre).permutation(len(members))
        ordered += [members[index] for index in order]
    return ordered


def _evenly(ordered: Sequence[str], count: int, seed: int, name: str) -> set[str]:
    """Choose every n-th of a list: of each run of it, such as a centre, the same share."""
    start = stream(seed, "split", name).random()
    return {ordered[int((place + start) * len(ordered) / count)] for place in range(count)}


def read_part(path: Path, part: str, subjects: Iterable[str]) -> frozenset[str]:
    """Return the patients of a part of a split that was written.

    Parameters
    ----------
    path : Path
    part : str
    subjects : iterable of str
        All patients of the data set: each must be in the split.

    Raises
    ------
    SplitError
        If there is no such part, or a patient is in none.
    """
    try:
        parts = dict(json.loads(path.read_text(encoding="utf-8"))["parts"])
    except (ValueError, KeyError, TypeError) as exc:
        raise SplitError(f"{path} is no split: write it with training.split_cohort") from exc
    if part not in parts:
        raise SplitError(f"{path} has no part {part!r}; it has {', '.join(parts)}")
    placed = {who for members in parts.values() for who in members}
    missing = sorted(set(subjects) - placed)
    if missing:
        raise SplitError(
            f"{path} does not know {len(missing)} patients of the data set, such as {missing[0]}:"
            " split again"
        )
    return frozenset(parts[part])


def main(
    root: Annotated[Path, typer.Argument(help="BIDS data set.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="JSON file to write.", dir_okay=False)],
    validation: Annotated[float, typer.Option(help="Share of the patients.")] = 0.15,
    test: Annotated[float, typer.Option(help="Share of the patients.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    test_centres: Annotated[str, typer.Option(help="Centres to hold out, such as X,Y.")] = "",
) -> None:
    """Say which patient is in which part of a data set."""
    names = names_of(test_centres)
    try:
        centre_of = centres(root, [exam.subject for exam in examinations(root)])
        parts = split(centre_of, Shares(validation, test, names), seed)
    except ThrombolensError as exc:
        raise typer.BadParameter(str(exc)) from exc
    document = {
        "seed": seed,
        "validation": validation,
        "test": test,
        "test_centres": list(names),
        "parts": parts,
        "centres": centre_of,
    }
    out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    counts = ", ".join(f"{name} {len(members)}" for name, members in parts.items())
    Console(stderr=True).print(f"{out}: {counts}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
