"""Models compared case by case, and runs measured without a release."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from service.stages.preprocess import NetworkInput
from tests.evaluated import result
from training.compare_runs import compare, markdown, read, score_at, values_of
from training.compare_runs import main as compare_command
from training.config import TrainConfig
from training.dataset import PreparedCase, save
from training.evaluate import EvaluationError, sources_of
from training.measure_run import MEASURED, measure_run
from training.simulate.grids import axial_grid
from training.train import train


def _document(name: str, dices: list[float], **more: object) -> dict[str, Any]:
    cases = []
    for seed, dice in enumerate(dices):
        one = result(scores=(0.9,), hits=(dice > 0.5,), clot_scores=(0.9,), seed=seed)
        agreement = replace(one.target, dice=dice)
        cases.append(asdict(replace(one, target=agreement, lumen=agreement)))
    return {
        "data": "simulated",
        "condition": "all",
        "model": {"name": name},
        "cases": cases,
    } | more


DICES = np.random.default_rng(0).uniform(0.2, 0.9, 60).tolist()


def test_a_difference_is_found_with_an_interval_that_excludes_zero() -> None:
    better = [min(1.0, dice + 0.1) for dice in DICES]
    compared = compare({"a": _document("a", DICES), "b": _document("b", better)})
    row = compared["metrics"]["dice"]["b"]
    assert row["difference"] == pytest.approx(np.mean(better) - np.mean(DICES))
    assert row["difference_interval"][0] > 0.05
    assert row["p_value"] < 0.01
    assert row["p_value_holm"] == row["p_value"]
    assert "difference" not in compared["metrics"]["dice"]["a"]
    assert compared["metrics"]["detection"]["b"]["mean"] >= np.mean(np.array(DICES) > 0.5)
    text = markdown(compared)
    assert "60 simulated cases, all sequences" in text
    assert f"+{row['difference']:.3f}" in text


def test_detection_is_compared_where_false_positives_are_as_many() -> None:
    """Of eight cases two may have a false finding: the third best of them is not exceeded."""
    scores = [(0.9, 0.7), (0.95, 0.8), (0.65, 0.6), (0.99, 0.3), (0.5,), (0.71,), (), ()]
    right = [(True, False), (True, False), (True, False), (False, True), (True,), (True,), (), ()]
    best = [0.9, 0.95, 0.65, 0.3, 0.5, 0.71, 0, 0]
    cases = [
        asdict(result(scores=s, hits=h, clot_scores=(b,), seed=seed))
        for seed, (s, h, b) in enumerate(zip(scores, right, best, strict=True))
    ]
    measured = _document("a", []) | {"cases": cases}
    assert score_at(cases, 0.25) == 0.7
    assert score_at(cases, 0.5) == 0.0
    found = values_of(measured)["detection at 0.25 false positives a case"]
    assert [found["cohort", seed] for seed in range(8)] == [1, 1, 0, 0, 0, 1, 0, 0]


def test_cases_are_paired_whatever_their_order_and_holm_counts_the_models() -> None:
    mixed = _document("b", DICES)
    mixed["cases"].reverse()
    noisy = [
        float(np.clip(d + e, 0, 1)) for d, e in zip(DICES, np.tile([0.04, -0.03], 30), strict=True)
    ]
    compared = compare({"a": _document("a", DICES), "b": mixed, "c": _document("c", noisy)})
    same = compared["metrics"]["dice"]["b"]
    assert same["difference"] == 0
    assert same["difference_interval"] == [0, 0]
    other = compared["metrics"]["dice"]["c"]
    assert other["p_value_holm"] == pytest.approx(min(1, 2 * other["p_value"]))


def test_other_cases_or_conditions_are_refused() -> None:
    first = _document("a", DICES)
    with pytest.raises(EvaluationError, match="b: 1 cases are not those of the first"):
        compare({"a": first, "b": _document("b", DICES[:-1])})
    with pytest.raises(EvaluationError, match="condition is 'natural'"):
        compare({"a": first, "b": _document("b", DICES, condition="natural")})


def test_cases_that_cannot_be_told_apart_or_are_too_few_are_refused() -> None:
    twice = _document("a", DICES)
    twice["cases"].append(twice["cases"][0])
    with pytest.raises(EvaluationError, match="the same cohort and seed"):
        compare({"a": twice, "b": twice})
    few = _document("a", DICES[:1])
    with pytest.raises(EvaluationError, match="fewer than 2 cases with a clot"):
        compare({"a": few, "b": few})


def test_an_evaluation_kept_without_scores_is_refused(tmp_path: Path) -> None:
    old = _document("a", DICES[:2])
    del old["cases"][1]["scores"]
    file = tmp_path / "a-all.json"
    file.write_text(json.dumps(old))
    with pytest.raises(
        EvaluationError, match=r"a-all\.json is no evaluation: KeyError\('scores'\)"
    ):
        read(file)


def _case(seed: int) -> PreparedCase:
    rng = np.random.default_rng(seed)
    grid = axial_grid((0, 0, 0), (2.0, 0.9, 0.9), (6, 32, 32))
    target = np.zeros(grid.shape, bool)
    target[2:4, 10:16, 20:26] = seed % 4 != 3
    sequences = rng.normal(size=(6, 6, 32, 32)).astype(np.float32)
    sequences[:, 0][target] -= 6
    values = NetworkInput(sequences, np.ones(6, np.float32), grid, grid, (14.0, 0.0, 0.0))
    examination = {"lacking": ["SUSC", "PHASE"] if seed % 2 else ["TOF"]}
    parameters = {"simulator": "t", "seed": seed, "site": "A", "examination": examination}
    return PreparedCase(values, target, target, parameters)


def test_runs_of_any_network_are_measured_and_compared(tmp_path: Path) -> None:
    for seed in range(4):
        save(_case(seed), tmp_path / "cohort" / f"{seed:04d}")
    common = (
        f"cohort = '{tmp_path / 'cohort'}'\nseed = 3\nsteps = 60\nslabs = [[4, 32, 32]]\n"
        "threads = 1\nbfloat16 = false\nlearning_rate = 1e-2\nema = 0.5\nwarmup_steps = 5\n"
    )
    networks = {
        "ours": "channels = [4, 8]\nhidden = 4\nrecurrence = 'both'\nprior = 0.05\n",
        "flat": "kind = 'attention_unet_2d'\nchannels = [4, 8]\nprior = 0.05\n",
    }
    files = []
    for name, network in networks.items():
        file = tmp_path / f"{name}.toml"
        file.write_text(
            f"output = '{tmp_path / name}'\n{common}[dropout]\nrate = 0.0\n[network]\n{network}"
        )
        train(TrainConfig.read(file))
        sources = sources_of(tmp_path / "cohort")
        reports = measure_run(tmp_path / name, sources, sources, bfloat16=True)
        assert [report.stem for report in reports] == ["evaluation", "evaluation-natural"]
        files.append(str(tmp_path / name / MEASURED / "evaluation.json"))
        found = json.loads(Path(files[-1]).read_text())
        assert found["model"]["name"] == name
        # A dark box in one sequence is learnt in a few steps.
        assert found["labels"]["target"]["detection_rate"] == 1
        natural = json.loads((tmp_path / name / MEASURED / "evaluation-natural.json").read_text())
        assert {case["missing"] for case in natural["cases"]} == {1, 2}
    out = tmp_path / "evidence" / "networks.json"
    command = typer.Typer()
    command.command()(compare_command)
    done = CliRunner().invoke(command, [*files, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text())["reference"] == "ours"
    assert "| flat |" in done.output
    held = tmp_path / "kept"
    again = CliRunner().invoke(command, [*files, "--keep", str(held)])
    assert again.exit_code == 0, again.output
    # What was kept is read like the whole, and says the same.
    small = [str(held / "ours-all.json"), str(held / "flat-all.json")]
    from_kept = CliRunner().invoke(command, [*small, "--keep", str(held)])
    assert from_kept.output == done.output
    assert Path(small[0]).stat().st_size < Path(files[0]).stat().st_size / 5
    alone = CliRunner().invoke(command, files[:1])
    assert alone.exit_code == 2
