"""What a network takes for clots in the cohort it is trained on."""

import json
from pathlib import Path

import numpy as np

from tests.tiny_training import noisy_case, tiny_config
from training.dataset import case_folders, read_mimics, save
from training.find_mimics import MIMICS, find_mimics, main, mimics_in
from training.measure_run import predictor_of
from training.train import train


def maps() -> tuple[np.ndarray, np.ndarray]:
    probability = np.zeros((6, 20, 20), np.float32)
    target = np.zeros(probability.shape, bool)
    target[2:4, 10:13, 10:13] = True
    return probability, target


def test_what_a_label_touches_is_no_mimic() -> None:
    probability, target = maps()
    probability[3:5, 12:16, 12] = 0.9
    # Touches the label at a corner.
    probability[1, 13, 13:17] = 0.8
    assert mimics_in(probability, target).shape == (0, 3)


def test_the_most_probable_voxel_of_each_other_component_is_one() -> None:
    probability, target = maps()
    probability[5, 2, 2:6] = [0.6, 0.7, 0.95, 0.6]
    probability[0:3, 17, 3] = [0.5, 0.6, 0.7]
    # Too small, and not probable enough.
    probability[0, 0, 18:20] = 0.99
    probability[5, 15:19, 15] = 0.4
    assert sorted(map(tuple, mimics_in(probability, target))) == [(2, 17, 3), (5, 2, 4)]


def test_a_run_is_asked_about_every_case(tmp_path: Path) -> None:
    for number in range(2):
        save(noisy_case(number), tmp_path / "cohort" / f"{number}")
    config = tiny_config(tmp_path)
    train(config)
    folders = case_folders(config.cohort)
    found = find_mimics(folders, *predictor_of(config.output), threads=2)
    assert list(found) == ["0", "1"]
    main(config.output, config.cohort)
    file = config.output / MIMICS
    assert json.loads(file.read_text()) == found
    read = read_mimics(file, ["0", "1"])
    for name, folder in zip(read, folders, strict=True):
        assert read[name].shape == (len(found[name]), 3)
        assert (read[name] < np.load(folder / "labels.npz")["target"].shape).all()
