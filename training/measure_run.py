"""Measure a training run that is not released: ``python -m training.measure_run RUN ...``.

Any network of ``training.architectures``, by the averaged weights of its last checkpoint. Threshold
and smallest volume are chosen on validation cases as for released weights; then test cases are
measured with all sequences and with natural missingness. RUN/measured gets what
``training.evaluate`` writes, for ``training.compare_runs`` to read.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import torch
import typer

from service.domain.model_spec import ModelSpec
from training.architectures import AnyNetwork, input_spec
from training.choose_threshold import choose, validation_maps
from training.evaluate import (
    Condition,
    EvaluationError,
    Source,
    document,
    evaluate,
    sources_of,
    write,
)
from training.memory import keep_freed_memory
from training.metrics import ignore_library_warnings
from training.network import UpAttLLSTM
from training.torch_predictor import TorchPredictor
from training.train import CHECKPOINT
from training.weights import averaged_network

MEASURED = "measured"
CONDITIONS: tuple[Condition, ...] = ("all", "natural")


def spec_of(network: AnyNetwork, run: Path) -> ModelSpec:
    """Describe a run as a model; its digest is that of the checkpoint."""
    return ModelSpec(
        name=run.name,
        version="run",
        sha256=sha256((run / CHECKPOINT).read_bytes()).hexdigest(),
        input=input_spec(network.config),
        # Networks without a state get one that they ignore.
        state_channels=network.config.hidden if isinstance(network, UpAttLLSTM) else 1,
        threshold=0.5,
        min_volume_mm3=10.0,
        intended_use="comparison with other runs",
        training_data="as its configuration says",
    )


def predictor_of(run: Path, *, bfloat16: bool = False) -> tuple[TorchPredictor, ModelSpec]:
    """Return the averaged network of a run's last checkpoint, and what it would be served as."""
    network = averaged_network(run / CHECKPOINT)
    spec = spec_of(network, run)
    neighbours = spec.input.neighbours
    return TorchPredictor(network, neighbours=neighbours, bfloat16=bfloat16), spec


def measure_run(
    run: Path,
    validation: Sequence[Source],
    test: Sequence[Source],
    *,
    threads: int = 1,
    bfloat16: bool = False,
) -> list[Path]:
    """Measure a run under both conditions; return the reports' files."""
    predictor, spec = predictor_of(run, bfloat16=bfloat16)
    chosen = choose(validation_maps(validation, predictor, spec), spec).spec
    reports = []
    for condition in CONDITIONS:
        results = evaluate(test, predictor, chosen, condition=condition, threads=threads)
        reports.append(write(document(results, None, chosen, condition), run / MEASURED))
    return reports


def main(
    run: Annotated[Path, typer.Argument(help="Output folder of training.train.", exists=True)],
    validation: Annotated[Path, typer.Option(help="Cohort to choose the threshold on.")],
    cohort: Annotated[list[Path], typer.Option(help="Cohort to measure; may be repeated.")],
    threads: Annotated[int, typer.Option(min=1, help="Cases measured at a time.")] = 1,
    bfloat16: Annotated[
        bool, typer.Option(help="Compute in bfloat16, as runs that train so; twice as fast.")
    ] = False,
) -> None:
    """Measure a run and write RUN/measured."""
    ignore_library_warnings()
    # Cores are used better by several cases at a time than by all of them on one.
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        test = [source for folder in cohort for source in sources_of(folder)]
        reports = measure_run(run, sources_of(validation), test, threads=threads, bfloat16=bfloat16)
        for report in reports:
            typer.echo(f"{report} written")
    except EvaluationError as exc:
        raise typer.BadParameter(str(exc)) from exc


if __name__ == "__main__":
    typer.run(main)
