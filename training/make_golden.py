"""Store a small case with the model's Dice on it: ``python -m training.make_golden MODEL CASE``.

The golden case is cut from a prepared case around its clot; the stored Dice is what the served
path gives today. A test repeats it for every released model.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from service.adapters.model_files import read_spec
from service.adapters.onnx_predictor import OnnxPredictor
from service.domain.model_spec import ModelSpec
from service.domain.sequence import Role
from service.stages.preprocess import NetworkInput
from service.stages.run_model import Predictor
from training.dataset import PreparedCase, load
from training.evaluate import predict
from training.metrics import Subject, measure
from training.simulate.grids import axial_grid

SIZE = (10, 96, 112)


def crop(case: PreparedCase, size: tuple[int, int, int]) -> PreparedCase:
    """Cut the part of a case around its clot, on the corresponding part of its grid."""
    shape = np.array(case.target.shape)
    centre = np.rint(np.argwhere(case.target).mean(axis=0)).astype(int)
    start = np.clip(centre - np.array(size) // 2, 0, shape - size)
    window = tuple(slice(int(low), int(low) + n) for low, n in zip(start, size, strict=True))
    source = case.network_input
    grid = axial_grid(source.grid.to_lps(start), source.grid.spacing, size)
    part = source.sequences[window[0], :, window[1], window[2]]
    return PreparedCase(
        network_input=NetworkInput(
            sequences=np.array(part),
            presence=source.presence,
            grid=grid,
            reference=grid,
            head_centre_lps=source.head_centre_lps,
        ),
        target=case.target[window],
        lumen=case.lumen[window],
        parameters=case.parameters,
    )


def save_golden(case: PreparedCase, dice: float, folder: Path) -> None:
    """Write case.npz and expected.json."""
    folder.mkdir(parents=True, exist_ok=True)
    values = case.network_input
    np.savez_compressed(
        folder / "case.npz",
        sequences=values.sequences.astype(np.float16),
        presence=values.presence,
        affine=values.grid.affine,
        target=case.target,
        lumen=case.lumen,
        head_centre_lps=np.array(values.head_centre_lps),
    )
    parameters = {"seed": case.parameters["seed"], "site": case.parameters["site"]}
    expected = {"data": "simulated", "dice": round(dice, 4), **parameters}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def load_golden(folder: Path) -> PreparedCase:
    """Read case.npz."""
    with np.load(folder / "case.npz") as stored:
        target = stored["target"]
        affine = stored["affine"]
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        grid = axial_grid(
            affine[:3, 3], (float(spacing[0]), float(spacing[1]), float(spacing[2])), target.shape
        )
        x, y, z = (float(value) for value in stored["head_centre_lps"])
        network_input = NetworkInput(
            sequences=stored["sequences"],
            presence=stored["presence"],
            grid=grid,
            reference=grid,
            head_centre_lps=(x, y, z),
        )
        parameters = json.loads((folder / "expected.json").read_text())
        return PreparedCase(network_input, target, stored["lumen"], parameters)


def golden_dice(case: PreparedCase, predictor: Predictor, spec: ModelSpec) -> float:
    """Return the Dice of the served path on a golden case with all its sequences."""
    probability = predict(case, Role, predictor, spec)
    return measure(Subject.of(case, spec), probability, spec).target.dice


def main(
    model: Annotated[Path, typer.Argument(help="Folder models/NAME/VERSION.")],
    case: Annotated[Path, typer.Argument(help="Folder of a prepared case.")],
) -> None:
    """Write golden/ into the model's folder."""
    spec = read_spec(model)
    predictor = OnnxPredictor(model / "model.onnx", spec, threads=1)
    cut = crop(load(case), SIZE)
    dice = golden_dice(cut, predictor, spec)
    save_golden(cut, dice, model / "golden")
    typer.echo(f"golden case {case.name}: Dice {dice:.4f}")


if __name__ == "__main__":
    typer.run(main)
