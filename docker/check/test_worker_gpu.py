"""The CUDA worker's image on a machine that need not have a GPU: run by ``make images-check``."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from docker.check.composition import read_composition
from docker.check.containers import Container
from docker.check.site import make_data_folder, output, tell

PROVIDERS = "import onnxruntime; print(*onnxruntime.get_available_providers())"
# What the provider's library is linked to; the driver, libcuda, is the machine's.
LIBRARIES = (
    "ldd /opt/thrombolens/lib/python3*/site-packages/onnxruntime/capi/"
    "libonnxruntime_providers_cuda.so | sed -n 's/ => not found//p'"
)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Container]:
    """Give the worker with a data folder, and with embedded broker and database."""
    service = read_composition()["worker-gpu"]
    servers = ("_FILE", "SOURCES", "DESTINATIONS")
    own = {k: v for k, v in service.environment.items() if not k.endswith(servers)}
    assert own["THROMBOLENS_DEVICE"] == "cuda"
    with tempfile.TemporaryDirectory(prefix="gpu-", dir="/var/tmp") as place:
        home = Path(place)
        home.chmod(0o755)
        make_data_folder(home)
        alone = replace(service, environment=own)
        with Container(alone, [f"{home}/data:/data"], {}, tmp_path / "worker.log") as container:
            yield container


def test_cuda_is_in_it_and_only_the_driver_is_not(worker: Container) -> None:
    providers = output(worker, "python", "-c", PROVIDERS).split()
    tell(f"worker-gpu: {' '.join(providers)}")
    assert "CUDAExecutionProvider" in providers
    absent = output(worker, "sh", "-c", LIBRARIES).split()
    tell(f"worker-gpu: not in the image: {absent}")
    assert set(absent) <= {"libcuda.so.1"}


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is a GPU")
def test_without_a_gpu_it_ends_with_the_reason_and_is_not_well(worker: Container) -> None:
    done = worker.run(worker.service.command)
    (line,) = [one for one in done.stderr.splitlines() if "can be fixed by" in one]
    tell(f"worker-gpu: {line}")
    assert line.startswith("PROVIDER_UNAVAILABLE: CUDAExecutionProvider was asked for")
    assert done.returncode == 1
    assert not worker.health()
