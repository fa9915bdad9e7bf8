"""Chunks give the same answer as the whole, for a predictor whose answer needs all slices."""

import numpy as np
import pytest

from service.domain.geometry import Geometry
from service.domain.model_spec import InputSpec, ModelSpec
from service.stages.preprocess import NetworkInput
from service.stages.run_model import Float32, Prediction, run_model

SPEC = ModelSpec(
    name="test",
    version="1",
    sha256="0" * 64,
    input=InputSpec(),
    state_channels=3,
    threshold=0.5,
    min_volume_mm3=0.0,
    intended_use="tests",
    training_data="none",
)


class LeakySums:
    """A recurrence that can be checked by hand: each state is half the last one plus the slice."""

    def __init__(self) -> None:
        self.slices_per_call: list[int] = []

    def predict(
        self, sequences: Float32, presence: Float32, forward_state: Float32, backward_state: Float32
    ) -> Prediction:
        self.slices_per_call.append(len(sequences))
        inputs = sequences.mean(axis=(1, 2, 3))
        upwards, forward = self._scan(inputs, forward_state)
        downwards, backward = self._scan(inputs[::-1], backward_state)
        values = np.array(upwards) + 3 * np.array(downwards[::-1])
        shape = (len(inputs), *sequences.shape[2:])
        probability = np.broadcast_to(values[:, None, None], shape).astype(np.float32)
        return Prediction(probability, forward, backward)

    @staticmethod
    def _scan(inputs: Float32, state: Float32) -> tuple[list[float], Float32]:
        outputs = []
        for value in inputs:
            state = (0.5 * state + value).astype(np.float32)
            outputs.append(float(state.mean()))
        return outputs, state


def network_input(slices: int) -> NetworkInput:
    grid = Geometry.from_components(
        origin=(0, 0, 0), axes=np.eye(3)[::-1], spacing=(2, 0.9, 0.9), shape=(slices, 32, 16)
    )
    random = np.random.default_rng(slices)
    return NetworkInput(
        sequences=random.normal(size=(slices, 6, 32, 16)).astype(np.float32),
        presence=np.ones(6, np.float32),
        grid=grid,
        reference=grid,
        head_centre_lps=(0.0, 0.0, 0.0),
    )


@pytest.mark.parametrize("slices", [1, 2, 7, 40])
@pytest.mark.parametrize("chunk", [1, 3, 8, 64])
def test_chunks_equal_the_whole(slices: int, chunk: int) -> None:
    whole = run_model(network_input(slices), LeakySums(), SPEC)
    chunked = run_model(network_input(slices), LeakySums(), SPEC, chunk_slices=chunk)
    assert chunked.voxels == pytest.approx(whole.voxels, abs=1e-5)


def test_no_call_sees_more_slices_than_allowed_and_one_chunk_is_one_call() -> None:
    predictor = LeakySums()
    run_model(network_input(20), predictor, SPEC, chunk_slices=8)
    assert max(predictor.slices_per_call) == 8
    once = LeakySums()
    run_model(network_input(20), once, SPEC, chunk_slices=20)
    assert once.slices_per_call == [20]
