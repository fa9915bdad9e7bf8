"""Model folders are found, read and checked."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from service.adapters.model_files import find_model, installed_models, read_spec
from service.adapters.onnx_predictor import OnnxPredictor
from service.domain.errors import InvalidModelError, ProviderError, UnknownModelError
from service.domain.model_spec import InputSpec, ModelSpec
from service.domain.sequence import Role


def document(name: str, version: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    spec = ModelSpec(
        name=name,
        version=version,
        sha256="0" * 64,
        input=InputSpec(),
        state_channels=64,
        threshold=0.5,
        min_volume_mm3=5.0,
        intended_use="tests",
        training_data="none",
    )
    return json.loads(json.dumps(spec.to_json())) | (changes or {})


def install(models: Path, name: str, version: str, changes: dict[str, Any] | None = None) -> Path:
    folder = models / name / version
    folder.mkdir(parents=True)
    content = json.dumps(document(name, version, changes))
    (folder / "model.json").write_text(content, encoding="utf-8")
    return folder


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    spec = read_spec(install(tmp_path, "net", "1.0.0"))
    assert spec == ModelSpec.from_json(spec.to_json())
    assert spec.input.roles == tuple(Role)


def test_newest_version_is_by_number_not_by_letter(tmp_path: Path) -> None:
    for version in ("0.9.0", "0.10.0", "0.2.0"):
        install(tmp_path, "net", version)
    assert find_model(tmp_path, "net").name == "0.10.0"
    assert find_model(tmp_path, "net:0.9.0").name == "0.9.0"
    assert [spec.version for spec in installed_models(tmp_path)] == ["0.2.0", "0.9.0", "0.10.0"]


def test_performance_is_looked_up_by_the_exact_sequences(tmp_path: Path) -> None:
    measured = {"ADC+DWI": {"dice_all": 0.1}, "SUSC": {"dice_all": 0.4}}
    changes = {"expected_performance": {"data": "simulated", "subsets": measured}}
    spec = read_spec(install(tmp_path, "net", "1.0.0", changes))
    assert spec.performance_with((Role.DWI, Role.ADC)) == {"dice_all": 0.1}
    assert spec.performance_with((Role.SUSC,)) == {"dice_all": 0.4}
    assert spec.performance_with((Role.SUSC, Role.DWI)) is None
    assert spec.performance_with(()) is None
    assert spec.overall_performance == {"data": "simulated"}


def test_a_model_without_combinations_knows_none(tmp_path: Path) -> None:
    changes = {"expected_performance": {"data": "simulated", "dice_all": 0.5}}
    spec = read_spec(install(tmp_path, "net", "1.0.0", changes))
    assert spec.performance_with(Role) is None
    assert spec.overall_performance == {"data": "simulated", "dice_all": 0.5}


@pytest.mark.parametrize("wanted", ["other", "net:9.9.9", "../net", ""])
def test_unknown_model_names_what_is_installed(tmp_path: Path, wanted: str) -> None:
    install(tmp_path, "net", "1.0.0")
    with pytest.raises(UnknownModelError, match=r"net:1\.0\.0"):
        find_model(tmp_path, wanted)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"schema_version": "7"}, "schema_version"),
        ({"expected_performance": {"subsets": [1]}}, "subsets is no mapping"),
        ({"expected_performance": {"subsets": {"SUSC+ADC": {}}}}, "'SUSC\\+ADC' names no"),
        ({"expected_performance": {"subsets": {"T1": {}}}}, "'T1' names no combination"),
        ({"expected_performance": {"subsets": {"ADC": 0.5}}}, "ADC has no mapping"),
        ({"surprise": 1}, "surprise"),
        ({"state_channels": 0}, "state_channels"),
        ({"sha256": "abc"}, "sha256"),
        ({"input": {"roles": ["SUSC", "T9"], "slice_spacing_mm": [1, 2]}}, "T9"),
        ({"input": {"roles": ["SUSC", "SUSC"], "slice_spacing_mm": [1, 2]}}, "distinct"),
        ({"name": "another"}, "another"),
    ],
)
def test_broken_specification_is_named(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    folder = install(tmp_path, "net", "1.0.0", changes)
    with pytest.raises(InvalidModelError, match=named):
        read_spec(folder)


def test_missing_key_is_named(tmp_path: Path) -> None:
    folder = install(tmp_path, "net", "1.0.0")
    content = document("net", "1.0.0")
    del content["threshold"]
    (folder / "model.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InvalidModelError, match="threshold"):
        read_spec(folder)


def test_weights_that_are_not_the_promised_ones_are_refused(tmp_path: Path) -> None:
    folder = install(tmp_path, "net", "1.0.0")
    (folder / "model.onnx").write_bytes(b"other weights")
    with pytest.raises(InvalidModelError, match="SHA-256"):
        OnnxPredictor(folder / "model.onnx", read_spec(folder))


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    folder = install(tmp_path, "net", "1.0.0")
    with pytest.raises(InvalidModelError, match="cannot be read"):
        OnnxPredictor(folder / "model.onnx", read_spec(folder))


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"damaged").hexdigest()
    folder = install(tmp_path, "net", "1.0.0", {"sha256": digest})
    (folder / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(InvalidModelError, match="no valid ONNX model"):
        OnnxPredictor(folder / "model.onnx", read_spec(folder))


@pytest.mark.parametrize("device", ["cuda", "tpu"])
def test_missing_accelerator_is_an_error_not_a_fallback(tmp_path: Path, device: str) -> None:
    digest = hashlib.sha256(b"never opened").hexdigest()
    folder = install(tmp_path, "net", "1.0.0", {"sha256": digest})
    (folder / "model.onnx").write_bytes(b"never opened")
    with pytest.raises(ProviderError):
        OnnxPredictor(folder / "model.onnx", read_spec(folder), device=device)
