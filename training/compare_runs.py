"""Compare measured models case by case: ``python -m training.compare_runs REFERENCE OTHER ...``.

Each argument is an ``evaluation.json`` or ``evaluation-natural.json`` of ``training.evaluate`` or
``training.measure_run``, all of the same cases and condition. Printed are the means of each, and
the paired differences of the others from the first: 95 % bootstrap interval over cases, p-value of
the permutation test, and the same after Holm's correction for the number of models compared.
Where each finds how many clots depends on its threshold; "detection at 0.25 false positives a case"
does not: findings count from the score at which a model has that many, as on its FROC curve. Its
interval holds for that score.
``--keep FOLDER`` writes of each evaluation what a comparison needs, to be committed: it is read
here like the whole, and later models can be compared with it.

The JSON document holds ``data``, ``condition``, ``cases``, ``reference``, and under ``metrics``, by
metric and model, ``mean`` and its ``interval``, and for all but the reference ``difference``,
``difference_interval``, ``p_value`` and ``p_value_holm``.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from training.evaluate import EvaluationError
from training.intervals import Difference, Estimate, holm, mean_interval, paired_difference

# What is compared: among the cases with a clot, or all.
LEAST_CASES = 2
FALSE_POSITIVES = 0.25
AT_RATE = f"detection at {FALSE_POSITIVES} false positives a case"
COMPARED = ("detection", "detection by any finding", AT_RATE, "dice", "false positives")
# Of an evaluation, its cases and their targets: what is kept for later comparisons.
KEPT = ("schema_version", "data", "model", "condition")
KEPT_CASE = ("cohort", "seed", "site", "occlusion", "sequences", "scores")
KEPT_TARGET = ("with_clot", "found", "touched", "dice", "false_positives", "hits", "clot_scores")
Case = tuple[str, int]
Values = Mapping[str, Mapping[Case, float]]


def read(file: Path) -> dict[str, Any]:
    """Read a document of ``training.evaluate``.

    Raises
    ------
    EvaluationError
        If it is missing or none.
    """
    try:
        measured: dict[str, Any] = json.loads(file.read_text())
        measured["model"]["name"], measured["condition"]
        for case in measured["cases"]:
            # Kept by earlier versions without them.
            case["scores"], case["target"]["hits"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise EvaluationError(f"{file} is no evaluation: {exc!r}") from exc
    return measured


def values_of(measured: Mapping[str, Any]) -> Values:
    """Return every compared metric by case.

    Raises
    ------
    EvaluationError
        If two cases cannot be told apart.
    """
    cases = {(case["cohort"], case["seed"]): case["target"] for case in measured["cases"]}
    if len(cases) < len(measured["cases"]):
        raise EvaluationError("two cases have the same cohort and seed: name cohorts apart")
    with_clot = {key: target for key, target in cases.items() if target["with_clot"]}
    beaten = score_at(measured["cases"], FALSE_POSITIVES)
    return {
        "detection": {key: float(target["touched"]) for key, target in with_clot.items()},
        "detection by any finding": {k: float(target["found"]) for k, target in with_clot.items()},
        AT_RATE: {k: float(max(t["clot_scores"]) > beaten) for k, t in with_clot.items()},
        "dice": {key: float(target["dice"]) for key, target in with_clot.items()},
        "false positives": {k: float(target["false_positives"]) for k, target in cases.items()},
    }


def score_at(cases: Sequence[Mapping[str, Any]], rate: float) -> float:
    """Return the score that a finding must exceed for at most ``rate`` false positives a case."""
    wrong = sorted(
        (
            score
            for case in cases
            for score, hit in zip(case["scores"], case["target"]["hits"], strict=True)
            if not hit
        ),
        reverse=True,
    )
    allowed = int(rate * len(cases))
    return float(wrong[allowed]) if len(wrong) > allowed else 0.0


def kept(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a comparison needs of an evaluation, and where its cases came from."""
    cases = [
        {key: case[key] for key in KEPT_CASE}
        | {"target": {key: case["target"][key] for key in KEPT_TARGET}}
        for case in measured["cases"]
    ]
    return {key: measured[key] for key in KEPT} | {"cases": cases}


def _keep(measured: Mapping[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{measured['model']['name']}-{measured['condition']}.json"
    file.write_text(json.dumps(kept(measured)) + "\n")


def compare(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Compare documents by name with the first; see the module's docstring for the result.

    Raises
    ------
    EvaluationError
        If they are not of the same cases and condition.
    """
    reference, *others = documents
    first = documents[reference]
    if sum(case["target"]["with_clot"] for case in first["cases"]) < LEAST_CASES:
        raise EvaluationError(f"fewer than {LEAST_CASES} cases with a clot say nothing")
    values = {name: values_of(measured) for name, measured in documents.items()}
    for name in others:
        _check_same(documents[name], first, name)
    return {
        "data": first["data"],
        "condition": first["condition"],
        "cases": len(first["cases"]),
        "reference": reference,
        "metrics": {
            metric: _compared({name: values[name][metric] for name in documents})
            for metric in COMPARED
        },
    }


def _check_same(one: Mapping[str, Any], other: Mapping[str, Any], name: str) -> None:
    for key in ("data", "condition"):
        if one[key] != other[key]:
            raise EvaluationError(
                f"{name}: {key} is {one[key]!r}, that of the first {other[key]!r}"
            )
    mine, theirs = (
        {(case["cohort"], case["seed"]) for case in measured["cases"]} for measured in (one, other)
    )
    if mine != theirs:
        raise EvaluationError(f"{name}: {len(mine ^ theirs)} cases are not those of the first")


def _compared(by_model: Mapping[str, Mapping[Case, float]]) -> dict[str, Any]:
    reference, *others = by_model
    order = sorted(by_model[reference])
    columns = {name: [values[case] for case in order] for name, values in by_model.items()}
    differences = {name: paired_difference(columns[name], columns[reference]) for name in others}
    corrected = holm({name: found.p_value for name, found in differences.items()})
    return {
        name: _mean(mean_interval(column))
        | ({} if name == reference else _difference(differences[name], corrected[name]))
        for name, column in columns.items()
    }


def _mean(mean: Estimate) -> dict[str, Any]:
    return {"mean": mean.value, "interval": [mean.low, mean.high]}


def _difference(found: Difference, corrected: float) -> dict[str, Any]:
    return {
        "difference": found.value,
        "difference_interval": [found.low, found.high],
        "p_value": found.p_value,
        "p_value_holm": corrected,
    }


def markdown(compared: Mapping[str, Any]) -> str:
    """Return one table a metric."""
    heading = f"{compared['cases']} {compared['data']} cases, {compared['condition']} sequences"
    parts = [f"Difference from {compared['reference']}; {heading}.\n"]
    for metric, models in compared["metrics"].items():
        parts.append(f"| {metric} ({compared['data']}) | mean | difference | p | p, Holm |")
        parts.append("|---|---|---|---|---|")
        parts += [_row(name, row) for name, row in models.items()]
        parts.append("")
    return "\n".join(parts)


def _row(name: str, row: Mapping[str, Any]) -> str:
    cells = [name, _number(row["mean"], row["interval"]), "", "", ""]
    if "difference" in row:
        cells[2:] = [
            _number(row["difference"], row["difference_interval"], sign="+"),
            f"{row['p_value']:.3g}",
            f"{row['p_value_holm']:.3g}",
        ]
    return f"| {' | '.join(cells)} |"


def _number(value: float, interval: Sequence[float | None], sign: str = "") -> str:
    limits = ", ".join("-" if limit is None else f"{limit:{sign}.3f}" for limit in interval)
    return f"{value:{sign}.3f} [{limits}]"


def main(
    files: Annotated[list[Path], typer.Argument(help="Evaluations, the reference first.")],
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for what comparisons need of each evaluation.")
    ] = None,
) -> None:
    """Print the comparison, and write it."""
    try:
        documents = {}
        for file in files:
            measured = read(file)
            documents[str(measured["model"]["name"])] = measured
        if len(documents) != len(files) or len(files) < 2:
            raise EvaluationError("two or more evaluations of different models are needed")
        compared = compare(documents)
    except EvaluationError as exc:
        raise typer.BadParameter(str(exc)) from exc
    typer.echo(markdown(compared))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(compared, indent=1) + "\n")
    if keep is not None:
        for measured in documents.values():
            _keep(measured, keep)


if __name__ == "__main__":
    typer.run(main)
