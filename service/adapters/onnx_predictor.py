"""Evaluate the network with ONNX Runtime."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from service.domain.errors import InvalidModelError, ProviderError
from service.domain.model_spec import ModelSpec
from service.stages.run_model import Prediction

Float32 = npt.NDArray[np.float32]
OUTPUTS = ["probability", "forward_state_out", "backward_state_out"]
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxPredictor:
    """One ONNX Runtime session; see ``Predictor`` for what it computes.

    Parameters
    ----------
    model_file : Path
        model.onnx; its SHA-256 must be the one in the specification.
    spec : ModelSpec
    device : str
        ``cpu`` or ``cuda``. A session that silently fell back to another one is an error.
    threads : int
        Threads inside one operator; 0 lets ONNX Runtime use all cores.

    Raises
    ------
    InvalidModelError
        If the file is missing, has another digest, or is no valid model.
    ProviderError
        If the wanted execution provider is not available or did not take the model.
    """

    def __init__(
        self, model_file: Path, spec: ModelSpec, *, device: str = "cpu", threads: int = 0
    ) -> None:
        content = _read_verified(model_file, spec)
        self._session = _open_session(content, model_file, device, threads)

    @property
    def execution_provider(self) -> str:
        """Name of the provider that runs the network."""
        return str(self._session.get_providers()[0])

    def predict(
        self,
        sequences: Float32,
        presence: Float32,
        forward_state: Float32,
        backward_state: Float32,
    ) -> Prediction:
        """Evaluate consecutive slices; arrays as in ``Predictor.predict``."""
        probability, forward, backward = self._session.run(
            OUTPUTS,
            {
                "sequences": sequences,
                "presence": presence,
                "forward_state": forward_state,
                "backward_state": backward_state,
            },
        )
        return Prediction(probability, forward, backward)


def _read_verified(model_file: Path, spec: ModelSpec) -> bytes:
    try:
        content = model_file.read_bytes()
    except OSError as exc:
        raise InvalidModelError(f"{model_file.name} of {spec.name} cannot be read: {exc}") from exc
    digest = hashlib.sha256(content).hexdigest()
    if digest != spec.sha256:
        raise InvalidModelError(
            f"model {spec.name} {spec.version} has SHA-256 {digest}, model.json says {spec.sha256}"
        )
    return content


def _open_session(
    content: bytes, model_file: Path, device: str, threads: int
) -> onnxruntime.InferenceSession:
    if device not in PROVIDERS:
        raise ProviderError(f"device must be one of {sorted(PROVIDERS)}, got {device!r}")
    wanted = PROVIDERS[device]
    if wanted not in onnxruntime.get_available_providers():
        raise ProviderError(f"{wanted} is not in this build of ONNX Runtime; install the gpu extra")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Errors only: the optimizer comments on constants that the exporter left behind.
    options.log_severity_level = 3
    # The arena never gives memory back; without it a large study costs a third as much.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[wanted])
    # ONNX Runtime's errors share no public base class.
    except Exception as exc:
        raise InvalidModelError(f"{model_file.name} is no valid ONNX model: {exc}") from exc
    if session.get_providers()[0] != wanted:
        raise ProviderError(
            f"{wanted} was asked for, {session.get_providers()[0]} took the model: is there a GPU, "
            "and a driver for this version of CUDA?"
        )
    return session
