"""Every combination of sequences that a study can have, and how well each serves.

A case counts in a combination only if it has all of it, so that a row is what its name says.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from service.domain.model_spec import combination
from service.domain.sequence import COMES_WITH, Role
from training.intervals import Estimate, mean_interval
from training.metrics import CaseResult
from training.summary import METRIC_OF, belongs, estimate, limits

REPORTED = ("detection_rate", "detection_rate_any", "dice_all", "dice_detected")
REPORTED_METRICS = [METRIC_OF[key] for key in (*REPORTED, "false_positives_per_case")]

Results = Mapping[frozenset[Role], Sequence[CaseResult]]


def all_subsets(roles: Sequence[Role]) -> list[frozenset[Role]]:
    """Return all non-empty combinations, larger ones first, in the order of the roles."""
    return [
        frozenset(chosen)
        for size in range(len(roles), 0, -1)
        for chosen in combinations(roles, size)
    ]


def oddity(roles: frozenset[Role]) -> str | None:
    """Say why a combination is physically odd; None if it is not."""
    alone = [
        f"{role} without {source}"
        for role, source in COMES_WITH.items()
        if role in roles and source not in roles
    ]
    return ", ".join(alone) or None


def choose_cases(count: int, wanted: int, *, seed: int = 0) -> list[int]:
    """Draw which of ``count`` cases the combinations are measured on, in their order."""
    drawn = np.random.default_rng(seed).permutation(count)[:wanted]
    return sorted(drawn.tolist())


def tabulate(results: Results, roles: Sequence[Role]) -> dict[str, Any]:
    """Return a row for every combination, and what they say together.

    The summaries leave out physically odd combinations: ``by_missing`` averages over the
    combinations of a case first, then over cases, ``mean`` over combinations.
    """
    rows = {combination(subset): _row(subset, cases) for subset, cases in results.items()}
    plain = {subset: cases for subset, cases in results.items() if oddity(subset) is None}
    measured = {name: row for name, row in rows.items() if row["odd"] is None}
    halves = {
        "with SUSC": [row for row in measured.values() if Role.SUSC in row["roles"]],
        "without SUSC": [row for row in measured.values() if Role.SUSC not in row["roles"]],
    }
    return {
        "cases": len({(case.cohort, case.seed) for cases in results.values() for case in cases}),
        "rows": rows,
        "by_missing": _by_missing(plain, len(roles)),
        "mean": {"all": _mean(list(measured.values()))}
        | {name: _mean(half) for name, half in halves.items()},
        "worst": _worst(measured),
    }


def _row(subset: frozenset[Role], results: Sequence[CaseResult]) -> dict[str, Any]:
    agreements = [result.target for result in results]
    with_clot = sum(agreement.with_clot for agreement in agreements)
    found = {metric.key: estimate(metric, agreements) for metric in REPORTED_METRICS}
    return {
        "roles": sorted(subset),
        "odd": oddity(subset),
        "cases_with_clot": with_clot,
        "cases_without_clot": len(agreements) - with_clot,
        **{key: mean and round(mean.value, 4) for key, mean in found.items()},
        "intervals": {key: limits(mean) for key, mean in found.items()},
    }


def _by_missing(results: Results, total: int) -> dict[str, Any]:
    sizes = sorted({len(subset) for subset in results}, reverse=True)
    return {
        str(total - size): {
            "combinations": sum(len(subset) == size for subset in results),
            **{
                metric: _jsonable(_over_cases(results, size, metric))
                for metric in ("detection_rate", "dice_all", "false_positives_per_case")
            },
        }
        for size in sizes
    }


def _over_cases(results: Results, size: int, key: str) -> Estimate | None:
    """Average a metric over the combinations of each case, then over cases."""
    metric = METRIC_OF[key]
    of_case: dict[tuple[str, int], list[float]] = {}
    for subset, cases in results.items():
        for case in cases:
            if len(subset) == size and belongs(case.target, metric.among):
                of_case.setdefault((case.cohort, case.seed), []).append(metric.value(case.target))
    means = [float(np.mean(values)) for values in of_case.values()]
    return mean_interval(means) if means else None


def _jsonable(mean: Estimate | None) -> dict[str, Any] | None:
    if mean is None:
        return None
    return {"value": round(mean.value, 4), "interval": limits(mean), "cases": mean.cases}


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Average over the combinations that have cases, each counting once."""
    rows = [row for row in rows if row["cases_with_clot"]]
    keys = ("detection_rate", "dice_all", "false_positives_per_case")
    known = {key: [row[key] for row in rows if row[key] is not None] for key in keys}
    return {"combinations": len(rows)} | {
        key: round(float(np.mean(values)), 4) if values else None for key, values in known.items()
    }


def _worst(rows: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the combination with the lowest Dice."""
    known = {name: row["dice_all"] for name, row in rows.items() if row["dice_all"] is not None}
    return min(known, key=lambda name: known[name], default=None)
