"""Weights on disk: of a checkpoint, and as they are released."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from training.network import NetworkConfig, UpAttLLSTM


def averaged_network(checkpoint: Path) -> UpAttLLSTM:
    """Rebuild the network with the averaged weights of a training checkpoint."""
    content = torch.load(checkpoint, weights_only=True)
    values = dict(content["config"]["network"])
    values["channels"] = tuple(values["channels"])
    network = UpAttLLSTM(NetworkConfig(**values))
    average = AveragedModel(network)
    average.load_state_dict(content["average"])
    network.load_state_dict(average.module.state_dict())
    return network.eval()


def save_weights(network: UpAttLLSTM, file: Path) -> None:
    """Write configuration and weights, so that the network can be rebuilt without training."""
    config = asdict(network.config) | {"channels": list(network.config.channels)}
    torch.save({"config": config, "weights": network.state_dict()}, file)


def load_weights(file: Path) -> UpAttLLSTM:
    """Rebuild the network that ``save_weights`` wrote."""
    content = torch.load(file, weights_only=True)
    values: dict[str, Any] = dict(content["config"])
    values["channels"] = tuple(values["channels"])
    network = UpAttLLSTM(NetworkConfig(**values))
    network.load_state_dict(content["weights"])
    return network.eval()
