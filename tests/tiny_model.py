"""A network of a few operators that finds dark spots, installed like any other model.

It calls thrombus what is more than two deviations darker than the head and not at its rim. So
whole processes can be tested with real inference in ONNX Runtime, quickly and with a known answer.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from service.domain.geometry import Geometry
from service.domain.model_spec import InputSpec, ModelSpec
from service.domain.volume import Volume
from tests.strategies import uid

NAME = "dark-spots"
VERSION = "1.0.0"
STATE_CHANNELS = 2
DARKER_THAN = -2.0
RIM_PIXELS = 6
CLOT = (20.0, -8.0, 5.0)


def install_tiny_model(models: Path) -> None:
    """Write model.onnx and model.json under ``models``."""
    folder = models / NAME / VERSION
    folder.mkdir(parents=True)
    content = _network().SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    spec = ModelSpec(
        name=NAME,
        version=VERSION,
        sha256=hashlib.sha256(content).hexdigest(),
        input=InputSpec(),
        state_channels=STATE_CHANNELS,
        threshold=0.5,
        min_volume_mm3=10.0,
        intended_use="tests",
        training_data="none: a rule",
    )
    (folder / "model.json").write_text(json.dumps(spec.to_json()))


def _network() -> onnx.ModelProto:
    window = 2 * RIM_PIXELS + 1
    nodes = [
        helper.make_node("Slice", ["sequences", "zero", "one", "one"], ["susceptibility"]),
        helper.make_node("Equal", ["susceptibility", "air"], ["is_air"]),
        helper.make_node("Cast", ["is_air"], ["air_mask"], to=TensorProto.FLOAT),
        helper.make_node(
            "MaxPool",
            ["air_mask"],
            ["rim_mask"],
            kernel_shape=[window, window],
            pads=[RIM_PIXELS] * 4,
        ),
        helper.make_node("Less", ["susceptibility", "darker_than"], ["is_dark"]),
        helper.make_node("Cast", ["is_dark"], ["dark_mask"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["dark_mask", "rim_mask"], ["inner_dark"]),
        helper.make_node("Relu", ["inner_dark"], ["found"]),
        helper.make_node("Squeeze", ["found", "one"], ["probability"]),
        helper.make_node("Identity", ["forward_state"], ["forward_state_out"]),
        helper.make_node("Identity", ["backward_state"], ["backward_state_out"]),
        # The exported interface has this input; the rule needs no presence flags.
        helper.make_node("Identity", ["presence"], ["unused_presence"]),
    ]
    constants = {
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "air": np.array(0, np.float32),
        "darker_than": np.array(DARKER_THAN, np.float32),
    }
    state: list[int | str] = [2, STATE_CHANNELS, "h", "w"]
    graph = helper.make_graph(
        nodes,
        NAME,
        [
            _value("sequences", ["slice", 6, "row", "column"]),
            _value("presence", [6]),
            _value("forward_state", state),
            _value("backward_state", state),
        ],
        [
            _value("probability", ["slice", "row", "column"]),
            _value("forward_state_out", state),
            _value("backward_state_out", state),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def _value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def small_head(*, clot: bool) -> Volume:
    """Return an ellipsoid of tissue, small enough to be analysed quickly, with or without a clot.

    Its centre is the origin of the patient frame; the clot's is ``CLOT``.
    """
    grid = Geometry.from_components(
        origin=(-60, -70, -40),
        axes=np.eye(3)[::-1],
        spacing=(5.0, 2.0, 2.0),
        shape=(17, 70, 60),
        frame_of_reference_uid=uid("frame of reference"),
    )
    positions = grid.to_lps(np.moveaxis(np.indices(grid.shape), 0, -1))
    inside = ((positions / [50.0, 60.0, 38.0]) ** 2).sum(axis=-1) < 1
    texture = 20 * np.sin(positions[..., 0] / 9) * np.cos(positions[..., 1] / 11)
    voxels = np.where(inside, 600 + texture, 0)
    if clot:
        voxels[np.linalg.norm(positions - CLOT, axis=-1) < 7] = 100
    return Volume(voxels.astype(np.int32), grid)
