"""Recurrence over the slices of a stack, both ways, with a logic or a plain LSTM cell."""

from typing import Literal

import torch
from torch import Tensor, nn

CellKind = Literal["logic", "conv"]


class RecurrentCell(nn.Module):
    """Convolutional LSTM cell over slices, state in float32.

    With input, forget and output gates i, f, o and candidate g, "conv" is
    ``c = f c + i g, h = o tanh(c)`` with g in -1..1. "logic" is our reading of a logic LSTM: g in
    0..1 is a proposition, ``c = OR(AND(f, c), AND(i, g)) = fc + ig - fc ig`` and
    ``h = AND(o, c) = oc``: earlier evidence is kept or new evidence added, and c stays in 0..1.
    """

    def __init__(self, channels: int, hidden: int, cell: CellKind) -> None:
        super().__init__()
        self.hidden = hidden
        self.cell = cell
        self.of_input = nn.Conv2d(channels, 4 * hidden, 3, padding=1)
        self.of_state = nn.Conv2d(hidden, 4 * hidden, 3, padding=1, bias=False)
        # A forget gate that starts open remembers across slices from the first step.
        bias = self.of_input.state_dict()["bias"]
        bias[hidden : 2 * hidden] = 1.0

    def forward(self, driven: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Take one slice's gate inputs and the state; return the new hidden and cell state."""
        gates = driven + self.of_state(hidden).float()
        enter, keep, leave, candidate = gates.chunk(4, dim=1)
        kept = torch.sigmoid(keep) * memory
        if self.cell == "logic":
            added = torch.sigmoid(enter) * torch.sigmoid(candidate)
            memory = kept + added - kept * added
            return torch.sigmoid(leave) * memory, memory
        memory = kept + torch.sigmoid(enter) * torch.tanh(candidate)
        return torch.sigmoid(leave) * torch.tanh(memory), memory


class SliceRecurrence(nn.Module):
    """One direction of the recurrence over slices."""

    def __init__(self, channels: int, hidden: int, cell: CellKind, *, backward: bool) -> None:
        super().__init__()
        self.backward_in_slices = backward
        self.step = RecurrentCell(channels, hidden, cell)

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run over (batch, slice, channel, row, column) from ``state``.

        Returns
        -------
        Tensor (batch, slice, hidden, row, column), Tensor (batch, 2, hidden, row, column)
            Hidden state at every slice, and the state after the last one processed.
        """
        batch, slices = features.shape[:2]
        driven = self.step.of_input(features.flatten(0, 1)).float()
        driven = driven.unflatten(0, (batch, slices)).transpose(0, 1)
        if self.backward_in_slices:
            driven = driven.flip(0)
        hidden, memory = (
            part.float().clone(memory_format=torch.contiguous_format) for part in state.unbind(1)
        )
        hidden, memory, outputs = self._run(driven, hidden, memory)
        if self.backward_in_slices:
            outputs = outputs.flip(0)
        return outputs.transpose(0, 1), torch.stack([hidden, memory], dim=1)

    def _run(self, driven: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if torch.compiler.is_exporting():
            return self._scan(driven, hidden, memory)
        outputs = []
        for gates in driven:
            hidden, memory = self.step(gates, hidden, memory)
            outputs.append(hidden)
        return hidden, memory, torch.stack(outputs)

    def _scan(
        self, driven: Tensor, hidden: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Do the same by one operator, which exports with a free number of slices."""

        def combine(
            carried: tuple[Tensor, Tensor], gates: Tensor
        ) -> tuple[tuple[Tensor, Tensor], Tensor]:
            after, kept = self.step(gates, *carried)
            return (after, kept), after.clone()

        from torch._higher_order_ops.scan import scan  # noqa: PLC0415

        (hidden, memory), outputs = scan(combine, (hidden, memory), driven)
        return hidden, memory, outputs


class TwoWayRecurrence(nn.Module):
    """Adds to every slice what the slices below and above know."""

    def __init__(self, channels: int, hidden: int, cell: CellKind) -> None:
        super().__init__()
        self.cell = cell
        self.hidden = hidden
        self.upwards = SliceRecurrence(channels, hidden, cell, backward=False)
        self.downwards = SliceRecurrence(channels, hidden, cell, backward=True)
        self.fuse = nn.Conv2d(2 * hidden, channels, 1)

    def forward(
        self, features: Tensor, forward_state: Tensor, backward_state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run both ways over (batch, slice, channel, row, column).

        Returns
        -------
        Tensor (batch, slice, channel, row, column), and both states after the last slices
        """
        up, forward_out = self.upwards(features, forward_state)
        down, backward_out = self.downwards(features, backward_state)
        both = torch.cat([up, down], dim=2).flatten(0, 1)
        if self.cell == "logic":
            # Propositions in 0..1 become evidence for and against.
            both = 2 * both - 1
        known = self.fuse(both).unflatten(0, features.shape[:2])
        return features + known, forward_out, backward_out

    def from_nothing(self, features: Tensor) -> Tensor:
        """Run over all slices of a stack, with nothing known beyond them."""
        batch, _, _, rows, columns = features.shape
        zero = torch.zeros((batch, 2, self.hidden, rows, columns), device=features.device)
        fused: Tensor = self(features, zero, zero)[0]
        return fused
