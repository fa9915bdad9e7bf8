"""Run the network over all slices at once, or in chunks that give the same answer.

The network is recurrent across slices in both directions, so a chunk needs the state of its
neighbours. Chunked inference makes two passes: one from the last chunk to the first keeps the
backward state that enters each chunk, one from the first to the last uses it. Twice the
arithmetic buys a memory that does not grow with the number of slices.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from service.domain.model_spec import ModelSpec
from service.domain.volume import Volume
from service.stages.preprocess import NetworkInput

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Output of the network for consecutive slices.

    Attributes
    ----------
    probability : float32 array (slice, row, column)
    forward_state, backward_state : float32 array (2, channel, row, column)
        Hidden and cell state that leave the last slice upwards and the first slice downwards.
    """

    probability: Float32
    forward_state: Float32
    backward_state: Float32


class Predictor(Protocol):
    """Something that evaluates the network, such as an ONNX Runtime session."""

    def predict(
        self,
        sequences: Float32,
        presence: Float32,
        forward_state: Float32,
        backward_state: Float32,
    ) -> Prediction:
        """Evaluate a stack with the states that enter from below and above.

        ``sequences`` is (slice + 2 x neighbours, role, row, column): with the slices beside it.
        """
        ...


def run_model(
    network_input: NetworkInput,
    predictor: Predictor,
    spec: ModelSpec,
    *,
    chunk_slices: int | None = None,
) -> Volume:
    """Return the probability of thrombus for every voxel of the network's grid.

    Parameters
    ----------
    chunk_slices : int, optional
        Slices evaluated at a time; all of them if not given.

    Returns
    -------
    Volume
        float32 in 0..1 on ``network_input.grid``.
    """
    count = network_input.sequences.shape[0]
    size = count if chunk_slices is None else min(chunk_slices, count)
    chunks = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    entering = _backward_states(network_input, predictor, spec, chunks)
    forward = _zero_state(network_input, spec)
    parts = []
    for chunk, backward in zip(chunks, entering, strict=True):
        stack = _with_neighbours(network_input.sequences, chunk, spec.input.neighbours)
        prediction = predictor.predict(stack, network_input.presence, forward, backward)
        parts.append(prediction.probability)
        forward = prediction.forward_state
    return Volume(np.concatenate(parts), network_input.grid)


def _backward_states(
    network_input: NetworkInput, predictor: Predictor, spec: ModelSpec, chunks: list[slice]
) -> list[Float32]:
    """Return the backward state that enters each chunk from the slices above it."""
    zero = _zero_state(network_input, spec)
    states = [zero]
    # The forward state does not touch the backward one, so zeros do in this pass.
    for chunk in reversed(chunks[1:]):
        stack = _with_neighbours(network_input.sequences, chunk, spec.input.neighbours)
        prediction = predictor.predict(stack, network_input.presence, zero, states[-1])
        states.append(prediction.backward_state)
    return states[::-1]


def _with_neighbours(sequences: Float32, chunk: slice, neighbours: int) -> Float32:
    """Cut a chunk and the slices beside it; zeros, as for air, beyond the ends of the volume."""
    low, high = chunk.start - neighbours, chunk.stop + neighbours
    below, above = max(0, -low), max(0, high - len(sequences))
    return np.pad(sequences[max(0, low) : high], ((below, above), (0, 0), (0, 0), (0, 0)))


def _zero_state(network_input: NetworkInput, spec: ModelSpec) -> Float32:
    rows, columns = network_input.grid.shape[1:]
    divisor = spec.input.divisor
    return np.zeros((2, spec.state_channels, rows // divisor, columns // divisor), np.float32)
