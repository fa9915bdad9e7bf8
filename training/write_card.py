"""Copy what was measured to model.json and MODEL_CARD.md: ``python -m training.write_card MODEL``.

Numbers come from evaluation.json alone (and evaluation-natural.json, if it is there), so that card,
report and measurement cannot differ.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from service.adapters.model_files import read_spec
from service.domain.model_spec import COMBINATIONS, ModelSpec, combination
from service.domain.sequence import Role
from training.evaluate import EVALUATION, NATURAL, SCHEMA_VERSION, EvaluationError
from training.evaluation_report import MAIN, SUBSET, missing_table, table
from training.export_onnx import write_spec
from training.metrics import SIMULATED

# What model.json, and so every report, tells about a combination of sequences.
TOLD = ("detection_rate", "dice_all", "false_positives_per_case")
COUNTED = ("cases_with_clot", "cases_without_clot")
# Fewer cases with a clot say too little about a combination.
LEAST_CASES = 10
# Combinations that the card shows; evaluation.md has all.
SHOWN = {
    "all": frozenset(Role),
    "without SUSC and PHASE": frozenset(Role) - {Role.SUSC, Role.PHASE},
    "DWI and ADC": frozenset({Role.DWI, Role.ADC}),
    "SUSC": frozenset({Role.SUSC}),
}
CARD = """# {name} {version}

Outlines arterial thrombi on brain MR studies of suspected ischaemic stroke: susceptibility-weighted
magnitude and phase, DWI, ADC, FLAIR, TOF, any of which may be missing. **Research software, not a
medical device. Trained and measured on simulated studies only: the numbers say nothing about
patients.**

## Model

{architecture}
Threshold {threshold}{peak}, smallest finding {min_volume_mm3} mm3, chosen on simulated validation
cases. `weights.pt` holds the PyTorch weights, `golden/` a small simulated case and its Dice.

## Training data

{training_data}

## Measured on simulated cases it had not seen

Means over cases with 95 % bootstrap intervals. Detection: the most probable finding touches the
label; "by any finding": any of them does. IoU and centre are of the most probable finding. "Dice,
all" counts misses, and false findings in every case. The target is the dark region that the
simulated clot causes, or its lumen where it is not visible; the lumen is the true clot.
`evaluation.md` has all tables and plots.

By label:

{labels}

By sequences, all of them or without those that the archives of the sites would lack, and by cohort:

{conditions}

By scanner, {condition}:

{sites}

A: 3 T multi-echo mean. B: 3 T, phase-masked. C: 1.5 T, phase-masked. D: 1.5 T 2D T2*, 5 to 6 mm
slices, no phase in the archive. Other letters: `training/configs/sites-wide.toml`, of which X to Z
are never trained on.

{combinations}
## Limits

- No real thrombus was in the training or in these measurements. Real scanners, pathology, motion,
  faces and older infarcts look different.
- Veins, microbleeds and air at the skull base can cause false findings.
- Intervals are over simulated cases: they say nothing about the step to real ones.
- Without the susceptibility-weighted series the clot is visible only indirectly.
- The fewer sequences, the fewer clots are found.
"""
COMBINED = """By combination of sequences, on {cases} of the cases:

{shown}

{missing}
"""
FREQUENT = f"""By the sequences that archives would have, if {LEAST_CASES} clots or more have them:

{{rows}}
"""
NOT_COMBINED = "Other combinations of sequences were not measured.\n"


def read_evaluation(file: Path, spec: ModelSpec) -> dict[str, Any]:
    """Read what ``training.evaluate`` wrote of a model.

    Raises
    ------
    EvaluationError
        If it is missing, of another form, not of simulated cases, or of other weights or another
        threshold than the model has.
    """
    if not file.exists():
        raise EvaluationError(f"{file} is missing: run training.evaluate")
    measured: dict[str, Any] = json.loads(file.read_text())
    version = measured.get("schema_version")
    if version != SCHEMA_VERSION:
        raise EvaluationError(
            f"{file} has schema_version {version!r}, not {SCHEMA_VERSION}: run training.evaluate"
        )
    if measured["data"] != SIMULATED:
        raise EvaluationError(
            f"{file} is of {measured['data']} cases: the card is of simulated ones"
        )
    _check_same_model(spec, measured, file)
    return measured


def _check_same_model(spec: ModelSpec, measured: Mapping[str, Any], file: Path) -> None:
    for key, value in measured["model"].items():
        if value != getattr(spec, key):
            raise EvaluationError(
                f"{file} was measured with {key} {value!r}, model.json has {getattr(spec, key)!r}: "
                "run training.evaluate"
            )


def performance(
    measured: Mapping[str, Any], natural: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what model.json says was measured, with combinations of sequences.

    These are all that were measured on the same cases, and those that enough cases have where
    archives lack some, each if on LEAST_CASES clots or more: of a combination of both, what was
    measured on more clots.
    """
    target, lumen = measured["labels"]["target"], measured["labels"]["lumen"]
    return {
        "data": measured["data"],
        **target,
        "dice_lumen_all": lumen["dice_all"],
        COMBINATIONS: _of_most_clots(measured, natural),
    }


def _of_most_clots(
    measured: Mapping[str, Any], natural: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """Return of every combination what was measured on most clots, if on any."""
    complete = measured["breakdown"]["missing"].get("0")
    sources = [(measured, {} if complete is None else {combination(Role): complete})]
    if measured["subsets"] is not None:
        sources.append((measured, _frequent(measured["subsets"]["rows"])))
    if natural is not None:
        sources.append((natural, _frequent(natural["breakdown"]["sequences"])))
    told: dict[str, dict[str, Any]] = {}
    for document, rows in sources:
        for name, row in rows.items():
            # Without a clot to find, nothing is known of how well clots are found.
            most = told[name]["cases_with_clot"] if name in told else 0
            if row["cases_with_clot"] > most:
                told[name] = _told(row) | {"cohorts": sorted(document["cohorts"])}
    return told


def _frequent(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Return the combinations that enough cases with a clot have."""
    return {name: row for name, row in rows.items() if row["cases_with_clot"] >= LEAST_CASES}


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    intervals = {key: row["intervals"][key] for key in TOLD}
    return {key: row[key] for key in (*COUNTED, *TOLD)} | {"intervals": intervals}


def render(
    spec: ModelSpec,
    measured: Mapping[str, Any],
    architecture: str,
    limits: Sequence[str] = (),
    natural: Mapping[str, Any] | None = None,
) -> str:
    """Return the text of the card; ``limits`` are sentences about this version alone."""
    conditions = {part["condition"]: part for part in (measured, natural) if part is not None}
    return CARD.format(
        name=spec.name,
        version=spec.version,
        architecture=architecture,
        threshold=spec.threshold,
        peak=f", peak {spec.peak}" if spec.peak else "",
        min_volume_mm3=spec.min_volume_mm3,
        training_data=spec.training_data,
        labels=table("label", measured["labels"], MAIN),
        conditions=table("sequences", _by_condition_and_cohort(conditions), MAIN),
        condition=f"{measured['condition']} sequences",
        sites=table("site", measured["breakdown"]["site"], MAIN),
        combinations=_combinations(measured["subsets"], natural),
    ) + "".join(f"- {limit}\n" for limit in limits)


def _by_condition_and_cohort(conditions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows = {}
    for name, part in conditions.items():
        rows[name] = part["labels"]["target"]
        cohorts = part["breakdown"]["cohort"]
        if len(cohorts) > 1:
            rows |= {f"{name}, {cohort}": summary for cohort, summary in cohorts.items()}
    return rows


def _combinations(subsets: Mapping[str, Any] | None, natural: Mapping[str, Any] | None) -> str:
    frequent = {} if natural is None else _frequent(natural["breakdown"]["sequences"])
    often = FREQUENT.format(rows=table("sequences", frequent, MAIN)) if frequent else ""
    if subsets is None:
        return "\n".join(part for part in (often, NOT_COMBINED) if part)
    shown = {title: subsets["rows"].get(combination(roles)) for title, roles in SHOWN.items()}
    known = {title: row for title, row in shown.items() if row is not None}
    combined = COMBINED.format(
        cases=subsets["cases"],
        shown=table("sequences", known, SUBSET),
        missing=missing_table(subsets),
    )
    return "\n".join(part for part in (combined, often) if part)


def main(
    model: Annotated[Path, typer.Argument(help="Folder models/NAME/VERSION.")],
    architecture: Annotated[str, typer.Option(help="One paragraph about the network.")],
    limit: Annotated[
        list[str] | None, typer.Option(help="One more limit; may be repeated.")
    ] = None,
) -> None:
    """Rewrite MODEL_CARD.md and expected_performance in model.json."""
    spec = read_spec(model)
    file = model / NATURAL
    try:
        measured = read_evaluation(model / EVALUATION, spec)
        natural = read_evaluation(file, spec) if file.exists() else None
    except EvaluationError as exc:
        raise typer.BadParameter(str(exc)) from exc
    write_spec(replace(spec, expected_performance=performance(measured, natural)), model)
    card = render(spec, measured, architecture, limit or (), natural)
    (model / "MODEL_CARD.md").write_text(card)
    typer.echo(f"{model / 'MODEL_CARD.md'} written")


if __name__ == "__main__":
    typer.run(main)
