"""The demo as the README gives it: a service of its own, REST, results in a folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import dcmread

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "examples" / "demo-study.zip"
TRUTH = ROOT / "examples" / "demo-truth.nii.gz"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    out = folder / "demo-output"
    # What this machine serves besides, and its proxy, are none of the demo's business.
    others = {
        "THROMBOLENS_DATABASE_URL": f"sqlite:///{folder / 'production.sqlite3'}",
        "THROMBOLENS_BROKER_URL": "redis://127.0.0.1:1/0",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    command = ["-m", "service.entrypoints.cli", "demo", "--study", str(STUDY), "--out", str(out)]
    subprocess.run(
        [sys.executable, *command], check=True, cwd=ROOT, timeout=400, env={**os.environ, **others}
    )
    assert not (folder / "production.sqlite3").exists()
    return out


def test_demo_leaves_all_results(results: Path) -> None:
    names = {path.name for path in results.iterdir()}
    dicom = {"segmentation.dcm", "structured_report.dcm"}
    assert names == {"report.json", "mask.nii.gz", "preview.png"} | dicom
    report = json.loads((results / "report.json").read_text())
    assert report["result"] == "thrombus_found"
    assert report["missing_roles"] == []
    assert dcmread(results / "segmentation.dcm").Modality == "SEG"


def test_the_simulated_clot_is_among_the_findings(results: Path) -> None:
    mask, truth = (nibabel.load(path) for path in (results / "mask.nii.gz", TRUTH))
    assert np.allclose(mask.affine, truth.affine, atol=1e-2)
    found, clot = np.asarray(mask.dataobj), np.asarray(truth.dataobj) > 0
    assert clot.any()
    assert (found[clot] == 1).any(), "the most probable finding does not touch the clot"


def test_the_demo_study_is_small_and_says_that_it_is_simulated(tmp_path: Path) -> None:
    assert STUDY.stat().st_size <= 8_000_000
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(STUDY), str(tmp_path)], check=True)
    instances = [path for path in tmp_path.rglob("*") if path.is_file()]
    described = {dcmread(path, stop_before_pixels=True).StudyDescription for path in instances}
    assert described
    assert all("simulated" in text.lower() for text in described)
