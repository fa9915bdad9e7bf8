"""The released models: PyTorch against ONNX Runtime, and the golden case."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from service.adapters.model_files import read_spec
from service.adapters.onnx_predictor import OnnxPredictor
from service.domain.sequence import Role
from training.evaluate import predict
from training.export_onnx import COMPARED_STACKS, TOLERANCE, largest_difference, servable
from training.make_golden import golden_dice, load_golden
from training.weights import load_weights

MODELS = sorted((Path(__file__).parents[2] / "models").glob("*/*/model.json"))


@pytest.fixture(params=MODELS, ids=lambda file: "-".join(file.parts[-3:-1]))
def model(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param.parent
    return folder


def test_there_is_a_model() -> None:
    assert MODELS


def test_torch_and_onnx_agree_on_any_number_of_slices(model: Path) -> None:
    assert [stack[0] for stack in COMPARED_STACKS] == [3, 17, 40]
    assert TOLERANCE == 1e-4
    with torch.random.fork_rng():
        network = servable(load_weights(model / "weights.pt"))
        assert largest_difference(network, model / "model.onnx") < 1e-4


def test_folder_is_complete_and_its_digest_right(model: Path) -> None:
    spec = read_spec(model)
    content = (model / "model.onnx").read_bytes()
    assert hashlib.sha256(content).hexdigest() == spec.sha256
    names = {path.name for path in model.iterdir()}
    assert {"model.onnx", "model.json", "MODEL_CARD.md", "weights.pt", "golden"} <= names
    assert spec.expected_performance["data"] == "simulated"


def test_golden_case_gives_the_stored_dice(model: Path) -> None:
    spec = read_spec(model)
    predictor = OnnxPredictor(model / "model.onnx", spec, threads=1)
    golden = load_golden(model / "golden")
    expected = json.loads((model / "golden/expected.json").read_text())
    assert golden_dice(golden, predictor, spec) == pytest.approx(expected["dice"], abs=5e-3)
    # A model that finds nothing would also be stable.
    assert expected["dice"] > 0.3


def test_golden_case_needs_its_sequences(model: Path) -> None:
    spec = read_spec(model)
    predictor = OnnxPredictor(model / "model.onnx", spec, threads=1)
    golden = load_golden(model / "golden")
    full = predict(golden, Role, predictor, spec).voxels
    without = predict(golden, {Role.ADC}, predictor, spec).voxels
    assert full[golden.target].mean() > without[golden.target].mean()
