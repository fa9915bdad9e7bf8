"""Simulate and preprocess a cohort: ``python -m training.make_cohort --site A,B --count 40 ...``.

Case ``i`` of a cohort with seed ``s`` has the simulation seed ``1000000 * s + i`` and the site at
position ``i`` of the list, which is repeated: naming a site twice doubles its share.
"""

from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from service.domain.model_spec import InputSpec
from training.dataset import prepare, save
from training.simulate.case import simulate_case

SEED_STRIDE = 1_000_000


def make_case(seed: int, site: str, folder: Path) -> None:
    """Simulate, preprocess and save one case, unless it is there already."""
    if not folder.exists():
        save(prepare(simulate_case(seed, site), InputSpec()), folder)


def main(
    site: Annotated[str, typer.Option(help="Sites, separated by commas; repeated in turn.")],
    count: Annotated[int, typer.Option(min=1)],
    seed: Annotated[int, typer.Option(min=0)],
    out: Annotated[Path, typer.Option(help="Folder of the cohort.")],
    processes: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Write ``count`` cases under ``out``; complete cases are kept, so it can be started again."""
    out.mkdir(parents=True, exist_ok=True)
    sites = site.split(",")
    with ProcessPoolExecutor(processes) as pool:
        futures = [
            pool.submit(
                make_case,
                SEED_STRIDE * seed + index,
                sites[index % len(sites)],
                out / f"{index:04d}-{sites[index % len(sites)]}",
            )
            for index in range(count)
        ]
        for future in track(as_completed(futures), "simulating", total=count):
            future.result()


if __name__ == "__main__":
    typer.run(main)
