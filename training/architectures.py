"""Which network a configuration describes."""

from typing import Annotated

from pydantic import Field

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


def build(config: NetworkConfig | AttentionUnetConfig | AnisotropicUnetConfig) -> AnyNetwork:
    """Make a network with drawn weights."""
    if isinstance(config, AttentionUnetConfig):
        return AttentionUnet2d(config)
    if isinstance(config, AnisotropicUnetConfig):
        return AnisotropicUnet3d(config)
    return UpAttLLSTM(config)
