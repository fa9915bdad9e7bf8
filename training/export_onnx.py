"""Weights -> models/NAME/VERSION: ``python -m training.export_onnx CHECKPOINT --out FOLDER``.

The recurrence becomes a Scan operator, so that one file serves any number of slices, rows and
columns. The export fails unless PyTorch and ONNX Runtime agree.
"""

import copy
import hashlib
import json
import warnings
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import onnxruntime
import torch
import typer
from torch.export import Dim

from service.domain.model_spec import ModelSpec
from training.architectures import AnyNetwork, input_spec
from training.network import ServedNetwork, UpAttLLSTM
from training.weights import WEIGHTS, averaged_network, save_weights

OPSET = 20
INPUTS = ["sequences", "presence", "forward_state", "backward_state"]
OUTPUTS = ["probability", "forward_state_out", "backward_state_out"]
# Stacks on which both runtimes are compared: slices, rows and columns in units of the divisor.
COMPARED_STACKS = ((3, 4, 6), (17, 6, 4), (40, 5, 5))
TOLERANCE = 1e-4
TRACED_STACK = (5, 4, 6)
INTENDED_USE = (
    "Research use only, not a medical device. Finds and outlines arterial thrombi on brain MR "
    "studies of adults with suspected ischaemic stroke."
)


class ExportError(ValueError):
    """The network is none that is served; whoever trains can choose another."""


class ParityError(Exception):
    """PyTorch and ONNX Runtime disagree about the exported network."""


def servable(network: AnyNetwork) -> UpAttLLSTM:
    """Return the network if the service can run it, in chunks of slices that give the same answer.

    Raises
    ------
    ExportError
        If it is another architecture, or recurrent behind its decoder levels: there the state that
        enters a chunk depends on all others.
    """
    if not isinstance(network, UpAttLLSTM):
        raise ExportError(f"a {network.config.kind} is for comparison and is not served")
    if network.config.recurs_in_decoder:
        raise ExportError(
            f"recurrence {network.config.recurrence!r} is not served: choose 'bottleneck' or 'none'"
        )
    return network


def random_input(
    network: UpAttLLSTM, stack: tuple[int, int, int], *, seed: int = 0, complete: bool = True
) -> tuple[torch.Tensor, ...]:
    """Draw the four inputs of the served network.

    Parameters
    ----------
    stack : (int, int, int)
        Slices without those beside the stack, and rows and columns in units of the divisor.
    complete : bool
        Whether all sequences are there; else half of them are missing.
    """
    slices, rows, columns = stack
    config = network.config
    generator = torch.Generator().manual_seed(seed)
    given = slices + 2 * config.neighbours
    shape = (given, config.roles, rows * config.divisor, columns * config.divisor)
    state = (2, config.hidden, rows, columns)
    presence = torch.ones(config.roles)
    if not complete:
        presence[torch.randperm(config.roles, generator=generator)[: config.roles // 2]] = 0
    return (
        torch.randn(shape, generator=generator) * presence[:, None, None],
        presence,
        torch.rand(state, generator=generator),
        torch.rand(state, generator=generator),
    )


def export(network: UpAttLLSTM, file: Path) -> None:
    """Write the network as one ONNX file with free numbers of slices, rows and columns.

    Raises
    ------
    ParityError
        If ONNX Runtime's outputs differ from PyTorch's by more than TOLERANCE.
    """
    # The exporter cannot lower the recurrence while its weights ask for gradients.
    served = ServedNetwork(copy.deepcopy(network)).eval().requires_grad_(False)
    # A slice with the ones beside it is the least; fewer than two cannot be free.
    slices = Dim("slices", min=max(2, 1 + 2 * network.config.neighbours))
    rows, columns = Dim("rows", max=256), Dim("columns", max=256)
    divisor = network.config.divisor
    state = {2: rows, 3: columns}
    plane = {0: slices, 2: divisor * rows, 3: divisor * columns}
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter names one axis of several equal ones and warns about the others.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            served,
            random_input(network, TRACED_STACK),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(plane, {}, state, state),
            input_names=INPUTS,
            output_names=OUTPUTS,
            verbose=False,
        )
    program.save(str(file), external_data=False)
    worst = largest_difference(network, file)
    if worst > TOLERANCE:
        file.unlink()
        raise ParityError(f"PyTorch and ONNX Runtime differ by {worst:.2e} (limit {TOLERANCE})")


def largest_difference(network: UpAttLLSTM, file: Path) -> float:
    """Return the largest absolute difference of any output on COMPARED_STACKS, whole or not."""
    served = ServedNetwork(network).eval()
    options = onnxruntime.SessionOptions()
    # Errors only: the optimizer comments on constants that the exporter left behind.
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for stack, complete in product(COMPARED_STACKS, (True, False)):
        values = random_input(network, stack, seed=stack[0], complete=complete)
        with torch.no_grad():
            expected = served(*values)
        named = {name: value.numpy() for name, value in zip(INPUTS, values, strict=True)}
        got = session.run(OUTPUTS, named)
        differences = [
            float(np.abs(one - other.numpy()).max())
            for one, other in zip(got, expected, strict=True)
        ]
        worst = max(worst, *differences)
    return worst


def write_spec(spec: ModelSpec, folder: Path) -> None:
    """Write model.json."""
    (folder / "model.json").write_text(json.dumps(spec.to_json(), indent=2) + "\n")


def main(
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint.pt of training.train.")],
    out: Annotated[Path, typer.Option(help="Folder models/NAME/VERSION.")],
    training_data: Annotated[str, typer.Option(help="One sentence for the report.")],
    threshold: Annotated[float, typer.Option()] = 0.5,
    min_volume_mm3: Annotated[float, typer.Option()] = 10.0,
    intended_use: Annotated[
        str, typer.Option(help="Sentences for the report; others for another lesion.")
    ] = INTENDED_USE,
) -> None:
    """Export the averaged weights; the threshold is set by ``training.choose_threshold``."""
    out.mkdir(parents=True, exist_ok=True)
    network = servable(averaged_network(checkpoint))
    file = out / "model.onnx"
    export(network, file)
    save_weights(network, out / WEIGHTS)
    spec = ModelSpec(
        name=out.parent.name,
        version=out.name,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        input=input_spec(network.config),
        state_channels=network.config.hidden,
        threshold=threshold,
        min_volume_mm3=min_volume_mm3,
        intended_use=intended_use,
        training_data=training_data,
    )
    write_spec(spec, out)
    typer.echo(f"{file}: largest difference to PyTorch {largest_difference(network, file):.1e}")


if __name__ == "__main__":
    typer.run(main)
