"""Find what a run takes for clots: ``python -m training.find_mimics RUN --cohort FOLDER``.

Clots are rare, so a network that is trained on slabs around them takes much else for one where it
meets whole heads. What it finds in the cohort it is trained on, and no label touches, are the
mimics that training goes on around (``aim`` of ``training.config``): bootstrapping of hard
negatives (Sung and Poggio 1998).
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.progress import track
from scipy import ndimage

from service.domain.model_spec import ModelSpec
from service.stages.extract_findings import TOUCHING
from service.stages.run_model import Predictor, run_model
from training.dataset import Float32, Indices, Mask, case_folders, load
from training.measure_run import predictor_of
from training.memory import keep_freed_memory

MIMICS = "mimics.json"
# From this probability on something is taken for a clot here, whatever the threshold in service.
TAKEN_FOR_A_CLOT = 0.5
SMALLEST_VOXELS = 3


def mimics_in(probability: Float32, target: Mask) -> Indices:
    """Return one voxel, the most probable, of every component that the label does not touch.

    Parameters
    ----------
    probability : float32 array (slice, row, column)
    target : bool array (slice, row, column)

    Returns
    -------
    int array (n, 3)
        (slice, row, column).
    """
    labels, count = ndimage.label(probability >= TAKEN_FOR_A_CLOT, TOUCHING)
    numbers = np.arange(1, count + 1)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    near = np.unique(labels[ndimage.binary_dilation(target, TOUCHING)])
    kept = numbers[(sizes >= SMALLEST_VOXELS) & ~np.isin(numbers, near)]
    places = ndimage.maximum_position(probability, labels, kept)
    return np.array(places, np.int64).reshape(-1, 3)


def find_mimics(
    folders: Sequence[Path], predictor: Predictor, spec: ModelSpec, *, threads: int = 1
) -> dict[str, list[list[int]]]:
    """Return the mimics of every case, by the name of its folder, from all its sequences."""

    def found(folder: Path) -> list[list[int]]:
        case = load(folder)
        probability = run_model(case.network_input, predictor, spec)
        return [list(map(int, place)) for place in mimics_in(probability.voxels, case.target)]

    with ThreadPoolExecutor(threads) as pool:
        places = list(track(pool.map(found, folders), "cases", total=len(folders)))
    return {folder.name: of_case for folder, of_case in zip(folders, places, strict=True)}


def main(
    run: Annotated[Path, typer.Argument(help="Output folder of training.train.", exists=True)],
    cohort: Annotated[Path, typer.Option(help="The cohort it was trained on.", exists=True)],
    threads: Annotated[int, typer.Option(min=1, help="Cases at a time.")] = 1,
    bfloat16: Annotated[bool, typer.Option(help="Compute in bfloat16.")] = False,
) -> None:
    """Write RUN/mimics.json."""
    torch.set_num_threads(1)
    keep_freed_memory()
    predictor, spec = predictor_of(run, bfloat16=bfloat16)
    found = find_mimics(case_folders(cohort), predictor, spec, threads=threads)
    (run / MIMICS).write_text(json.dumps(found))
    count = sum(map(len, found.values()))
    typer.echo(f"{run / MIMICS}: {count} mimics in {len(found)} cases")


if __name__ == "__main__":
    typer.run(main)
