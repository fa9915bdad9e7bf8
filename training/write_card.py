"""Copy what was measured to model.json and MODEL_CARD.md: ``python -m training.write_card MODEL``.

Numbers come from evaluation.json alone, so that card, report and measurement cannot differ.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from service.adapters.model_files import read_spec
from service.domain.model_spec import ModelSpec
from training.evaluate import EVALUATION
from training.export_onnx import write_spec

COLUMNS = {
    "cases_with_clot": "cases with a clot",
    "detection_rate": "detection",
    "detection_rate_any": "by any finding",
    "detection_rate_iou_0.1": "IoU > 0.1",
    "detection_rate_centre_5mm": "centre within 5 mm",
    "dice_all": "Dice, all",
    "dice_detected": "Dice, detected",
    "dice_lumen_all": "Dice against lumen",
    "false_positives_per_case": "false positives per case",
    "cases_without_clot": "cases without a clot",
    "false_alarm_rate_without_clot": "false alarms among them",
}
CARD = """# {name} {version}

Outlines arterial thrombi on brain MR studies of suspected ischaemic stroke: susceptibility-weighted
magnitude and phase, DWI, ADC, FLAIR, TOF, any of which may be missing. **Research software, not a
medical device. Trained and measured on simulated studies only: the numbers say nothing about
patients.**

## Model

{architecture}
Threshold {threshold}, smallest finding {min_volume_mm3} mm3, both chosen on simulated validation
cases. `weights.pt` holds the PyTorch weights, `golden/` a small simulated case and its Dice.

## Training data

{training_data}

## Measured on simulated cases it had not seen

Detection: the most probable finding touches the label; "by any finding": any of them does. IoU and
centre are of the most probable finding: its intersection over union with the label, the distance
of its centre from the label's. "Dice, all" counts misses, and false findings in every case. The
label is the dark region that the simulated clot causes, or its lumen where it is not visible.
Subsets are made by removing sequences; the grid stays that of the susceptibility-weighted series.

By the sequences that are there (simulated):

{subsets}

By scanner, all sequences (simulated):

{sites}

A: 3 T multi-echo mean. B: 3 T, phase-masked. C: 1.5 T, phase-masked. D: 1.5 T 2D T2*, 5 to 6 mm
slices, no phase.

## Limits

- No real thrombus was in the training or in these measurements. Real scanners, pathology, motion,
  faces and older infarcts look different.
- Veins, microbleeds and air at the skull base can cause false findings.
- Few cases: with {count} cases a rate of 80 % has a 95 % interval of about +-{interval} points.
- Without the susceptibility-weighted series the clot is visible only indirectly.
- The fewer sequences, the fewer clots are found and the more findings are false (first table).
"""


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table of summaries, one a row."""
    lines = [
        "| simulated | " + " | ".join(COLUMNS.values()) + " |",
        "|---|" + "---|" * len(COLUMNS),
    ]
    for name, summary in rows.items():
        cells = ["-" if summary[key] is None else f"{summary[key]:.3g}" for key in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def render(
    spec: ModelSpec, measured: Mapping[str, Any], architecture: str, limits: Sequence[str] = ()
) -> str:
    """Return the text of the card; ``limits`` are sentences about this version alone."""
    count = measured["subsets"]["all"]["cases_with_clot"]
    return CARD.format(
        name=spec.name,
        version=spec.version,
        architecture=architecture,
        threshold=spec.threshold,
        min_volume_mm3=spec.min_volume_mm3,
        training_data=spec.training_data,
        subsets=table(measured["subsets"]),
        sites=table(measured["sites"]),
        count=count,
        interval=round(196 * (0.8 * 0.2 / max(1, count)) ** 0.5),
    ) + "".join(f"- {limit}\n" for limit in limits)


def main(
    model: Annotated[Path, typer.Argument(help="Folder models/NAME/VERSION.")],
    architecture: Annotated[str, typer.Option(help="One paragraph about the network.")],
    limit: Annotated[
        list[str] | None, typer.Option(help="One more limit; may be repeated.")
    ] = None,
) -> None:
    """Rewrite MODEL_CARD.md and expected_performance in model.json."""
    spec = read_spec(model)
    measured = json.loads((model / EVALUATION).read_text())
    performance = {"data": measured["data"], **measured["subsets"]["all"]}
    write_spec(replace(spec, expected_performance=performance), model)
    (model / "MODEL_CARD.md").write_text(render(spec, measured, architecture, limit or ()))
    typer.echo(f"{model / 'MODEL_CARD.md'} written")


if __name__ == "__main__":
    typer.run(main)
