"""Measure a released model on simulated cases it has not seen, through the served path.

``python -m training.evaluate models/NAME/VERSION --cohort FOLDER`` runs ONNX Runtime,
``run_model`` and ``extract_findings`` as the service does, on the network's grid, and prints and
stores the metrics. Sequences are taken away by zeros and presence flags, as for a study that lacks
them; the grid stays that of SUSC.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

from service.adapters.model_files import read_spec
from service.adapters.onnx_predictor import OnnxPredictor
from service.domain.model_spec import ModelSpec
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.extract_findings import Extraction, extract_findings
from service.stages.preprocess import NetworkInput
from service.stages.run_model import Predictor, run_model
from training.dataset import Mask, PreparedCase, load_cohort

SUBSETS: dict[str, frozenset[Role]] = {
    "all": frozenset(Role),
    "without SUSC and PHASE": frozenset(Role) - {Role.SUSC, Role.PHASE},
    "DWI and ADC": frozenset({Role.DWI, Role.ADC}),
    "SUSC": frozenset({Role.SUSC}),
}
LEAST_IOU = 0.1
CENTRE_MM = 5.0
EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class CaseResult:
    """Metrics of one case.

    Attributes
    ----------
    with_clot : bool
        Whether there is anything to find; without, only ``findings`` counts.
    found : bool
        Whether any finding touches the label.
    touched, overlapped, centred : bool
        Whether the most probable finding touches the label, has an IoU above 0.1 with it, or its
        centre lies within 5 mm of the centre of all labelled voxels.
    dice, dice_lumen : float
        Of all findings together against the label, and against the true lumen.
    findings, false_positives : int
        All of them, and those that touch no labelled voxel.
    """

    seed: int
    site: str
    with_clot: bool
    found: bool
    touched: bool
    overlapped: bool
    centred: bool
    dice: float
    dice_lumen: float
    findings: int
    false_positives: int


def without(network_input: NetworkInput, kept: Iterable[Role], spec: ModelSpec) -> NetworkInput:
    """Take away all roles but some, as if the study lacked them."""
    flags = np.array([role in frozenset(kept) for role in spec.input.roles], np.float32)
    presence = network_input.presence * flags
    sequences = np.asarray(network_input.sequences, np.float32) * flags[:, None, None]
    return NetworkInput(
        sequences=sequences,
        presence=presence,
        grid=network_input.grid,
        reference=network_input.reference,
        head_centre_lps=network_input.head_centre_lps,
    )


def predict(
    case: PreparedCase, kept: Iterable[Role], predictor: Predictor, spec: ModelSpec
) -> Volume:
    """Return the probability on the network's grid from some of the sequences."""
    return run_model(without(case.network_input, kept, spec), predictor, spec)


def measure(case: PreparedCase, probability: Volume, spec: ModelSpec) -> CaseResult:
    """Compare the findings in a probability map with the label."""
    extraction = extract_findings(
        probability, spec, midline_x=case.network_input.head_centre_lps[0]
    )
    labelled = extraction.mask.voxels
    best = labelled == 1
    touching = {int(number) for number in np.unique(labelled[case.target]) if number}
    shared = int((best & case.target).sum())
    united = int((best | case.target).sum())
    return CaseResult(
        seed=int(case.parameters["seed"]),
        site=str(case.parameters["site"]),
        with_clot=bool(case.target.any()),
        found=bool(touching),
        touched=1 in touching,
        overlapped=bool(united and shared / united > LEAST_IOU),
        centred=_centred(extraction, case, probability),
        dice=dice(labelled > 0, case.target),
        dice_lumen=dice(labelled > 0, case.lumen),
        findings=len(extraction.findings),
        false_positives=len(extraction.findings) - len(touching),
    )


def dice(one: Mask, other: Mask) -> float:
    """Return the Dice coefficient; 1 when both are empty."""
    total = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def _centred(extraction: Extraction, case: PreparedCase, probability: Volume) -> bool:
    if not extraction.findings or not case.target.any():
        return False
    centre = np.array(extraction.findings[0].centroid_lps)
    points = probability.geometry.to_lps(np.argwhere(case.target))
    return bool(np.linalg.norm(points.mean(axis=0) - centre) <= CENTRE_MM)


def summarise(results: list[CaseResult]) -> dict[str, Any]:
    """Average over cases; rates are shares of the cases with (or without) a clot."""
    positive = [result for result in results if result.with_clot]
    negative = [result for result in results if not result.with_clot]
    detected = [result for result in positive if result.touched]
    return {
        "cases_with_clot": len(positive),
        "cases_without_clot": len(negative),
        "detected": len(detected),
        "detection_rate": _mean(positive, lambda r: r.touched),
        "detection_rate_any": _mean(positive, lambda r: r.found),
        "detection_rate_iou_0.1": _mean(positive, lambda r: r.overlapped),
        "detection_rate_centre_5mm": _mean(positive, lambda r: r.centred),
        "dice_all": _mean(positive, lambda r: r.dice),
        "dice_detected": _mean(detected, lambda r: r.dice),
        "dice_lumen_all": _mean(positive, lambda r: r.dice_lumen),
        "false_positives_per_case": _mean(results, lambda r: r.false_positives),
        "false_alarm_rate_without_clot": _mean(negative, lambda r: r.findings > 0),
    }


def _mean(results: list[CaseResult], value: Callable[[CaseResult], float]) -> float | None:
    """Mean to four digits, None without cases."""
    return round(float(np.mean([value(r) for r in results])), 4) if results else None


def evaluate(
    cases: list[PreparedCase], predictor: Predictor, spec: ModelSpec, *, threads: int = 1
) -> dict[str, list[CaseResult]]:
    """Measure every case for every subset of SUBSETS, several cases at a time."""

    def measured(case: PreparedCase) -> list[CaseResult]:
        return [
            measure(case, predict(case, kept, predictor, spec), spec) for kept in SUBSETS.values()
        ]

    with ThreadPoolExecutor(threads) as pool:
        rows = list(track(pool.map(measured, cases), "evaluating", total=len(cases)))
    return {name: [row[number] for row in rows] for number, name in enumerate(SUBSETS)}


def document(results: Mapping[str, list[CaseResult]]) -> dict[str, Any]:
    """Summaries by subset, of all sites and by site, and every case."""
    sites = sorted({result.site for result in results["all"]})
    return {
        "data": "simulated",
        "subsets": {name: summarise(rows) for name, rows in results.items()},
        "sites": {
            site: summarise([row for row in results["all"] if row.site == site]) for site in sites
        },
        "cases": {name: [asdict(row) for row in rows] for name, rows in results.items()},
    }


def main(
    model: Annotated[Path, typer.Argument(help="Folder models/NAME/VERSION.")],
    cohort: Annotated[Path, typer.Option(help="Cohort the model has not seen.")],
    threads: Annotated[int, typer.Option(min=1, help="Cases measured at a time.")] = 1,
) -> None:
    """Measure and write evaluation.json into the model's folder."""
    spec = read_spec(model)
    # One thread a case: cores are used better than by all of them on one case after another.
    predictor = OnnxPredictor(model / "model.onnx", spec, threads=1)
    measured = document(evaluate(load_cohort(cohort), predictor, spec, threads=threads))
    (model / EVALUATION).write_text(json.dumps(measured, indent=1) + "\n")
    typer.echo(json.dumps({key: measured[key] for key in ("subsets", "sites")}, indent=1))


if __name__ == "__main__":
    typer.run(main)
