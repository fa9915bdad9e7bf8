"""Measure a released model on cases it has not seen, through the served path.

``python -m training.evaluate models/NAME/VERSION --cohort FOLDER`` runs ONNX Runtime,
``run_model`` and ``extract_findings`` as the service does, on the network's grid. Sequences are
taken away by zeros and presence flags, as for a study that lacks them; the grid stays that of SUSC.

It writes ``evaluation.json``, ``evaluation.md`` and plots; ``evaluation-natural.*`` where the
sequences that each site's archive would lack are taken away. The JSON document holds:

``schema_version``, ``data``
    "2.1", and what the cases are: "simulated" or "real".
``model``
    name, version, sha256, threshold, peak, min_volume_mm3.
``condition``
    "all" sequences of each case, or "natural" missingness.
``cohorts``
    Number of cases by the name of the cohort's folder.
``labels``
    For "target" (training label) and "lumen" (true clot) the summary of all cases: counts, the mean
    of every metric of ``training.summary.METRICS`` under its key, and under ``intervals`` its 95 %
    bootstrap interval over cases, [low, high]. A mean over no case is null.
``breakdown``
    Summaries against the target by cohort, site, occlusion, clot_size, visibility (whether the
    clot darkens SUSC enough to be drawn), missing (number of sequences that are not there) and
    sequences, then by group.
``froc``
    By label: curves of cases and of clots, see ``training.froc``.
``calibration``
    ``voxels``: pooled bins (count, confidence, frequency) and their expected calibration error, and
    means over cases of that error and of the Brier score, within 10 mm of a finding or the label.
    ``cases``: whether the highest probability of a case says that it has a clot.
    ``entropy_and_dice``: rank correlation over cases with a clot and a finding.
``subsets``
    Every combination of sequences on some of the cases, see ``training.subsets``; null if not
    measured.
``cases``
    Every ``training.metrics.CaseResult``.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.progress import track

from service.adapters.model_files import read_spec
from service.adapters.onnx_predictor import OnnxPredictor
from service.domain.model_spec import ModelSpec
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.preprocess import NetworkInput
from service.stages.run_model import Predictor, run_model
from training.calibration import Bins, case_reliability, rank_correlation
from training.dataset import PreparedCase, case_folders, load
from training.evaluation_report import write_report
from training.froc import froc
from training.intervals import mean_interval
from training.memory import keep_freed_memory
from training.metrics import LABELS, CaseResult, Subject, ignore_library_warnings, measure
from training.subsets import all_subsets, choose_cases, tabulate
from training.summary import breakdown, limits, summarise

SCHEMA_VERSION = "2.1"
EVALUATION = "evaluation.json"
NATURAL = "evaluation-natural.json"

Condition = Literal["all", "natural"]
SubsetResults = dict[frozenset[Role], list[CaseResult]]


class EvaluationError(ValueError):
    """The cases cannot be measured as asked."""


@dataclass(frozen=True)
class Source:
    """One case of a cohort, read when it is its turn: a cohort need not fit into memory."""

    cohort: str
    read: Callable[[], PreparedCase]


def sources_of(cohort: Path) -> list[Source]:
    """Return the complete cases of a cohort, in the order of their names.

    Raises
    ------
    EvaluationError
        If there are none.
    """
    folders = case_folders(cohort)
    if not folders:
        raise EvaluationError(f"{cohort} holds no complete case")
    return [Source(cohort.name, partial(load, folder)) for folder in folders]


def without(network_input: NetworkInput, kept: Iterable[Role], spec: ModelSpec) -> NetworkInput:
    """Take away all roles but some, as if the study lacked them."""
    flags = np.array([role in frozenset(kept) for role in spec.input.roles], np.float32)
    presence = network_input.presence * flags
    sequences = np.asarray(network_input.sequences, np.float32) * flags[:, None, None]
    return replace(network_input, sequences=sequences, presence=presence)


def predict(
    case: PreparedCase, kept: Iterable[Role], predictor: Predictor, spec: ModelSpec
) -> Volume:
    """Return the probability on the network's grid from some of the sequences."""
    return run_model(without(case.network_input, kept, spec), predictor, spec)


def kept_roles(case: PreparedCase, condition: Condition) -> frozenset[Role]:
    """Return the sequences that a condition leaves.

    Raises
    ------
    EvaluationError
        If the case does not say what the site's archive would lack.
    """
    if condition == "all":
        return frozenset(Role)
    examination = case.parameters.get("examination") or {}
    if "lacking" not in examination:
        raise EvaluationError(
            f"case {case.parameters['seed']} does not say which sequences its archive would lack: "
            "make the cohort again with training.make_cohort"
        )
    return frozenset(Role) - {Role(name) for name in examination["lacking"]}


def evaluate(
    sources: Sequence[Source],
    predictor: Predictor,
    spec: ModelSpec,
    *,
    condition: Condition = "all",
    threads: int = 1,
) -> list[CaseResult]:
    """Measure every case under a condition, calibration of voxels included."""

    def measured(source: Source) -> CaseResult:
        case = source.read()
        kept = kept_roles(case, condition)
        subject = Subject.of(case, spec, source.cohort)
        return measure(subject, predict(case, kept, predictor, spec), spec, kept, voxels=True)

    with ThreadPoolExecutor(threads) as pool:
        return list(track(pool.map(measured, sources), "all cases", total=len(sources)))


def evaluate_subsets(
    sources: Sequence[Source], predictor: Predictor, spec: ModelSpec, *, threads: int = 1
) -> SubsetResults:
    """Measure every case with every combination of the sequences that it has.

    Natural missingness plays no part: which sequences are there is what is varied.
    """
    subsets = all_subsets(spec.input.roles)

    def measured(source: Source) -> dict[frozenset[Role], CaseResult]:
        subject = Subject.of(source.read(), spec, source.cohort)
        flags = zip(spec.input.roles, subject.case.network_input.presence, strict=True)
        there = {role for role, flag in flags if flag}
        return {
            subset: measure(subject, predict(subject.case, subset, predictor, spec), spec, subset)
            for subset in subsets
            if subset <= there
        }

    with ThreadPoolExecutor(threads) as pool:
        rows = list(track(pool.map(measured, sources), "combinations", total=len(sources)))
    return {subset: [row[subset] for row in rows if subset in row] for subset in subsets}


def document(
    results: Sequence[CaseResult],
    subsets: SubsetResults | None,
    spec: ModelSpec,
    condition: Condition,
) -> dict[str, Any]:
    """Return what is written as JSON; the module's docstring describes it."""
    cohorts = [result.cohort for result in results]
    return {
        "schema_version": SCHEMA_VERSION,
        "data": _data_of(results),
        "model": {
            key: getattr(spec, key)
            for key in ("name", "version", "sha256", "threshold", "peak", "min_volume_mm3")
        },
        "condition": condition,
        "cohorts": {name: cohorts.count(name) for name in sorted(set(cohorts))},
        "labels": {label: summarise(results, label) for label in LABELS},
        "breakdown": breakdown(results),
        "froc": {label: froc(results, label) for label in LABELS},
        "calibration": _calibration(results),
        "subsets": None if subsets is None else tabulate(subsets, spec.input.roles),
        "cases": [asdict(result) for result in results],
    }


def _data_of(results: Sequence[CaseResult]) -> str:
    """Say what the cases are.

    Raises
    ------
    EvaluationError
        If some are simulated and others are not: no number of both means anything.
    """
    found = sorted({result.data for result in results})
    if len(found) > 1:
        raise EvaluationError("cohorts of patients and simulated ones are measured apart")
    return found[0]


def _calibration(results: Sequence[CaseResult]) -> dict[str, Any]:
    seen = [result.voxels for result in results if result.voxels is not None]
    pairs = [
        (result.voxels.entropy_bits, result.target.dice)
        for result in results
        if result.target.with_clot and result.voxels and result.voxels.entropy_bits is not None
    ]
    reliability = case_reliability(
        [result.score for result in results], [result.target.with_clot for result in results]
    )
    return {
        "voxels": _voxels([part.bins for part in seen if part.bins is not None])
        | {
            "expected_calibration_error": _mean([part.expected_error for part in seen]),
            "brier": _mean([part.brier for part in seen]),
        },
        "cases": reliability | {"bins": asdict(reliability["bins"])},
        "entropy_and_dice": rank_correlation([e for e, _ in pairs], [dice for _, dice in pairs]),
    }


def _voxels(parts: list[Bins]) -> dict[str, Any]:
    if not parts:
        return {"pooled_error": None, "bins": None}
    pooled = Bins.pooled(parts)
    return {"pooled_error": pooled.expected_error, "bins": asdict(pooled)}


def _mean(values: Sequence[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    mean = mean_interval(known)
    return {"value": mean.value, "interval": limits(mean), "cases": mean.cases}


def write(measured: Mapping[str, Any], out: Path) -> Path:
    """Write the JSON document, the report and its plots; return the report's file."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / (EVALUATION if measured["condition"] == "all" else NATURAL)
    file.write_text(json.dumps(measured, indent=1, allow_nan=False) + "\n")
    return write_report(measured, out, file.stem)


def main(
    model: Annotated[Path, typer.Argument(help="Folder models/NAME/VERSION.")],
    cohort: Annotated[
        list[Path],
        typer.Option(exists=True, file_okay=False, help="Cohort it has not seen; may be repeated."),
    ],
    condition: Annotated[
        Condition, typer.Option(help="All sequences, or without those the archives would lack.")
    ] = "all",
    out: Annotated[Path | None, typer.Option(help="Where to write; the model's folder.")] = None,
    subset_cases: Annotated[
        int, typer.Option(min=0, help="Cases on which every combination is measured.")
    ] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Cases measured at a time.")] = 1,
) -> None:
    """Measure a model and write evaluation.json, evaluation.md and plots."""
    ignore_library_warnings()
    keep_freed_memory()
    spec = read_spec(model)
    # One thread a case: cores are used better than by all of them on one case after another.
    predictor = OnnxPredictor(model / "model.onnx", spec, threads=1)
    try:
        sources = [source for folder in cohort for source in sources_of(folder)]
        results = evaluate(sources, predictor, spec, condition=condition, threads=threads)
        chosen = [sources[number] for number in choose_cases(len(sources), subset_cases)]
        subsets = evaluate_subsets(chosen, predictor, spec, threads=threads) if chosen else None
        measured = document(results, subsets, spec, condition)
    except EvaluationError as exc:
        raise typer.BadParameter(str(exc)) from exc
    report = write(measured, out or model)
    typer.echo(f"{report} written")


if __name__ == "__main__":
    typer.run(main)
