"""How long one simulated case takes on one core, and how much memory.

``python -m benchmarks.simulator_speed --seeds 2`` simulates complete cases of every site, one after
the other in this process on one thread, and prints a table in Markdown. The process is set up as
those of ``thrombolens simulate`` are; loading the head, once a process, is not counted.
"""

import resource
import time
from typing import Annotated

import typer

from training.memory import give_back_freed, keep_freed_memory
from training.simulate.anatomy import load_mni
from training.simulate.examine import Options, simulate_case
from training.simulate.site import load_sites


def main(seeds: Annotated[int, typer.Option(min=1, help="Patients at every site.")] = 2) -> None:
    """Measure and print."""
    keep_freed_memory()
    load_mni()
    options = Options(with_clot=True, complete=True, device="cpu")
    typer.echo("| site | seconds a case | peak of the process, GB |\n|---|---|---|")
    for site in load_sites().select("multicentric"):
        spent = []
        for seed in range(seeds):
            start = time.perf_counter()
            simulate_case(seed, site, options)
            give_back_freed()
            spent.append(f"{time.perf_counter() - start:.1f}")
        # Linux counts in KiB.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        typer.echo(f"| {site.name} | {', '.join(spent)} | {peak:.1f} |")


if __name__ == "__main__":
    typer.run(main)
