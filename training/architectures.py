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


def input_spec(config: AnyNetworkConfig) -> InputSpec:
    """Say how volumes become the input of a network."""
    return InputSpec(divisor=config.divisor, neighbours=config.neighbours)


def build(config: AnyNetworkConfig) -> AnyNetwork:
    """Make a network with drawn weights."""
    if isinstance(config, AttentionUnetConfig):
        return AttentionUnet2d(config)
    if isinstance(config, AnisotropicUnetConfig):
        return AnisotropicUnet3d(config)
    return UpAttLLSTM(config)
