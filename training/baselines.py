"""Networks to compare with: a 2D attention U-Net and an anisotropic 3D U-Net, both of MONAI.

They take and give what ``training.network.UpAttLLSTM`` does, so that data, loss, training and
measurement are the same. They keep no state across slices.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from monai.networks.nets import AttentionUnet, DynUNet
from torch import Tensor, nn
from torch.nn import functional

from training.network import STRICT, Output, start_at_prior, with_flags


@dataclass(frozen=True)
class AttentionUnetConfig:
    """A 2D attention U-Net (Oktay 2018): every slice for itself.

    Attributes
    ----------
    kind : "attention_unet_2d"
    roles : int
        Input channels of a slice; as many presence maps are added.
    channels : tuple of int
        Of each level, finest first; each level halves rows and columns.
    prior : float
        Expected share of clot voxels; sets the bias of the head.
    """

    __pydantic_config__ = STRICT
    neighbours: ClassVar[int] = 0

    kind: Literal["attention_unet_2d"]
    roles: int = 6
    channels: tuple[int, ...] = (16, 32, 64, 128, 128)
    prior: float = 1e-3

    @property
    def divisor(self) -> int:
        """Rows and columns must be multiples of this."""
        return int(2 ** (len(self.channels) - 1))


@dataclass(frozen=True)
class AnisotropicUnetConfig:
    """A 3D U-Net of the shape that nnU-Net plans for thick slices.

    The two finest levels look within the slice; in-plane resolution is halved at every level, that
    across slices once, at the last.

    Attributes
    ----------
    kind : "unet_3d"
    roles, channels, prior
        As in ``AttentionUnetConfig``.
    supervised_levels : int
        Decoder levels with a head of their own during training, finest first.
    """

    __pydantic_config__ = STRICT
    neighbours: ClassVar[int] = 0

    kind: Literal["unet_3d"]
    roles: int = 6
    channels: tuple[int, ...] = (16, 32, 64, 128, 128)
    prior: float = 1e-3
    supervised_levels: int = 3

    def __post_init__(self) -> None:
        if self.supervised_levels >= len(self.channels):
            raise ValueError(
                f"supervised_levels: {self.supervised_levels} of {len(self.channels)} channels; "
                "the coarsest level has no head"
            )

    @property
    def divisor(self) -> int:
        """Rows and columns must be multiples of this."""
        return int(2 ** (len(self.channels) - 1))


class AttentionUnet2d(nn.Module):
    """MONAI's attention U-Net on every slice of a stack."""

    def __init__(self, config: AttentionUnetConfig) -> None:
        super().__init__()
        self.config = config
        self.network = AttentionUnet(
            spatial_dims=2,
            in_channels=2 * config.roles,
            out_channels=1,
            channels=config.channels,
            strides=(2,) * (len(config.channels) - 1),
        )
        _normalise_each_slice(self.network)
        # The last layer of the library's sequence is the head.
        start_at_prior(self.network.model[-1], config.prior)

    def forward(self, sequences: Tensor, presence: Tensor) -> Output:
        """Segment (batch, slice, role, row, column); see ``UpAttLLSTM.forward``."""
        batch, slices = sequences.shape[:2]
        features = with_flags(sequences, presence).flatten(0, 1)
        logits = self.network(features).unflatten(0, (batch, slices)).squeeze(2)
        nothing = sequences.new_zeros(0)
        return Output([logits.float()], nothing, nothing)


class AnisotropicUnet3d(nn.Module):
    """MONAI's DynUNet on a whole stack."""

    def __init__(self, config: AnisotropicUnetConfig) -> None:
        super().__init__()
        self.config = config
        levels = len(config.channels)
        # In-plane only at the two finest levels, as nnU-Net does while slices are much thicker.
        kernels = [(1, 3, 3) if level < 2 else (3, 3, 3) for level in range(levels)]
        strides = [(1, 1, 1), *[(1, 2, 2)] * (levels - 2), (2, 2, 2)]
        self.network = DynUNet(
            spatial_dims=3,
            in_channels=2 * config.roles,
            out_channels=1,
            kernel_size=kernels,
            strides=strides,
            upsample_kernel_size=strides[1:],
            filters=list(config.channels),
            res_block=True,
            deep_supervision=config.supervised_levels > 1,
            deep_supr_num=max(1, config.supervised_levels - 1),
        )
        start_at_prior(self.network.output_block, config.prior)
        if config.supervised_levels > 1:
            for head in self.network.deep_supervision_heads:
                start_at_prior(head, config.prior)

    def forward(self, sequences: Tensor, presence: Tensor) -> Output:
        """Segment (batch, slice, role, row, column); see ``UpAttLLSTM.forward``."""
        slices = sequences.shape[1]
        features = with_flags(sequences, presence).transpose(1, 2)
        # Halving needs an even number of slices: an empty one is added and taken away again.
        features = functional.pad(features, (0, 0, 0, 0, 0, slices % 2))
        answer = self.network(features)
        levels = answer.unbind(1) if answer.dim() == 6 else [answer]
        # MONAI enlarges the coarser levels to the finest by repetition.
        logits = [
            level[:, 0, :slices, :: 2**number, :: 2**number].float()
            for number, level in enumerate(levels)
        ]
        nothing = sequences.new_zeros(0)
        return Output(logits, nothing, nothing)


def _normalise_each_slice(network: nn.Module) -> None:
    """Put instance normalisation, as the other networks have it, in place of that of a batch.

    Statistics of batches of a few slices of one patient would not fit the next patient.
    """
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.InstanceNorm2d(child.num_features, affine=True))
