"""Which network a configuration describes."""

from typing import Annotated

from pydantic import Field

from service.domain.model_spec import InputSpec
from training.baselines import (
    AnisotropicUnet3d,
    AnisotropicUnetConfig,
    AttentionUnet2d,
    AttentionUnetConfig,
)
from training.network import NetworkConfig, UpAttLLSTM

AnyNetworkConfig = Annotated[
    NetworkConfig | AttentionUnetConfig | AnisotropicUnetConfig, Field(discriminator="kind")
]
AnyNetwork = UpAttLLSTM | AttentionUnet2d | AnisotropicUnet3d


def input_spec(config: NetworkConfig | AttentionUnetConfig | AnisotropicUnetConfig) -> InputSpec:
    """Say how volumes become the input of a network."""
    return InputSpec(divisor=config.divisor, neighbours=neighbours(config))


def neighbours(config: NetworkConfig | AttentionUnetConfig | AnisotropicUnetConfig) -> int:
    """Return how many slices a network is given beside a stack, on either side."""
    return config.neighbours if isinstance(config, NetworkConfig) else 0


def build(config: NetworkConfig | AttentionUnetConfig | AnisotropicUnetConfig) -> AnyNetwork:
    """Make a network with drawn weights."""
    if isinstance(config, AttentionUnetConfig):
        return AttentionUnet2d(config)
    if isinstance(config, AnisotropicUnetConfig):
        return AnisotropicUnet3d(config)
    return UpAttLLSTM(config)
