"""Measure a released model on cases made for this: ``python -m training.evaluate_fresh MODEL``.

Simulates cases of seeds that no cohort has, measures the model on them with all sequences and
without those that the archives would lack, and prints the means beside what lies in the model's
folder of the cohorts that it was released with, and over which heads the cases are: those of its
training ask less of a model. OUT keeps the cases and what ``training.evaluate`` writes; started
again, it goes on.
"""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from training.dataset import case_folders
from training.evaluate import EVALUATION, NATURAL, Condition
from training.evaluate import main as evaluate
from training.evaluation_report import MAIN, table
from training.make_cohort import make_cohort
from training.simulate.asked import names_of, told
from training.simulate.examine import Options
from training.simulate.site import load_sites

COHORT = "fresh"
# File of each condition, and what the table calls it.
CONDITIONS: dict[Condition, tuple[str, str]] = {
    "all": (EVALUATION, "all sequences"),
    "natural": (NATURAL, "without those the archives would lack"),
}


def comparison(model: Path, out: Path) -> str:
    """Return a table of what was measured in OUT, and of the same conditions at the release.

    Parameters
    ----------
    model, out : Path
        Folders with documents of ``training.evaluate``; a model may have none.
    """
    rows = {}
    for file, name in CONDITIONS.values():
        fresh = json.loads((out / file).read_text())
        rows[f"fresh, {name}"] = fresh["labels"]["target"]
        if (model / file).exists():
            released = json.loads((model / file).read_text())["breakdown"]["cohort"]
            rows |= {f"{cohort}, {name}": summary for cohort, summary in released.items()}
    return table("cases", rows, MAIN)


def heads_of(cohort: Path) -> str:
    """Return how many cases of a simulated cohort are over which head."""
    documents = (json.loads((folder / "case.json").read_text()) for folder in case_folders(cohort))
    counts = Counter(str(document["parameters"].get("anatomy")) for document in documents)
    return ", ".join(f"{head} {count}" for head, count in sorted(counts.items()))


def main(  # noqa: PLR0913, PLR0917 - one parameter an option
    model: Annotated[Path, typer.Argument(help="Folder models/NAME/VERSION.")],
    count: Annotated[int, typer.Option(min=1)] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the cohort; one that no other has.")] = 900,
    site: Annotated[str, typer.Option(help="Sites, or the name of a cohort.")] = "multicentric",
    sites: Annotated[Path | None, typer.Option(help="File with more sites and cohorts.")] = None,
    anatomies: Annotated[Path | None, typer.Option(help="Folder of label maps.")] = None,
    heads: Annotated[str, typer.Option(help="Heads to draw from, by comma; else all.")] = "",
    out: Annotated[Path, typer.Option(help="Where to keep cases and numbers.")] = Path(
        ".cache/fresh"
    ),
    processes: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
) -> None:
    """Simulate, measure, and print both conditions beside what was measured at the release."""
    cohort = out / COHORT
    options = Options(complete=True, anatomies=anatomies, heads=names_of(heads))
    with told():
        chosen = load_sites(sites).select(site)
        make_cohort(cohort, chosen, options, count=count, seed=seed, processes=processes)
    for condition in CONDITIONS:
        evaluate(model, [cohort], condition, out=out, subset_cases=0, threads=processes)
    typer.echo(comparison(model, out))
    typer.echo(f"Fresh cases by head: {heads_of(cohort)}.")
    typer.echo("Simulated data: the numbers say nothing about patients.")


if __name__ == "__main__":
    typer.run(main)
