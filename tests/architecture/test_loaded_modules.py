"""What the processes load; dynamic imports are invisible to the import contracts."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("service.entrypoints.api.__main__", {"onnxruntime", "SimpleITK", "torch", "highdicom"}),
        ("service.entrypoints.deliverer", {"onnxruntime", "SimpleITK", "torch", "highdicom"}),
        ("service.entrypoints.listener", {"onnxruntime", "SimpleITK", "torch", "highdicom"}),
        ("service.entrypoints.worker", {"torch", "torchvision", "monai", "lightning"}),
    ],
)
def test_a_process_does_not_load(module: str, forbidden: set[str]) -> None:
    code = f"import sys, {module}; print(sorted({forbidden!r} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
