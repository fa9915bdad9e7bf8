"""Training on the cases of several cohorts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.evaluated import CLOT, ELSEWHERE, case
from tests.tiny_training import tiny_config
from training.cohort_errors import CohortError
from training.config import AimConfig, TrainConfig
from training.dataset import save
from training.train import train


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    places = {"first/0000": CLOT, "first/0001": ELSEWHERE, "second/0002": CLOT}
    for number, (place, box) in enumerate(places.items()):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        save(case(box, seed=number), tmp_path / place)
    return replace(tiny_config(tmp_path), cohort=tmp_path / "first", steps=2)


def cases_of_the_last_step(config: TrainConfig) -> int:
    last = (config.output / "log.jsonl").read_text().splitlines()[-1]
    return int(json.loads(last)["cases"])


def test_a_run_goes_on_with_the_cases_of_a_further_cohort(
    config: TrainConfig, tmp_path: Path
) -> None:
    often = replace(config, checkpoint_steps=1)
    train(often, stop_after=1)
    assert cases_of_the_last_step(config) == 2

    run = train(replace(often, further_cohorts=(tmp_path / "second",)), resume=True)
    assert run.step == 2
    assert cases_of_the_last_step(config) == 3


def test_mimics_are_of_the_first_cohort_alone(config: TrainConfig, tmp_path: Path) -> None:
    mimics = tmp_path / "mimics.json"
    mimics.write_text(json.dumps({"0000": [[1, 2, 3]], "0001": []}))
    aimed = replace(config, mimics=mimics, aim=AimConfig(clots=0.5, mimics=0.5))
    # The file says nothing of the further cohort's case.
    assert train(replace(aimed, further_cohorts=(tmp_path / "second",))).step == 2

    mimics.write_text(json.dumps({"0000": []}))
    with pytest.raises(CohortError, match="0001"):
        train(replace(aimed, output=tmp_path / "other"))
