"""Threshold, peak and smallest volume are chosen on validation cases."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from service.adapters.model_files import read_spec
from service.domain.volume import Volume
from service.stages.extract_findings import extract_findings
from tests.evaluated import CLOT, ELSEWHERE, SECOND, SPEC, case, probability, subject
from tests.tiny_model import NAME, VERSION, install_tiny_model
from training.choose_threshold import Limits, choose, main, numbers_at_least, of_numbers, score
from training.dataset import save
from training.metrics import Label, compare


def test_threshold_that_silences_a_weak_false_alarm_is_chosen() -> None:
    maps: list[tuple[Label, Volume]] = [
        (
            subject(CLOT, SECOND).target,
            probability(CLOT, SECOND, ELSEWHERE, values=(0.9, 0.9, 0.65)),
        ),
        (subject().target, probability(ELSEWHERE, values=(0.65,))),
    ]
    in_limits, best, chosen = choose(maps, SPEC)
    assert 0.65 < max(chosen.threshold, chosen.peak) < 0.9
    assert (in_limits, best) == (True, 1.0)
    before = [(label, extract_findings(found, SPEC, midline_x=0.0)) for label, found in maps]
    assert score([compare(found, label) for label, found in before]) < 1.0


@pytest.mark.parametrize(("sure", "false"), [(0.95, 0.75), (0.9999, 0.9992)])
def test_the_outline_is_chosen_apart_from_whether_there_is_a_clot(
    sure: float, false: float
) -> None:
    # The clot is sure in its middle and less so at its ends; what is false is as probable there.
    ends, middle = SECOND, (SECOND[0], SECOND[1], slice(SECOND[2].start + 1, SECOND[2].stop - 1))
    unsure = probability(ends, middle, ELSEWHERE, values=(0.55, sure, false))
    false_alarm = probability(ELSEWHERE, values=(false,))
    in_limits, best, chosen = choose(
        [(subject(ends).target, unsure), (subject().target, false_alarm)], SPEC
    )
    assert (in_limits, best) == (True, 1.0)
    assert chosen.threshold < 0.55
    assert false < chosen.peak < sure
    assert extract_findings(unsure, chosen, midline_x=0.0).mask.voxels[ends].all()


@pytest.mark.parametrize(("alarms", "kept"), [(3, True), (4, False)])
def test_a_limit_is_kept_that_is_just_reached(alarms: int, kept: bool) -> None:
    silent, alarm = (
        compare(extract_findings(found, SPEC, midline_x=0.0), subject().target)
        for found in (probability(), probability(ELSEWHERE, values=(0.9,)))
    )
    cases = [alarm] * alarms + [silent] * (20 - alarms)
    assert Limits(false_alarms=0.15).hold(cases) is kept


def test_a_threshold_that_finds_more_and_too_much_that_is_false_is_not_chosen() -> None:
    clot, silent = subject(CLOT).target, subject().target
    found = probability(CLOT, values=(0.65,))
    quiet: list[tuple[Label, Volume]] = [(silent, probability())]
    false_alarm: list[tuple[Label, Volume]] = [(silent, probability(ELSEWHERE, values=(0.65,)))]
    assert choose([(clot, found), *4 * quiet, *false_alarm], SPEC).score == 1.0
    in_limits, best, chosen = choose([(clot, found), *3 * quiet, *false_alarm], SPEC)
    assert (in_limits, best) == (True, 0.0)
    assert max(chosen.threshold, chosen.peak) > 0.65


@pytest.mark.parametrize(
    "limits", [Limits(false_alarms=0.1), Limits(false_positives=0.1)], ids=["alarms", "positives"]
)
def test_stricter_limits_cost_the_clots_that_look_like_false_findings(limits: Limits) -> None:
    clot, silent = subject(CLOT).target, subject().target
    cases: list[tuple[Label, Volume]] = [
        (clot, probability(CLOT, values=(0.65,))),
        *4 * [(silent, probability())],
        (silent, probability(ELSEWHERE, values=(0.65,))),
    ]
    assert choose(cases, SPEC).score == 1.0
    in_limits, best, _ = choose(cases, SPEC, limits)
    assert (in_limits, best) == (True, 0.0)


def test_without_a_pair_within_the_limits_the_best_one_is_called_that() -> None:
    loud = probability(CLOT, ELSEWHERE, values=(0.9999, 0.9999))
    in_limits, best, _ = choose([(subject(CLOT).target, loud)], SPEC)
    assert not in_limits
    assert best > 0.5


@pytest.mark.parametrize("peak", [0.0, 0.75])
def test_findings_are_left_out_as_if_they_had_not_been_extracted(peak: float) -> None:
    small = (slice(1, 2), slice(1, 2), slice(1, 3))
    found = probability(CLOT, small, SECOND, values=(0.7, 0.9, 0.8))
    everything = extract_findings(found, replace(SPEC, min_volume_mm3=1.0), midline_x=0.0)
    assert len(everything.findings) == 3
    direct = extract_findings(found, replace(SPEC, min_volume_mm3=20.0, peak=peak), midline_x=0.0)
    left = of_numbers(everything, numbers_at_least(everything, 20.0, peak))
    assert len(left.findings) == (2 if peak == 0 else 1)
    assert [f.volume_mm3 for f in left.findings] == [f.volume_mm3 for f in direct.findings]
    assert np.array_equal(left.mask.voxels > 0, direct.mask.voxels > 0)
    assert not left.mask.voxels[small].any()


def test_the_cases_of_all_cohorts_decide(tmp_path: Path) -> None:
    install_tiny_model(tmp_path)
    model = tmp_path / NAME / VERSION
    for name, cases in {"patients": [case(CLOT), case(CLOT)], "without": [case()]}.items():
        for number, one in enumerate(cases):
            (tmp_path / name).mkdir(exist_ok=True)
            save(one, tmp_path / name / f"{number:04d}")
    app = typer.Typer()
    app.command()(main)
    cohorts = [f"--cohort={tmp_path / name}" for name in ("patients", "without")]
    done = CliRunner().invoke(app, [str(model), *cohorts])
    assert done.exit_code == 0, done.output
    assert "on 3 validation cases" in done.output
    spec = read_spec(model)
    assert f"threshold {spec.threshold}, peak {spec.peak}," in done.output
    assert not spec.expected_performance
    assert "without a lesion" not in done.output
    patients_only = CliRunner().invoke(app, [str(model), cohorts[0]])
    assert "warning: no validation case is without a lesion" in patients_only.output


def test_limits_that_nothing_keeps_to_are_named(tmp_path: Path) -> None:
    install_tiny_model(tmp_path)
    dark = case()
    # The model takes every dark place for a clot; nobody has labelled this one.
    dark.network_input.sequences[2:6, 0, 10:18, 10:18] = -3.0
    save(dark, tmp_path / "patients" / "0000")
    app = typer.Typer()
    app.command()(main)
    given = [str(tmp_path / NAME / VERSION), f"--cohort={tmp_path / 'patients'}"]
    strict = CliRunner().invoke(app, [*given, "--most-false-alarms=0.1"])
    assert strict.exit_code == 0, strict.output
    assert "no triple keeps to 0.5 false findings a case and 10%" in strict.output
    lenient = CliRunner().invoke(app, [*given, "--most-false-alarms=1", "--most-false-positives=1"])
    assert lenient.exit_code == 0, lenient.output
    assert "no triple" not in lenient.output
