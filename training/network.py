"""UpAttLLSTM: a 2D U-Net over slices, a recurrence across slices, gates on its skips.

The paper's code is not public; this is our reading. "Up" is the decoder, "Att" the additive
attention gates on the skip connections (after Oktay 2018), "LLSTM" a logic LSTM: a convolutional
LSTM whose cell keeps propositions in 0..1 and combines them by AND, OR and NOT. A plain
convolutional LSTM is the alternative. The recurrence runs both ways. It stands at the bottleneck,
which makes inference in chunks exact because nothing else looks beyond the neighbours that are
given with a slice, or behind every decoder level, where the gates of the next level see what the
slices around know, or at both.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import torch
from pydantic import ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from training.recurrence import CellKind, TwoWayRecurrence

# Of every table of a configuration file: what is unknown is an error.
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Recurrence = Literal["none", "bottleneck", "decoder", "both"]


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the network.

    Attributes
    ----------
    kind : "upattllstm"
        Tells configurations of different architectures apart.
    roles : int
        Input channels of a slice.
    presence_flags : bool
        Whether as many constant maps, which say what is there, are added.
    neighbours : int
        Slices on either side that the first level sees beside its own, so that fine detail is
        followed across slices as well; the recurrence does so on the coarsest maps alone.
    channels : tuple of int
        Of each level, finest first; each level halves rows and columns.
    hidden : int
        Channels of the recurrent state at the bottleneck, each way; behind a decoder level it is
        half of that level's channels.
    recurrence : "none", "bottleneck", "decoder" or "both"
        Where slices learn from each other.
    cell : "logic" or "conv"
    gates : bool
        Whether skips pass attention gates.
    supervised_levels : int
        Decoder levels with a head of their own during training, finest first.
    prior : float
        Expected share of clot voxels; sets the bias of the heads.
    """

    __pydantic_config__ = STRICT

    kind: Literal["upattllstm"] = "upattllstm"
    roles: int = 6
    presence_flags: bool = True
    neighbours: int = 0
    channels: tuple[int, ...] = (16, 32, 64, 128, 128)
    hidden: int = 64
    recurrence: Recurrence = "bottleneck"
    cell: CellKind = "logic"
    gates: bool = True
    supervised_levels: int = 3
    prior: float = 1e-3

    @property
    def divisor(self) -> int:
        """Rows and columns must be multiples of this."""
        return int(2 ** (len(self.channels) - 1))

    @property
    def inputs(self) -> int:
        """Channels that enter the first level."""
        seen = (2 * self.neighbours + 1) * self.roles
        return seen + self.roles if self.presence_flags else seen

    @property
    def recurs_at_bottleneck(self) -> bool:
        """Whether there is a recurrent state at the bottleneck."""
        return self.recurrence in ("bottleneck", "both")

    @property
    def recurs_in_decoder(self) -> bool:
        """Whether there are recurrent states behind the decoder levels."""
        return self.recurrence in ("decoder", "both")


class Output(NamedTuple):
    """What the network returns.

    Attributes
    ----------
    logits : list of Tensor (batch, slice, row, column)
        Finest first; only the finest in evaluation mode. Each level halves rows and columns.
    forward_state, backward_state : Tensor (batch, 2, hidden, row / divisor, column / divisor)
        Hidden and cell state after the last slice processed in each direction.
    """

    logits: list[Tensor]
    forward_state: Tensor
    backward_state: Tensor


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance normalisation, and a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.first_norm = nn.InstanceNorm2d(outputs, affine=True)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.InstanceNorm2d(outputs, affine=True)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, inputs, row, column) to (n, outputs, row, column)."""
        inner = functional.leaky_relu(self.first_norm(self.first(features)), 0.01)
        inner = self.second_norm(self.second(inner)) + self.shortcut(features)
        return functional.leaky_relu(inner, 0.01)


class AttentionGate(nn.Module):
    """Weigh a skip connection by how well it fits the upsampled feature (additive attention)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(4, channels // 2)
        self.of_skip = nn.Conv2d(channels, inner, 1, bias=False)
        self.of_gate = nn.Conv2d(channels, inner, 1)
        self.score = nn.Conv2d(inner, 1, 1)

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Return the weighted skip; all (n, channel, row, column)."""
        fit = functional.relu(self.of_skip(skip) + self.of_gate(gate))
        return skip * torch.sigmoid(self.score(fit))


def _head(channels: int, prior: float) -> nn.Conv2d:
    """Make a 1x1 convolution to one logit that starts at the prior's."""
    head = nn.Conv2d(channels, 1, 1)
    start_at_prior(head, prior)
    return head


def start_at_prior(head: nn.Module, prior: float) -> None:
    """Set the biases of a head's convolutions so that training starts at the prior."""
    for module in head.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            module.state_dict()["bias"].fill_(float(torch.logit(torch.tensor(prior))))


def with_flags(sequences: Tensor, presence: Tensor) -> Tensor:
    """Add one constant map a role to (batch, slice, channel, row, column): what is there."""
    batch, slices, _, rows, columns = sequences.shape
    flags = presence[:, None, :, None, None].expand(batch, slices, -1, rows, columns)
    return torch.cat([sequences, flags], dim=2)


def with_neighbours(sequences: Tensor, neighbours: int) -> Tensor:
    """Give every slice the channels of those beside it, from the lowest to the highest.

    Parameters
    ----------
    sequences : Tensor (batch, slice + 2 x neighbours, role, row, column)

    Returns
    -------
    Tensor (batch, slice, (2 x neighbours + 1) x role, row, column)
    """
    slices = sequences.shape[1] - 2 * neighbours
    beside = [sequences.narrow(1, first, slices) for first in range(2 * neighbours + 1)]
    return torch.cat(beside, dim=2)


class UpAttLLSTM(nn.Module):
    """Segments a thrombus on a stack of slices from up to six sequences.

    Parameters
    ----------
    config : NetworkConfig
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        entering = (config.inputs, *widths[:-1])
        self.encoder = nn.ModuleList(map(ResidualBlock, entering, widths))
        if config.recurs_at_bottleneck:
            self.bottleneck = TwoWayRecurrence(widths[-1], config.hidden, config.cell)
        finer, coarser = widths[:-1], widths[1:]
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, 2, stride=2)
            for narrow, wide in zip(finer, coarser, strict=True)
        )
        self.gates = nn.ModuleList(map(AttentionGate, finer if config.gates else ()))
        self.decoder = nn.ModuleList(ResidualBlock(2 * width, width) for width in finer)
        self.decoder_recurrence = nn.ModuleList(
            TwoWayRecurrence(width, width // 2, config.cell)
            for width in (finer if config.recurs_in_decoder else ())
        )
        self.heads = nn.ModuleList(
            _head(width, config.prior) for width in finer[: config.supervised_levels]
        )

    def zero_state(self, sequences: Tensor) -> Tensor:
        """Return the state before the first slice: (batch, 2, hidden, row / d, column / d)."""
        batch, _, _, rows, columns = sequences.shape
        divisor = self.config.divisor
        shape = (batch, 2, self.config.hidden, rows // divisor, columns // divisor)
        return torch.zeros(shape, device=sequences.device)

    def forward(
        self,
        sequences: Tensor,
        presence: Tensor,
        forward_state: Tensor | None = None,
        backward_state: Tensor | None = None,
    ) -> Output:
        """Segment a batch of stacks.

        Parameters
        ----------
        sequences : Tensor (batch, slice + 2 x neighbours, role, row, column)
            As ``service.stages.preprocess`` makes them, with the slices beside the stack.
        presence : Tensor (batch, role)
        forward_state, backward_state : Tensor (batch, 2, hidden, row / d, column / d), optional
            Entering from below and above; zero if not given.
        """
        sequences = with_neighbours(sequences, self.config.neighbours)
        flagged = self.config.presence_flags
        features = with_flags(sequences, presence) if flagged else sequences
        features = features.flatten(0, 1)
        skips = []
        for level, block in enumerate(self.encoder):
            features = block(features if level == 0 else functional.max_pool2d(features, 2))
            skips.append(features)
        zero = self.zero_state(sequences)
        up = zero if forward_state is None else forward_state
        down = zero if backward_state is None else backward_state
        features = skips.pop()
        if self.config.recurs_at_bottleneck:
            stack, up, down = self.bottleneck(_stacked(features, sequences), up, down)
            features = stack.flatten(0, 1)
        logits = self._decode(features, skips, sequences)
        stacks = [_stacked(level, sequences).squeeze(2).float() for level in logits]
        return Output(stacks, up, down)

    def _decode(self, features: Tensor, skips: list[Tensor], sequences: Tensor) -> list[Tensor]:
        logits = []
        for level in reversed(range(len(skips))):
            features = self.enlarge[level](features)
            skip = skips[level]
            if self.config.gates:
                skip = self.gates[level](skip, features)
            features = self.decoder[level](torch.cat([skip, features], dim=1))
            if self.config.recurs_in_decoder:
                recurrence = cast("TwoWayRecurrence", self.decoder_recurrence[level])
                features = recurrence.from_nothing(_stacked(features, sequences)).flatten(0, 1)
            if level == 0 or (self.training and level < len(self.heads)):
                logits.append(self.heads[level](features))
        return logits[::-1]


def _stacked(features: Tensor, sequences: Tensor) -> Tensor:
    """Split (batch x slice, ...) into (batch, slice, ...) like the sequences."""
    batch, slices = sequences.shape[:2]
    return features.reshape(batch, slices, *features.shape[1:])


class ServedNetwork(nn.Module):
    """The network with the inputs and outputs of the served model: one study, no batch axis."""

    def __init__(self, network: UpAttLLSTM) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, sequences: Tensor, presence: Tensor, forward_state: Tensor, backward_state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return probability (slice, row, column) and both states (2, hidden, row, column).

        ``sequences`` has the slices beside the stack as well, as in ``UpAttLLSTM.forward``.
        """
        output = self.network(
            sequences[None], presence[None], forward_state[None], backward_state[None]
        )
        probability = torch.sigmoid(output.logits[0][0])
        return probability, output.forward_state[0], output.backward_state[0]
