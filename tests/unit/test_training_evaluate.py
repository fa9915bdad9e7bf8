"""Evaluation from cases to document and report."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from service.adapters.model_files import read_spec
from service.domain.sequence import Role
from tests.evaluated import (
    CLOT,
    COHORT,
    ELSEWHERE,
    SPEC,
    Box,
    SeesOnSusceptibility,
    case,
    probability,
    sources_for,
    subject,
)
from tests.tiny_model import NAME, VERSION, install_tiny_model
from training.dataset import PreparedCase, save
from training.evaluate import (
    EVALUATION,
    EvaluationError,
    document,
    evaluate,
    evaluate_subsets,
    kept_roles,
    main,
    sources_of,
    without,
    write,
)
from training.metrics import CaseResult, Subject, measure
from training.summary import breakdown, summarise
from training.write_card import read_evaluation

SMALL: Box = (slice(3, 5), slice(10, 12), slice(20, 22))


def test_summary_separates_cases_with_and_without_a_clot() -> None:
    results = [
        measure(subject(CLOT), probability(CLOT), SPEC),
        measure(subject(CLOT), probability(), SPEC),
        measure(subject(), probability(), SPEC),
        measure(subject(), probability(ELSEWHERE), SPEC),
    ]
    summary = summarise(results)
    assert (summary["cases_with_clot"], summary["cases_without_clot"]) == (2, 2)
    assert (summary["detected"], summary["missed"]) == (1, 1)
    assert summary["detection_rate"] == summary["detection_rate_any"] == 0.5
    assert summary["dice_all"] == 0.5
    assert summary["dice_detected"] == 1.0
    assert summary["false_alarm_rate_without_clot"] == 0.5
    assert summary["false_positives_per_case"] == 0.25
    assert (summary["hd95_mm"], summary["volume_error_relative"]) == (0.0, 0.0)
    assert summary["intervals"]["dice_all"] == [0.0, 1.0]
    assert summary["intervals"]["dice_detected"] is None
    assert summarise(results, "lumen")["dice_all"] == pytest.approx(1 / 3, abs=1e-4)
    assert summarise(results[:1])["false_alarm_rate_without_clot"] is None


def test_errors_of_size_keep_their_sign_beside_their_absolute_value() -> None:
    wider: Box = (slice(3, 5), slice(10, 14), slice(20, 28))
    half: Box = (slice(3, 5), slice(10, 14), slice(20, 22))
    answers = (probability(wider), probability(half), probability())
    summary = summarise([measure(subject(CLOT), answer, SPEC) for answer in answers])
    voxel = 2.0 * 0.9 * 0.9
    # 32 voxels of clot; 64 and 16 found, and a miss, which has no size.
    assert summary["volume_error_mm3"] == pytest.approx(voxel * (32 - 16) / 2)
    assert summary["volume_error_absolute_mm3"] == pytest.approx(voxel * (32 + 16) / 2)
    assert summary["volume_error_relative"] == pytest.approx((1.0 + 0.5) / 2)
    assert summary["length_error_absolute_mm"] > abs(summary["length_error_mm"])


def test_breakdown_by_site_artery_size_and_missing_sequences() -> None:
    results = evaluate(COHORT, SeesOnSusceptibility(), SPEC)
    small = measure(Subject.of(case(SMALL, seed=9), SPEC, "cohort"), probability(), SPEC)
    groups = breakdown([small, *results])
    assert {name: list(part) for name, part in groups.items()} == {
        "cohort": ["cohort"],
        "site": ["A", "B"],
        "occlusion": ["M1", "not stated", "no clot"],
        # The lumen of CLOT has 16 voxels of 1.62 mm3, that of SMALL four.
        "clot_size": ["under 30 mm3", "no clot"],
        "visibility": ["visible on SUSC", "no clot"],
        "missing": ["0", "3"],
        "sequences": ["ADC+DWI+FLAIR+PHASE+SUSC+TOF", "DWI+PHASE+SUSC"],
    }
    assert groups["site"]["B"]["cases_with_clot"] == 1
    assert groups["occlusion"]["no clot"]["false_alarm_rate_without_clot"] == 1.0
    assert groups["clot_size"]["under 30 mm3"]["detected"] == 2
    assert groups["missing"]["3"]["dice_all"] == 1.0


def test_clots_are_sorted_by_what_susceptibility_images_show_of_them() -> None:
    drawn = case(CLOT)
    unseen = replace(drawn, target=drawn.lumen)
    others = {key: value for key, value in drawn.parameters.items() if key != "simulator"}

    def visibility(one: PreparedCase, *kept: Role) -> str:
        return measure(
            Subject.of(one, SPEC, "cohort"), probability(), SPEC, frozenset(kept)
        ).visibility

    assert visibility(drawn, Role.SUSC) == "visible on SUSC"
    assert visibility(unseen, Role.SUSC) == "not visible on SUSC"
    assert visibility(drawn, Role.DWI) == "no SUSC"
    assert visibility(case(), Role.SUSC) == "no clot"
    assert visibility(replace(drawn, parameters=others), Role.SUSC) == "not stated"


@pytest.mark.parametrize(
    ("columns", "group"),
    # 4 rows of n columns of 1.62 mm3 in the lumen's one slice.
    [(4, "under 30 mm3"), (5, "30 to 100 mm3"), (15, "30 to 100 mm3"), (16, "100 mm3 and more")],
)
def test_clots_are_sorted_by_the_volume_of_their_lumen(columns: int, group: str) -> None:
    clot: Box = (slice(3, 5), slice(10, 14), slice(0, columns))
    assert list(breakdown([measure(subject(clot), probability(), SPEC)])["clot_size"]) == [group]


def test_taking_sequences_away_zeroes_them_and_their_flags() -> None:
    left = without(case(CLOT).network_input, {Role.DWI, Role.ADC}, SPEC)
    kept = [list(Role).index(role) for role in (Role.DWI, Role.ADC)]
    assert left.presence.sum() == 2
    assert (left.sequences[:, kept] == 1).all()
    assert (np.delete(left.sequences, kept, axis=1) == 0).all()


def test_natural_missingness_takes_away_what_the_archive_would_lack() -> None:
    first = COHORT[0].read()
    assert kept_roles(first, "all") == frozenset(Role)
    assert kept_roles(first, "natural") == frozenset(Role) - {Role.SUSC, Role.TOF}
    with pytest.raises(EvaluationError, match="case 7 does not say"):
        kept_roles(case(CLOT, seed=7), "natural")


@pytest.mark.parametrize("threads", [1, 2])
def test_every_case_is_measured_under_its_condition(threads: int) -> None:
    predictor = SeesOnSusceptibility()
    whole = evaluate(COHORT, predictor, SPEC, threads=threads)
    natural = evaluate(COHORT, predictor, SPEC, condition="natural", threads=threads)
    assert [result.seed for result in whole] == [result.seed for result in natural] == [1, 2, 3]
    assert [result.target.touched for result in whole] == [True, True, False]
    assert [result.target.touched for result in natural] == [False, True, False]
    assert [result.missing for result in natural] == [2, 3, 0]
    assert natural[0].sequences == "ADC+DWI+FLAIR+PHASE"
    assert all(result.voxels is not None for result in whole)


def test_combinations_are_measured_on_the_cases_that_have_them() -> None:
    subsets = evaluate_subsets(COHORT, SeesOnSusceptibility(), SPEC)
    assert len(subsets) == 63
    for subset, results in subsets.items():
        # The second case has no more than SUSC, PHASE and DWI.
        second = subset <= {Role.SUSC, Role.PHASE, Role.DWI}
        assert [result.seed for result in results] == ([1, 2, 3] if second else [1, 3])
        assert all(result.sequences == "+".join(sorted(subset)) for result in results)
        assert all(result.target.found is (Role.SUSC in subset) for result in results[:-1])


def test_only_complete_cases_aresources_for(tmp_path: Path) -> None:
    cohort = tmp_path / "held-out"
    save(case(CLOT, seed=4), cohort / "0000-A")
    (cohort / "0001-B.partial").mkdir()
    (cohort / "0001-B.partial" / "case.json").write_text("{}")
    (source,) = sources_of(cohort)
    assert source.cohort == "held-out"
    assert source.read().parameters["seed"] == 4
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError, match="empty holds no complete case"):
        sources_of(tmp_path / "empty")


def test_real_cases_are_called_real_and_never_mixed_with_simulated_ones(tmp_path: Path) -> None:
    real = replace(case(CLOT), parameters={"seed": 5, "site": "clinic"})
    measured = evaluate(sources_for(real), SeesOnSusceptibility(), SPEC)
    told = document(measured, None, SPEC, "all")
    assert told["data"] == "real"
    text = write(told, tmp_path).read_text()
    assert "on real cases" in text
    assert "imulated" not in text
    with pytest.raises(EvaluationError, match="is of real cases"):
        read_evaluation(tmp_path / EVALUATION, SPEC)
    both = evaluate(sources_for(real, case(CLOT)), SeesOnSusceptibility(), SPEC)
    with pytest.raises(EvaluationError, match="measured apart"):
        document(both, None, SPEC, "all")


@pytest.fixture(scope="module")
def results() -> list[CaseResult]:
    return evaluate(COHORT, SeesOnSusceptibility(), SPEC)


def test_document_is_plain_json_and_complete(results: list[CaseResult], tmp_path: Path) -> None:
    subsets = evaluate_subsets(COHORT[:1], SeesOnSusceptibility(), SPEC)
    measured = document(results, subsets, SPEC, "all")
    report = write(measured, tmp_path / "out")
    read = read_evaluation(tmp_path / "out" / "evaluation.json", SPEC)
    assert read == json.loads(json.dumps(measured))
    assert (read["data"], read["condition"], read["cohorts"]) == ("simulated", "all", {"cohort": 3})
    assert read["labels"]["target"]["detection_rate"] == 1.0
    assert read["subsets"]["rows"]["DWI"]["detection_rate"] == 0.0
    assert [row["seed"] for row in read["cases"]] == [1, 2, 3]
    assert read["cases"][0]["target"]["hits"] == [True]
    # Both have a perfect Dice: there is no order to correlate with.
    assert read["calibration"]["entropy_and_dice"]["pairs"] == 2
    assert read["calibration"]["entropy_and_dice"]["rho"] is None
    assert read["calibration"]["cases"]["cases"] == 3
    assert report == tmp_path / "out" / "evaluation.md"


def test_every_table_and_plot_of_the_report_says_simulated(
    results: list[CaseResult], tmp_path: Path
) -> None:
    subsets = evaluate_subsets(COHORT[:1], SeesOnSusceptibility(), SPEC)
    text = write(document(results, subsets, SPEC, "all"), tmp_path).read_text()
    assert f"Threshold {SPEC.threshold:g},\npeak {SPEC.peak:g}, smallest finding" in text
    rows = text.splitlines()
    headers = [above for above, rule in pairwise(rows) if rule[:4] == "|---"]
    assert len(headers) == 14
    assert all("simulated" in header for header in headers)
    assert "| target | 2 | 1 | 1 [1, 1] |" in text
    assert "| DWI+PHASE (PHASE without SUSC) | 1 | 0 |" in text
    plots = [row for row in rows if row.startswith("![")]
    assert all("(simulated)" in plot for plot in plots)
    names = [plot.split("](")[1].rstrip(")") for plot in plots]
    assert names == [
        f"evaluation-{name}.png" for name in ("froc", "calibration", "dice", "robustness")
    ]
    for name in names:
        with Image.open(tmp_path / name) as plot:
            pixels = np.asarray(plot.convert("L"))
        assert pixels.shape == (420, 600)
        assert np.unique(pixels).size > 20


def test_a_natural_evaluation_does_not_replace_the_whole_one(
    results: list[CaseResult], tmp_path: Path
) -> None:
    write(document(results, None, SPEC, "all"), tmp_path)
    report = write(document(results, None, SPEC, "natural"), tmp_path)
    assert report.name == "evaluation-natural.md"
    assert "archive of each site would lack" in report.read_text()
    assert "Not measured." in report.read_text()
    assert read_evaluation(tmp_path / "evaluation.json", SPEC)["condition"] == "all"


def test_cases_without_any_clot_or_finding_can_be_reported(tmp_path: Path) -> None:
    silent = [measure(subject(), probability(), SPEC, voxels=True)]
    report = write(document(silent, None, SPEC, "all"), tmp_path)
    assert "| target | 0 | 1 | - | - | - | - | - | - | 0 | 0 |" in report.read_text()


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(main)
    return app


def test_command_measures_cohorts_and_writes_into_the_model(
    tmp_path: Path, command: typer.Typer
) -> None:
    install_tiny_model(tmp_path)
    model = tmp_path / NAME / VERSION
    # The tiny network calls thrombus what is dark on the susceptibility image.
    dark = case(CLOT, seed=1, examination={"lacking": ["SUSC"]})
    np.asarray(dark.network_input.sequences)[(CLOT[0], 0, *CLOT[1:])] = -4.0
    for name in ("one", "two"):
        save(dark, tmp_path / name / "0000-A")
    cohorts = [f"--cohort={tmp_path / name}" for name in ("one", "two")]
    runner = CliRunner()
    whole = runner.invoke(command, [str(model), *cohorts, "--subset-cases", "1"])
    assert whole.exit_code == 0, whole.output
    measured = read_evaluation(model / "evaluation.json", read_spec(model))
    assert measured["cohorts"] == {"one": 1, "two": 1}
    assert measured["labels"]["target"]["dice_all"] == 1.0
    assert measured["subsets"]["cases"] == 1
    assert measured["model"]["name"] == NAME
    out = tmp_path / "elsewhere"
    lacking = [str(model), cohorts[0], "--condition", "natural", "--out", str(out)]
    assert runner.invoke(command, lacking).exit_code == 0
    natural = read_evaluation(out / "evaluation-natural.json", read_spec(model))
    assert natural["breakdown"]["missing"].keys() == {"1"}


def test_command_says_what_is_wrong_with_a_cohort(tmp_path: Path, command: typer.Typer) -> None:
    install_tiny_model(tmp_path)
    (tmp_path / "empty").mkdir()
    arguments = [str(tmp_path / NAME / VERSION), "--cohort", str(tmp_path / "empty")]
    refused = CliRunner().invoke(command, arguments)
    assert refused.exit_code == 2
    # The message stands in a frame that breaks its lines.
    assert "holds no complete case" in " ".join(refused.output.replace("│", " ").split())
