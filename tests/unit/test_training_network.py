"""The network: shapes, the logic cell, gates, and chunks that equal the whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.domain.model_spec import ModelSpec
from service.stages.preprocess import NetworkInput
from service.stages.run_model import Prediction, run_model
from training.architectures import build, input_spec
from training.baselines import AnisotropicUnetConfig, AttentionUnetConfig
from training.config import TrainConfig
from training.export_onnx import random_input
from training.network import (
    NetworkConfig,
    Recurrence,
    ServedNetwork,
    UpAttLLSTM,
)
from training.recurrence import CellKind, RecurrentCell
from training.simulate.grids import axial_grid
from training.weights import initial_weights

Float32 = np.ndarray
COMPARED = Path(__file__).parents[2] / "training" / "configs" / "networks"
TINY = NetworkConfig(channels=(4, 8), hidden=4)


class TorchPredictor:
    """The network itself as a predictor."""

    def __init__(self, network: UpAttLLSTM) -> None:
        self._served = ServedNetwork(network).eval()

    def predict(
        self, sequences: Float32, presence: Float32, forward: Float32, backward: Float32
    ) -> Prediction:
        values = [torch.from_numpy(part) for part in (sequences, presence, forward, backward)]
        with torch.no_grad():
            probability, up, down = self._served(*values)
        return Prediction(probability.numpy(), up.numpy(), down.numpy())


@pytest.mark.parametrize("cell", ["logic", "conv"])
@pytest.mark.parametrize("gates", [True, False])
def test_shapes_and_deep_supervision(cell: CellKind, gates: bool) -> None:
    config = NetworkConfig(channels=(4, 8, 8, 8), hidden=4, cell=cell, gates=gates)
    network = UpAttLLSTM(config)
    output = network.train()(torch.randn(2, 3, 6, 32, 40), torch.ones(2, 6))
    assert [tuple(level.shape) for level in output.logits] == [
        (2, 3, 32, 40),
        (2, 3, 16, 20),
        (2, 3, 8, 10),
    ]
    assert output.forward_state.shape == output.backward_state.shape == (2, 2, 4, 4, 5)
    assert len(network.eval()(torch.randn(1, 1, 6, 32, 32), torch.ones(1, 6)).logits) == 1


@pytest.mark.parametrize("base", [8, 16, 24])
def test_the_sizes_that_are_meant_to_be_trained_have_shapes_alike(base: int) -> None:
    channels = tuple(base * 2 ** min(level, 3) for level in range(5))
    network = UpAttLLSTM(NetworkConfig(channels=channels, hidden=4 * base))
    output = network.train()(torch.randn(1, 2, 6, 32, 48), torch.ones(1, 6))
    assert [level.shape[2:] for level in output.logits] == [(32, 48), (16, 24), (8, 12)]
    assert output.forward_state.shape[2:] == (4 * base, 2, 3)


def test_untrained_network_expects_the_prior() -> None:
    torch.manual_seed(0)
    network = UpAttLLSTM(NetworkConfig(channels=(4, 8), hidden=4, prior=1e-3)).eval()
    probability = torch.sigmoid(network(torch.randn(1, 2, 6, 16, 16), torch.ones(1, 6)).logits[0])
    assert probability.mean() < 0.02


def test_logic_cell_keeps_evidence_between_nothing_and_certainty() -> None:
    torch.manual_seed(0)
    cell = RecurrentCell(3, 5, "logic")
    hidden = memory = torch.zeros(1, 5, 4, 4)
    for _ in range(50):
        former = memory
        hidden, memory = cell(torch.randn(1, 20, 4, 4) * 5, hidden, memory)
        assert memory.min() >= 0
        assert memory.max() <= 1
        assert (hidden <= memory + 1e-6).all()
    # Gates wide open: new evidence is never less than the old (OR).
    certain = torch.full((1, 20, 4, 4), 20.0)
    _, more = cell(certain, torch.zeros_like(hidden), former)
    assert (more >= former - 1e-6).all()


def test_presence_flag_changes_the_answer() -> None:
    torch.manual_seed(0)
    network = UpAttLLSTM(TINY).eval()
    sequences = torch.randn(1, 2, 6, 16, 16)
    one = network(sequences, torch.ones(1, 6)).logits[0]
    other = network(sequences, torch.tensor([[1.0, 1, 1, 1, 1, 0]])).logits[0]
    assert not torch.allclose(one, other)


def test_recurrence_carries_information_both_ways() -> None:
    torch.manual_seed(0)
    network = UpAttLLSTM(TINY).eval()
    sequences = torch.randn(1, 5, 6, 16, 16)
    changed = sequences.clone()
    changed[:, 2] += 1
    before = network(sequences, torch.ones(1, 6)).logits[0]
    after = network(changed, torch.ones(1, 6)).logits[0]
    moved = (before - after).abs().amax(dim=(0, 2, 3))
    assert (moved > 0).all()


@pytest.mark.parametrize("cell", ["logic", "conv"])
@pytest.mark.parametrize("chunk", [1, 3, 4, 7])
@pytest.mark.parametrize("neighbours", [0, 1, 2])
def test_chunks_equal_the_whole(cell: CellKind, chunk: int, neighbours: int) -> None:
    torch.manual_seed(0)
    config = NetworkConfig(channels=(4, 8), hidden=4, cell=cell)
    sequences, presence, _, _ = random_input(UpAttLLSTM(config), (7, 8, 9))
    network = UpAttLLSTM(replace(config, neighbours=neighbours))
    grid = axial_grid((0, 0, 0), (2.0, 0.9, 0.9), (7, 16, 18))
    values = NetworkInput(sequences.numpy(), presence.numpy(), grid, grid, (0.0, 0.0, 0.0))
    predictor = TorchPredictor(network)
    whole = run_model(values, predictor, _spec(network))
    parts = run_model(values, predictor, _spec(network), chunk_slices=chunk)
    np.testing.assert_allclose(parts.voxels, whole.voxels, atol=1e-5)


def _spec(network: UpAttLLSTM) -> ModelSpec:
    return ModelSpec(
        name="test",
        version="0",
        sha256="0" * 64,
        input=input_spec(network.config),
        state_channels=network.config.hidden,
        threshold=0.5,
        min_volume_mm3=0,
        intended_use="tests",
        training_data="none",
    )


def test_first_level_sees_the_neighbours_of_a_slice_and_no_others() -> None:
    torch.manual_seed(0)
    config = replace(TINY, recurrence="none", neighbours=1)
    network = UpAttLLSTM(config).eval()
    sequences = torch.randn(1, 9, 6, 16, 16)
    changed = sequences.clone()
    changed[:, 4] += 1
    before = network(sequences, torch.ones(1, 6)).logits[0]
    after = network(changed, torch.ones(1, 6)).logits[0]
    assert before.shape == (1, 7, 16, 16)
    moved = (before - after).abs().amax(dim=(0, 2, 3)) > 0
    # The fifth slice given is the fourth of the stack.
    assert moved.tolist() == [False, False, True, True, True, False, False]


def test_network_that_sees_more_starts_as_the_one_that_saw_less() -> None:
    torch.manual_seed(0)
    released = UpAttLLSTM(TINY).eval()
    wider = replace(TINY, neighbours=2, prior=0.2)
    network = UpAttLLSTM(wider).eval()
    network.load_state_dict(initial_weights(released, wider))
    sequences = torch.randn(1, 7, 6, 16, 16)
    presence = torch.tensor([[1.0, 0, 1, 1, 1, 1]])
    torch.testing.assert_close(
        network(sequences, presence).logits[0], released(sequences[:, 2:-2], presence).logits[0]
    )


def test_weights_of_another_network_are_no_start() -> None:
    released = UpAttLLSTM(replace(TINY, neighbours=1))
    for other in (replace(TINY, neighbours=0), replace(TINY, neighbours=1, gates=False)):
        with pytest.raises(ValueError, match="another network"):
            initial_weights(released, other)


@pytest.mark.parametrize("recurrence", ["none", "bottleneck", "decoder", "both"])
def test_slices_learn_from_each_other_where_the_recurrence_is(recurrence: Recurrence) -> None:
    torch.manual_seed(0)
    network = UpAttLLSTM(NetworkConfig(channels=(4, 8), hidden=4, recurrence=recurrence)).eval()
    sequences = torch.randn(1, 5, 6, 16, 16)
    changed = sequences.clone()
    changed[:, 0] += torch.randn(6, 16, 16)
    with torch.no_grad():
        one, other = (network(stack, torch.ones(1, 6)).logits[0] for stack in (sequences, changed))
    reached = (one - other).abs().amax(dim=(0, 2, 3)) > 0
    assert reached[0]
    # To the last slice, or not even to the next one.
    assert reached[1:].all() if recurrence != "none" else not reached[1:].any()


def test_presence_is_seen_through_flags_alone() -> None:
    sequences = torch.randn(1, 2, 6, 16, 16)
    without = torch.tensor([[1.0, 0, 0, 1, 1, 1]])
    for flags in (True, False):
        torch.manual_seed(0)
        network = UpAttLLSTM(NetworkConfig(channels=(4, 8), hidden=4, presence_flags=flags)).eval()
        with torch.no_grad():
            both = [network(sequences, seen).logits[0] for seen in (torch.ones(1, 6), without)]
        assert torch.equal(*both) != flags


@pytest.mark.parametrize("slices", [1, 4, 5])
@pytest.mark.parametrize(
    "config",
    [
        AttentionUnetConfig("attention_unet_2d", channels=(4, 8, 8), prior=0.01),
        AnisotropicUnetConfig("unet_3d", channels=(4, 8, 8), prior=0.01, supervised_levels=2),
        AnisotropicUnetConfig("unet_3d", channels=(4, 8, 8), prior=0.01, supervised_levels=1),
    ],
)
def test_networks_for_comparison_take_and_give_the_same(
    config: AttentionUnetConfig | AnisotropicUnetConfig, slices: int
) -> None:
    torch.manual_seed(0)
    network = build(config).train()
    deep = isinstance(config, AnisotropicUnetConfig) and config.supervised_levels > 1
    sequences = torch.randn(2, slices, 6, 16, 24)
    output = network(sequences, torch.ones(2, 6))
    sizes = [tuple(level.shape) for level in output.logits]
    assert sizes[0] == (2, slices, 16, 24)
    assert sizes[1:] == ([(2, slices, 8, 12)] if deep else [])
    assert torch.sigmoid(output.logits[0]).mean() < 0.1
    network.eval()
    with torch.no_grad():
        alone = network(sequences[:1], torch.ones(1, 6)).logits
        pair = network(sequences, torch.ones(2, 6)).logits
    assert len(alone) == 1
    # What else is in a batch does not matter.
    torch.testing.assert_close(alone[0], pair[0][:1], atol=1e-5, rtol=1e-4)


def test_flat_network_sees_one_slice_and_the_deep_one_its_neighbours() -> None:
    sequences = torch.randn(1, 4, 6, 16, 16)
    changed = sequences.clone()
    changed[:, 1] += 1
    for config, spreads in (
        (AttentionUnetConfig("attention_unet_2d", channels=(4, 8, 8)), False),
        (AnisotropicUnetConfig("unet_3d", channels=(4, 8, 8), supervised_levels=2), True),
    ):
        network = build(config).eval()
        with torch.no_grad():
            one, other = (network(s, torch.ones(1, 6)).logits[0] for s in (sequences, changed))
        assert bool((one[:, 2] != other[:, 2]).any()) == spreads


def test_compared_networks_differ_in_the_network_alone() -> None:
    runs = {file.stem: TrainConfig.read(file) for file in sorted(COMPARED.glob("*.toml"))}
    ours = runs["upattllstm"]
    weights = {
        name: sum(part.numel() for part in build(run.network).parameters())
        for name, run in runs.items()
    }
    # What else may differ is said in the file with its reason.
    in_float32 = replace(ours, bfloat16=False)
    slower = replace(in_float32, learning_rate=5e-4)
    other = {"decoder": in_float32, "both": in_float32, "unet-3d": slower}
    for name, run in runs.items():
        expected = other.get(name, ours)
        assert run == replace(expected, output=run.output, network=run.network), name
        assert run.output.name == name
        if name in ("attention-unet-2d", "unet-3d", "conv-lstm", "no-recurrence-wide"):
            assert weights[name] == pytest.approx(weights["upattllstm"], rel=0.05)
    different = {run.network for run in runs.values()}
    assert len(different) == len(runs) == 10


def test_what_is_trained_again_differs_in_the_seed_or_the_arithmetic_alone() -> None:
    files = sorted((COMPARED.parent / "again").glob("*.toml"))
    assert files
    for file in files:
        name = file.stem.removesuffix("-float32")
        (first,) = COMPARED.parent.glob(f"[an]*s/{name}.toml")
        before, again = TrainConfig.read(first), TrainConfig.read(file)
        assert before.bfloat16
        if name != file.stem:
            assert again == replace(before, output=again.output, bfloat16=False)
            assert again.output.name == file.stem
        else:
            assert again.seed != before.seed
            assert again == replace(before, output=again.output, seed=again.seed)
            assert again.output.name == f"{file.stem}-again"
