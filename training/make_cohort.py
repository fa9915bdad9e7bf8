"""Simulate and preprocess a cohort: ``python -m training.make_cohort --site A,B --count 40 ...``.

Case ``i`` of a cohort with seed ``s`` has the simulation seed ``1000000 * s + i`` and the site at
position ``i`` of the list, which is repeated: naming a site twice doubles its share. All sequences
are made; what the site's archive would lack stands in each ``case.json``.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from service.domain.model_spec import InputSpec
from training.dataset import prepare, save
from training.memory import give_back_freed, keep_freed_memory
from training.simulate.asked import names_of, told
from training.simulate.batch import claim
from training.simulate.examine import Options, check, simulate_case
from training.simulate.site import Site, load_sites

SEED_STRIDE = 1_000_000


def _origin(seed: int, sites: Sequence[Site], options: Options) -> dict[str, object]:
    """Return what decides which cases are in a cohort, as JSON holds it."""
    usual = Options()
    unusual = {
        "variety": (options.variety, usual.variety),
        "even-occlusions": (options.even_occlusions, usual.even_occlusions),
        "with-clot": (options.with_clot, usual.with_clot),
    }
    return {
        "seed": seed,
        "sites": [site.name for site in sites],
        "anatomies": None if options.anatomies is None else str(options.anatomies.resolve()),
        "heads": list(options.heads),
        # Cohorts as patients are say nothing of these, as those made before there were others.
        **{key: value for key, (value, default) in unusual.items() if value != default},
    }


def make_case(seed: int, site: Site, folder: Path, options: Options) -> None:
    """Simulate, preprocess and save one case, unless it is there already."""
    if not folder.exists():
        save(prepare(simulate_case(seed, site, options), InputSpec()), folder)
        give_back_freed()


def make_cohort(
    out: Path, sites: Sequence[Site], options: Options, *, count: int, seed: int, processes: int
) -> None:
    """Write ``count`` cases under ``out``; complete cases are kept.

    Raises
    ------
    InputError, OptionError
        If no case could be made so, or those that are there were made otherwise.
    """
    check(options)
    claim(out, _origin(seed, sites, options))
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=keep_freed_memory) as pool:
        futures = []
        for index in range(count):
            place = sites[index % len(sites)]
            folder = out / f"{index:04d}-{place.name}"
            futures.append(
                pool.submit(make_case, SEED_STRIDE * seed + index, place, folder, options)
            )
        for future in track(as_completed(futures), "simulating", total=count):
            future.result()


def main(  # noqa: PLR0913, PLR0917 - one parameter an option
    site: Annotated[str, typer.Option(help="Sites, taken in turn, or the name of a cohort.")],
    count: Annotated[int, typer.Option(min=1)],
    seed: Annotated[int, typer.Option(min=0)],
    out: Annotated[Path, typer.Option(help="Folder of the cohort.")],
    sites: Annotated[Path | None, typer.Option(help="File with more sites and cohorts.")] = None,
    anatomies: Annotated[Path | None, typer.Option(help="Folder of label maps.")] = None,
    heads: Annotated[str, typer.Option(help="Heads to draw from, by comma; else all.")] = "",
    variety: Annotated[float, typer.Option(help="Factor of the heads' variation, 1 to 1.5.")] = 1.0,
    with_clot: Annotated[
        bool | None, typer.Option("--with-clot/--without-clot", help="Drawn if not given.")
    ] = None,
    even_occlusions: Annotated[
        bool, typer.Option("--even-occlusions", help="Draw every site of occlusion alike.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
) -> None:
    """Write ``count`` cases under ``out``; complete cases are kept, so it can be started again."""
    options = Options(
        with_clot=with_clot,
        complete=True,
        anatomies=anatomies,
        heads=names_of(heads),
        variety=variety,
        even_occlusions=even_occlusions,
    )
    with told():
        chosen = load_sites(sites).select(site)
        make_cohort(out, chosen, options, count=count, seed=seed, processes=processes)


if __name__ == "__main__":
    typer.run(main)
