"""Weights on disk: of a checkpoint, and as they are released."""

from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch.optim.swa_utils import AveragedModel

from training.architectures import AnyNetwork, AnyNetworkConfig, build

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
    """Rebuild the network that ``save_weights`` wrote."""
    content = torch.load(file, weights_only=True)
    network = _described(content["config"])
    network.load_state_dict(content["weights"])
    return network.eval()


def _described(config: dict[str, Any]) -> AnyNetwork:
    return build(_CONFIG.validate_python({"kind": "upattllstm"} | config))
