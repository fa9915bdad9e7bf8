"""The import contracts hold, and each of them bites when it is broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = Path(sys.executable).parent / "lint-imports"

# Contract, file of the copy, line planted into it.
VIOLATIONS = [
    ("layers of the service", "service/domain/finding.py", "import service.stages.resample"),
    ("layers of the service", "service/stages/run_model.py", "import service.adapters.model_files"),
    ("layers of the service", "service/undeclared.py", "X = 1"),
    ("training above service", "service/stages/resample.py", "import training"),
    ("training uses only the shared stages", "training/planted.py", "import service.settings"),
    ("doors are independent", "service/entrypoints/worker.py", "import service.entrypoints.cli"),
    ("doors are independent", "service/entrypoints/listener.py", "import service.entrypoints.api"),
    ("pure core", "service/application/analyse_study.py", "import pydantic"),
    ("pure core", "service/stages/write_report.py", "import onnxruntime"),
    ("array core", "service/stages/preprocess.py", "import pydicom"),
    ("no torch in the service", "service/adapters/model_files.py", "import torch"),
    ("light gateway", "service/bootstrap/gateway.py", "import service.adapters.onnx_predictor"),
    ("light gateway", "service/entrypoints/listener.py", "import service.bootstrap.analysis"),
    ("no cycles", "service/domain/errors.py", "import service.stages.resample"),
]


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(LINT), "--config", str(root / "pyproject.toml"), "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
    )


@pytest.fixture
def copy_of_code(tmp_path: Path) -> Path:
    for package in ("service", "training"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_hold() -> None:
    outcome = lint(ROOT)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize(("contract", "file", "line"), VIOLATIONS)
def test_planted_violation_is_caught(
    copy_of_code: Path, contract: str, file: str, line: str
) -> None:
    target = copy_of_code / file
    before = target.read_text(encoding="utf-8") if target.exists() else ""
    target.write_text(f"{before}\n{line}\n", encoding="utf-8")

    outcome = lint(copy_of_code)

    assert outcome.returncode == 1, outcome.stdout
    broken = [row for row in outcome.stdout.splitlines() if "BROKEN" in row or "Missing" in row]
    undeclared = "undeclared" in outcome.stdout
    assert any(contract in row for row in broken) or undeclared, outcome.stdout
