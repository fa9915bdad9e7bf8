"""Measure a released model on cases made for this: ``python -m training.evaluate_fresh MODEL``.

Simulates cases of seeds that no cohort has, measures the model on them with all sequences and
without those that the archives would lack, and prints the means beside those of its card. OUT keeps
the cases and what ``training.evaluate`` writes; started again, it goes on.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from service.adapters.model_files import read_spec
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


def comparison(card: Mapping[str, Any], measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of what was measured, by condition, and of what the card says.

    Parameters
    ----------
    card : mapping
        expected_performance of model.json; may be empty.
    measured : mapping
        Documents of ``training.evaluate`` by the name of their condition.
    """
    rows = {f"fresh, {name}": part["labels"]["target"] for name, part in measured.items()}
    if card:
        rows["card"] = card
    return table("cases", rows, MAIN)


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
    """Simulate, measure, and print both conditions beside the card."""
    spec = read_spec(model)
    cohort = out / COHORT
    options = Options(complete=True, anatomies=anatomies, heads=names_of(heads))
    with told():
        chosen = load_sites(sites).select(site)
        make_cohort(cohort, chosen, options, count=count, seed=seed, processes=processes)
    measured = {}
    for condition, (file, name) in CONDITIONS.items():
        evaluate(model, [cohort], condition, out=out, subset_cases=0, threads=processes)
        measured[name] = json.loads((out / file).read_text())
    typer.echo(comparison(spec.overall_performance, measured))
    typer.echo("Simulated data: the numbers say nothing about patients.")


if __name__ == "__main__":
    typer.run(main)
