"""Weights on disk: of a checkpoint, and as they are released."""

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx.numpy_helper import to_array
from pydantic import TypeAdapter
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from service.adapters.model_files import read_spec
from training.architectures import AnyNetwork, AnyNetworkConfig, build
from training.network import NetworkConfig

# Weights that see the sequences.
SEEING = ("encoder.0.first.weight", "encoder.0.shortcut.weight")
# Beside model.onnx.
WEIGHTS = "weights.pt"
# Before the names of weights in a model.onnx: ``ServedNetwork`` holds the network.
SERVED = "network."
OTHER = "the weights to start from are of another network"
_CONFIG: TypeAdapter[Any] = TypeAdapter(AnyNetworkConfig)


def averaged_network(checkpoint: Path) -> AnyNetwork:
    """Rebuild the network with the averaged weights of a training checkpoint."""
    content = torch.load(checkpoint, weights_only=True, map_location="cpu")
    network = _described(content["config"]["network"])
    average = AveragedModel(network)
    average.load_state_dict(content["average"])
    network.load_state_dict(average.module.state_dict())
    return network.eval()


def save_weights(network: AnyNetwork, file: Path) -> None:
    """Write configuration and weights, so that the network can be rebuilt without training."""
    config = _CONFIG.dump_python(network.config, mode="json")
    torch.save({"config": config, "weights": network.state_dict()}, file)


def load_weights(file: Path) -> AnyNetwork:
    """Rebuild the network that ``save_weights`` wrote.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If it holds something else.
    """
    with file.open("rb") as stream:
        # What PyTorch says of anything else, or of half a file, depends on its bytes.
        if not zipfile.is_zipfile(stream):
            raise ValueError("holds no weights")
    content = torch.load(file, weights_only=True)
    network = _described(content["config"])
    network.load_state_dict(content["weights"])
    return network.eval()


def load_released(model: Path, config: AnyNetworkConfig) -> AnyNetwork:
    """Rebuild a network from models/NAME/VERSION, for training on.

    What is served has a head on the finest level alone: those of the coarser levels are drawn.

    Parameters
    ----------
    model : Path
        Folder with model.json and model.onnx, whose weights have the names of ``ServedNetwork``.
    config : AnyNetworkConfig
        Of the network that is to start from it; it may see more neighbouring slices.

    Raises
    ------
    InvalidModelError
        If model.json is none.
    ValueError
        If the model is of another network.
    """
    spec = read_spec(model)
    if config.kind != "upattllstm":
        raise ValueError(f"{OTHER}: {spec.name} is no {config.kind}")
    network = build(replace(config, neighbours=spec.input.neighbours))
    stored = {
        tensor.name.removeprefix(SERVED): torch.from_numpy(to_array(tensor).copy())
        for tensor in onnx.load(model / "model.onnx").graph.initializer
        if tensor.name.startswith(SERVED)
    }
    drawn = {name: weight for name, weight in network.state_dict().items() if _coarser_head(name)}
    try:
        network.load_state_dict(drawn | stored)
    except RuntimeError as exc:
        raise ValueError(f"{OTHER}: {exc}") from exc
    return network.eval()


def _coarser_head(name: str) -> bool:
    return name.startswith("heads.") and not name.startswith("heads.0.")


def initial_weights(released: AnyNetwork, config: AnyNetworkConfig) -> dict[str, Tensor]:
    """Return the weights with which a network starts as a released one.

    It may see more neighbouring slices than that one: their weights are zero in the beginning.

    Raises
    ------
    ValueError
        If it differs in anything else but the prior.
    """
    alike = replace(released.config, prior=config.prior)
    added = 0
    if isinstance(alike, NetworkConfig) and isinstance(config, NetworkConfig):
        added = config.neighbours - alike.neighbours
        alike = replace(alike, neighbours=config.neighbours)
    if alike != config or added < 0:
        raise ValueError(f"{OTHER}: {released.config}")
    weights: dict[str, Tensor] = dict(released.state_dict())
    for name in SEEING if added else ():
        weights[name] = _among_neighbours(weights[name], released.config, added)
    return weights


def _among_neighbours(weight: Tensor, config: AnyNetworkConfig, added: int) -> Tensor:
    """Put zeros before and behind the weights of the slices (out, channel, row, column)."""
    seen = (2 * config.neighbours + 1) * config.roles
    beside = weight.new_zeros((len(weight), added * config.roles, *weight.shape[2:]))
    return torch.cat([beside, weight[:, :seen], beside, weight[:, seen:]], dim=1)


def _described(config: dict[str, Any]) -> AnyNetwork:
    return build(_CONFIG.validate_python({"kind": "upattllstm"} | config))
