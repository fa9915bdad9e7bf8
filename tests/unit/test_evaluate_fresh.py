"""A model measured on fresh cases by one command."""

import json
from pathlib import Path

import numpy as np
import typer
from typer.testing import CliRunner

from tests.evaluated import CLOT, ELSEWHERE, SPEC, case, probability
from tests.tiny_model import NAME, VERSION, install_tiny_model
from training import evaluate_fresh
from training.dataset import save
from training.evaluate import EVALUATION, document
from training.metrics import Subject, measure


def test_fresh_cases_are_measured_under_both_conditions_beside_the_card(tmp_path: Path) -> None:
    install_tiny_model(tmp_path)
    model = tmp_path / NAME / VERSION
    seen = [(case(CLOT, seed=1), CLOT), (case(CLOT, seed=2), CLOT), (case(seed=3), ELSEWHERE)]
    results = [
        measure(Subject.of(one, SPEC, "cohort"), probability(box), SPEC) for one, box in seen
    ]
    (model / EVALUATION).write_text(json.dumps(document(results, None, SPEC, "all")))
    lacking = {"lacking": ["SUSC"]}
    dark = case(CLOT, seed=900_000_000, site="D", examination=lacking, anatomy="MNI152")
    np.asarray(dark.network_input.sequences)[(CLOT[0], 0, *CLOT[1:])] = -4.0
    # Cases that are there are kept: this one need not be simulated.
    save(dark, tmp_path / "out" / "fresh" / "0000-D")
    app = typer.Typer()
    app.command()(evaluate_fresh.main)
    options = ["--count=1", "--site=D", f"--out={tmp_path / 'out'}", "--processes=2"]
    done = CliRunner().invoke(app, [str(model), *options])
    assert done.exit_code == 0, done.output
    assert "| fresh, all sequences | 1 | 0 | 1 |" in done.output
    assert "| fresh, without those the archives would lack | 1 | 0 | 0 |" in done.output
    assert "| cohort, all sequences | 2 | 1 |" in done.output
    assert "Fresh cases by head: MNI152 1." in done.output
    assert "simulated" in done.output
