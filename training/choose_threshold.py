"""Choose threshold, peak and smallest volume on validation cases, and write them into model.json.

``python -m training.choose_threshold models/NAME/VERSION --cohort FOLDER``. Of the triples that
keep to the limits of false findings, the one with the best mean of Dice and detection (any overlap)
over cases with a clot is taken. Two thresholds, because where the outline of a clot is best drawn
says nothing of how sure one should be that there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from rich.progress import track

from service.adapters.model_files import read_spec
from service.adapters.onnx_predictor import OnnxPredictor
from service.domain.model_spec import ModelSpec
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.extract_findings import Extraction, extract_findings
from service.stages.run_model import Predictor
from training.evaluate import EvaluationError, Source, predict, sources_of
from training.export_onnx import write_spec
from training.memory import keep_freed_memory
from training.metrics import Agreement, Label, compare

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
# 0: whatever reaches the threshold.
PEAKS = (0.0, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995)
SMALLEST_MM3 = (5.0, 10.0, 15.0, 20.0, 30.0)


class Limits(NamedTuple):
    """How many false findings are too many, on average over the validation cases.

    Attributes
    ----------
    false_positives : float
        Most in a case.
    false_alarms : float
        Largest share of the cases without a clot that have any finding.
    """

    false_positives: float = 0.5
    false_alarms: float = 0.2

    def hold(self, agreements: Sequence[Agreement]) -> bool:
        """Whether these cases keep to them."""
        alarms = [bool(one.hits) for one in agreements if not one.with_clot]
        false_alarms = float(np.mean(alarms)) if alarms else 0.0
        false_positives = float(np.mean([one.false_positives for one in agreements]))
        return false_positives <= self.false_positives and false_alarms <= self.false_alarms


USUAL = Limits()


def score(agreements: Sequence[Agreement]) -> float:
    """Mean of Dice and detection by any finding over cases with a clot."""
    with_clot = [(one.dice + one.found) / 2 for one in agreements if one.with_clot]
    return float(np.mean(with_clot)) if with_clot else 0.0


def numbers_at_least(extraction: Extraction, smallest_mm3: float, peak: float) -> frozenset[int]:
    """Return the numbers of the findings of at least a volume and a peak."""
    return frozenset(
        finding.number
        for finding in extraction.findings
        if finding.volume_mm3 >= smallest_mm3 and finding.probability >= peak
    )


def of_numbers(extraction: Extraction, numbers: frozenset[int]) -> Extraction:
    """Return these findings alone, with the numbers they had."""
    voxels = extraction.mask.voxels
    kept = np.where(np.isin(voxels, list(numbers)), voxels, 0)
    findings = tuple(f for f in extraction.findings if f.number in numbers)
    return Extraction(findings, replace(extraction.mask, voxels=kept))


@dataclass(frozen=True, eq=False)
class _Judged:
    """All findings of a case at one threshold, and what was compared of them already."""

    label: Label
    everything: Extraction
    known: dict[frozenset[int], Agreement] = field(default_factory=dict)

    def agreement(self, smallest_mm3: float, peak: float) -> Agreement:
        """Compare the findings of at least a volume and a peak with the label."""
        numbers = numbers_at_least(self.everything, smallest_mm3, peak)
        if numbers not in self.known:
            self.known[numbers] = compare(of_numbers(self.everything, numbers), self.label)
        return self.known[numbers]


class Choice(NamedTuple):
    """One triple, in the order of preference.

    Attributes
    ----------
    in_limits : bool
        Whether it keeps to the limits of false findings.
    """

    in_limits: bool
    score: float
    spec: ModelSpec


def choose(maps: list[tuple[Label, Volume]], spec: ModelSpec, limits: Limits = USUAL) -> Choice:
    """Return the best triple within the limits, or, where there is none, the best of all."""
    choices = []
    for threshold in track(THRESHOLDS, "choosing"):
        lowest = replace(spec, threshold=threshold, min_volume_mm3=min(SMALLEST_MM3), peak=0.0)
        # Sides of the head play no part here.
        found = [
            _Judged(label, extract_findings(probability, lowest, midline_x=0.0))
            for label, probability in maps
        ]
        peaks = [peak for peak in PEAKS if peak == 0 or peak > threshold]
        for peak, volume in product(peaks, SMALLEST_MM3):
            agreements = [each.agreement(volume, peak) for each in found]
            chosen = replace(lowest, min_volume_mm3=volume, peak=peak)
            choices.append(Choice(limits.hold(agreements), score(agreements), chosen))
    return max(choices, key=lambda choice: choice[:2])


def validation_maps(
    sources: Sequence[Source], predictor: Predictor, spec: ModelSpec
) -> list[tuple[Label, Volume]]:
    """Return the label and the probabilities, from all sequences, of every case."""
    cases = (source.read() for source in sources)
    return [
        (
            Label.of(case.target, case.network_input.grid, spec),
            predict(case, Role, predictor, spec),
        )
        for case in track(cases, "validation cases", total=len(sources))
    ]


def main(
    model: Annotated[Path, typer.Argument(help="Folder models/NAME/VERSION.")],
    cohort: Annotated[list[Path], typer.Option(help="Validation cohort; may be repeated.")],
    most_false_positives: Annotated[
        float, typer.Option(min=0, help="Most false findings in a case, on average.")
    ] = USUAL.false_positives,
    most_false_alarms: Annotated[
        float,
        typer.Option(min=0, max=1, help="Largest share of cases without a clot that have any."),
    ] = USUAL.false_alarms,
    threads: Annotated[int, typer.Option()] = 1,
) -> None:
    """Rewrite model.json with the values that are best with all sequences of every case."""
    keep_freed_memory()
    spec = read_spec(model)
    predictor = OnnxPredictor(model / "model.onnx", spec, threads=threads)
    try:
        sources = [source for folder in cohort for source in sources_of(folder)]
    except EvaluationError as exc:
        raise typer.BadParameter(str(exc)) from exc
    maps = validation_maps(sources, predictor, spec)
    limits = Limits(most_false_positives, most_false_alarms)
    in_limits, best, chosen = choose(maps, spec, limits)
    # What was measured at another threshold is not expected any more.
    write_spec(replace(chosen, expected_performance={}), model)
    typer.echo(
        f"threshold {chosen.threshold}, peak {chosen.peak}, "
        f"smallest volume {chosen.min_volume_mm3} mm3, "
        f"score {best:.3f} on {len(maps)} validation cases"
    )
    if all(label.mask.any() for label, _ in maps):
        typer.echo(
            "warning: no validation case is without a lesion, so nothing kept false findings in "
            "such cases to a limit",
            err=True,
        )
    if not in_limits:
        typer.echo(
            f"warning: no triple keeps to {limits.false_positives:g} false findings a case and "
            f"{limits.false_alarms:.0%} of the cases without a clot",
            err=True,
        )


if __name__ == "__main__":
    typer.run(main)
