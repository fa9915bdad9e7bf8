"""Export: free numbers of slices, rows and columns, and a gate that closes."""

import logging
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch

from service.domain.model_spec import ModelSpec
from tests.tiny_training import tiny_config
from training import export_onnx
from training.architectures import AnyNetworkConfig, build, input_spec
from training.baselines import AnisotropicUnetConfig, AttentionUnetConfig
from training.config import TrainConfig
from training.export_onnx import (
    ExportError,
    ParityError,
    export,
    largest_difference,
    random_input,
    servable,
    write_spec,
)
from training.network import NetworkConfig, Recurrence, UpAttLLSTM
from training.recurrence import CellKind
from training.train import Run
from training.weights import (
    averaged_network,
    load_released,
    load_weights,
    save_weights,
)


def _tiny(cell: CellKind = "logic") -> UpAttLLSTM:
    torch.manual_seed(0)
    return UpAttLLSTM(NetworkConfig(channels=(4, 8), hidden=4, cell=cell)).eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("model") / "model.onnx"
    export(_tiny(), file)
    return file


def test_outputs_agree_on_stacks_never_traced(exported: Path) -> None:
    assert largest_difference(_tiny(), exported) < 1e-5


def test_file_is_one_valid_model_with_a_scan(exported: Path) -> None:
    model = onnx.load(exported, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} >= {"Scan"}
    assert not [tensor for tensor in model.graph.initializer if tensor.external_data]
    assert [value.name for value in model.graph.input] == export_onnx.INPUTS
    assert [value.name for value in model.graph.output] == export_onnx.OUTPUTS
    assert list(exported.parent.iterdir()) == [exported]


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(channels=(4, 8), hidden=4, presence_flags=False),
        NetworkConfig(channels=(4, 8), hidden=4, recurrence="none"),
        NetworkConfig(channels=(4, 8), hidden=4, neighbours=1),
        NetworkConfig(channels=(4, 8), hidden=4, cell="conv", gates=False),
    ],
)
def test_variants_keep_the_served_inputs_and_outputs(
    config: NetworkConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("torch"), "propagate", True)
    export(UpAttLLSTM(config).eval(), tmp_path / "model.onnx")
    # Who exports a model should not have to tell which of PyTorch's errors mean nothing.
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []
    model = onnx.load(tmp_path / "model.onnx")
    assert [value.name for value in model.graph.input] == export_onnx.INPUTS
    assert [value.name for value in model.graph.output] == export_onnx.OUTPUTS


def test_runtimes_are_compared_on_incomplete_studies() -> None:
    stack = export_onnx.COMPARED_STACKS[0]
    sequences, presence, *_ = random_input(_tiny(), stack, complete=False)
    assert presence.tolist().count(0.0) == presence.tolist().count(1.0) == 3
    assert not sequences[:, presence == 0].any()
    assert sequences[:, presence == 1].any()
    assert random_input(_tiny(), stack)[1].all()


def test_other_weights_are_noticed(exported: Path) -> None:
    other = _tiny()
    with torch.no_grad():
        other.bottleneck.fuse.weight += 1.0
    assert largest_difference(other, exported) > 1e-4


def test_export_fails_and_leaves_nothing_when_runtimes_disagree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No two runtimes agree to the last bit: with this limit every export must fail.
    monkeypatch.setattr(export_onnx, "TOLERANCE", 0.0)
    with pytest.raises(ParityError, match="differ by"):
        export(_tiny("conv"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_weights_come_back(tmp_path: Path) -> None:
    network = _tiny()
    save_weights(network, tmp_path / "weights.pt")
    again = load_weights(tmp_path / "weights.pt")
    assert again.config == network.config
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


def test_checkpoint_gives_the_averaged_weights(tmp_path: Path) -> None:
    run = Run(tiny_config(tmp_path))
    run.average.module.state_dict()["bottleneck.fuse.weight"].fill_(0.25)
    run.save(tmp_path / "checkpoint.pt")
    weight = averaged_network(tmp_path / "checkpoint.pt").state_dict()["bottleneck.fuse.weight"]
    assert torch.equal(weight, torch.full_like(weight, 0.25))


@pytest.mark.parametrize("recurrence", ["decoder", "both"])
def test_states_that_depend_on_all_other_slices_are_not_exported(recurrence: Recurrence) -> None:
    network = UpAttLLSTM(NetworkConfig(channels=(4, 8), hidden=4, recurrence=recurrence))
    with pytest.raises(ExportError, match=f"{recurrence!r} is not served"):
        servable(network)


def test_networks_for_comparison_are_not_exported() -> None:
    with pytest.raises(ExportError, match="unet_3d is for comparison"):
        servable(build(AnisotropicUnetConfig("unet_3d", channels=(4, 8, 8), supervised_levels=2)))


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(channels=(4, 8), hidden=4, recurrence="both", presence_flags=False),
        AttentionUnetConfig("attention_unet_2d", channels=(4, 8)),
        AnisotropicUnetConfig("unet_3d", channels=(4, 8, 8), supervised_levels=2),
    ],
)
def test_weights_of_every_architecture_come_back(config: AnyNetworkConfig, tmp_path: Path) -> None:
    network = build(config)
    save_weights(network, tmp_path / "weights.pt")
    again = load_weights(tmp_path / "weights.pt")
    assert again.config == config
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


def test_training_goes_on_from_a_released_model(tmp_path: Path) -> None:
    config = NetworkConfig(channels=(4, 8, 8), hidden=4, neighbours=1, supervised_levels=2)
    torch.manual_seed(3)
    network = UpAttLLSTM(config).eval()
    # As after training: the exporter keeps one of several equal weights.
    for weight in network.parameters():
        weight.data += 0.1 * torch.rand_like(weight)
    folder = tmp_path / "small" / "0.1"
    folder.mkdir(parents=True)
    export(network, folder / "model.onnx")
    write_spec(
        ModelSpec(
            name="small",
            version="0.1",
            sha256="0" * 64,
            input=input_spec(config),
            state_channels=4,
            threshold=0.5,
            min_volume_mm3=10.0,
            intended_use="a test",
            training_data="none",
        ),
        folder,
    )
    again = load_released(folder, replace(config, neighbours=2)).state_dict()
    for name, weight in network.state_dict().items():
        assert torch.equal(again[name], weight) or name.startswith("heads.1.")
    with pytest.raises(ValueError, match=r"of another network:(?s:.)*encoder\.0\.first\.weight"):
        load_released(folder, replace(config, channels=(8, 8, 8)))
    with pytest.raises(ValueError, match="of another network: small is no attention_unet_2d"):
        load_released(folder, AttentionUnetConfig(kind="attention_unet_2d"))


def test_training_goes_on_from_the_weights_that_are_shipped() -> None:
    model = Path("models/upattllstm-thrombus/1.0.0")
    config = TrainConfig.read(Path("training/configs/release-flow.toml")).network
    assert isinstance(config, NetworkConfig)
    network = load_released(model, config)
    assert isinstance(network, UpAttLLSTM)
    assert largest_difference(network, model / "model.onnx") < export_onnx.TOLERANCE
