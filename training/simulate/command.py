"""The command ``thrombolens simulate``; light to import, so that anybody can list it.

It is found through the entry point group ``thrombolens.commands``.
"""

import os
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.simulate.asked import names_of, told
from training.simulate.formats import Format, Style
from training.simulate.site import Site, load_sites

if TYPE_CHECKING:
    from training.simulate.batch import Order, Recipe
    from training.simulate.examine import Options

# What simulating needs beyond the service.
EXTRA = ("torch", "nibabel", "nilearn")


# Each argument is one option of the command.
def simulate(  # noqa: PLR0913
    *,
    site: Annotated[
        str, typer.Option(help="Sites, taken in turn, such as A,B; or a cohort: multicentric.")
    ] = "multicentric",
    seed: Annotated[int, typer.Option(min=0, help="Of the first patient.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="Patients: seeds SEED, SEED + 1 ...")] = 1,
    out: Annotated[
        Path, typer.Option(help="Folder for the cases; those there are kept.", file_okay=False)
    ],
    form: Annotated[
        Format, typer.Option("--format", help="A study a case (dicom) or a BIDS data set (nifti).")
    ] = Format.NIFTI,
    vendor: Annotated[
        Style | None, typer.Option(help="Whose headers and scaling; else those of the site.")
    ] = None,
    sites: Annotated[
        Path | None, typer.Option(help="TOML with sites of your own.", exists=True, dir_okay=False)
    ] = None,
    anatomies: Annotated[
        Path | None,
        typer.Option(
            help="Folder of FreeSurfer label maps: more heads.", exists=True, file_okay=False
        ),
    ] = None,
    heads: Annotated[
        str, typer.Option(help="Names of the heads to draw from, such as MNI152; all if not given.")
    ] = "",
    with_clot: Annotated[
        bool | None, typer.Option("--with-clot/--without-clot", help="Drawn if not given.")
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="Make all sequences; else some are missing.")
    ] = False,
    jitter: Annotated[
        bool, typer.Option("--jitter", help="Draw labels as one of several people would.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Cases at a time; default: one a core.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Simulate MR studies of stroke patients with their truth: no patient, no real image.

    The same options give the same files. The truth (clot and the dark region that it causes) lies
    beside the images, never among them.
    """
    require_extra()
    # Heavy: PyTorch and NiBabel.
    from training.simulate.batch import Recipe, claim, orders  # noqa: PLC0415
    from training.simulate.examine import Options, check, simulate_case  # noqa: PLC0415

    options = Options(
        with_clot=with_clot,
        complete=complete,
        jitter=jitter,
        anatomies=anatomies,
        heads=names_of(heads),
        device=device,
    )
    # Before many processes say the same of every case.
    with told():
        check(options)
    recipe = Recipe(partial(simulate_case, options=options), out, form, vendor)
    wanted = orders(seed, count, _sites(site, sites))
    with told():
        claim(out, _content(options, form, vendor))
    raise typer.Exit(make_all(recipe, wanted, processes or os.cpu_count() or 1))


def require_extra() -> None:
    """Refuse to start without what the extra installs.

    Raises
    ------
    ModuleNotFoundError
        Names the first module that is missing.
    """
    for module in EXTRA:
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def _content(options: "Options", form: Format, vendor: Style | None) -> dict[str, object]:
    """Return the options that decide what is in a case, as JSON holds them."""
    anatomies = options.anatomies
    return {
        "format": form.value,
        "vendor": None if vendor is None else vendor.value,
        "with-clot": options.with_clot,
        "complete": options.complete,
        "jitter": options.jitter,
        "anatomies": None if anatomies is None else str(anatomies.resolve()),
        "heads": list(options.heads),
    }


def _sites(names: str, extra: Path | None) -> tuple[Site, ...]:
    with told():
        return load_sites(extra).select(names)


def make_all(recipe: "Recipe", wanted: Sequence["Order"], processes: int) -> int:
    """Make the cases that are not there yet, with a progress bar; return the exit code."""
    from training.simulate.batch import run  # noqa: PLC0415 - heavy, as above

    console = Console(stderr=True)
    missing = [order for order in wanted if not recipe.is_there(order)]
    failed = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        done = len(wanted) - len(missing)
        task = progress.add_task("cases", total=len(wanted), completed=done)
        for outcome in run(recipe, missing, min(processes, max(1, len(missing)))):
            progress.advance(task)
            if outcome.error is not None:
                failed += 1
                where = f"seed {outcome.order.seed} at site {outcome.order.site.name}"
                console.print(f"{where} failed: {outcome.error}", markup=False, soft_wrap=True)
    made = len(missing) - failed
    told = f"{recipe.folder}: {made} made, {done} were there, {failed} failed"
    console.print(told, markup=False, soft_wrap=True)
    return 1 if failed else 0
