"""Studies in the style of every maker through the whole service, and its objects in others' hands.

dciodvfy reads all three objects, dcmqi finds every segment where the report says it is, and
tid1500reader finds the report's numbers.
"""

import json
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset

from service.adapters.analysis_files import analysis_files
from service.bootstrap.analysis import Analyser
from service.domain.result_file import ResultFile
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.settings import Settings
from tests.fakes import Silent
from tests.integration.test_dciodvfy import read_by_dcmqi
from tests.integration.test_report_objects import errors_of
from tests.simulated import simulated_case
from tests.tiny_model import NAME, install_tiny_model
from tests.tools import require
from training.simulate.case import Case
from training.simulate.dicom.study import write_dicom
from training.simulate.formats import Style
from training.simulate.site import Composition

# What dciodvfy calls each object.
KINDS = {
    ResultFile.SEGMENTATION: "Segmentation",
    ResultFile.STRUCTURED_REPORT: "Comprehensive3DSR",
    ResultFile.KEY_IMAGE: "SCImage",
}
# Positions in headers are rounded, and the report's centroid to a hundredth of a millimetre.
TOLERANCE_MM = 0.05


def with_dark_clot(composition: Composition) -> Case:
    """Return a case whose clot the model of tests finds."""
    case = simulated_case(composition, backwards=composition is Composition.MAGNITUDE)
    image = case.volumes[Role.SUSC]
    dark = Volume(np.where(case.svs.voxels, 0.05, image.voxels).astype(np.float32), image.geometry)
    return replace(case, volumes={**case.volumes, Role.SUSC: dark})


@pytest.fixture(scope="module")
def analyser(tmp_path_factory: pytest.TempPathFactory) -> Analyser:
    models = tmp_path_factory.mktemp("models")
    install_tiny_model(models)
    return Analyser(Settings(models_dir=models, default_model=NAME, key_image=True))


@pytest.fixture(
    scope="module",
    params=[(composition, style) for composition in Composition for style in Style],
    ids="-".join,
)
def files(
    request: pytest.FixtureRequest, analyser: Analyser, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    composition, style = request.param
    folder = tmp_path_factory.mktemp("study")
    write_dicom(with_dark_clot(composition), folder, style)
    return analysis_files(analyser.analyse(folder, NAME, Silent()))


def findings(files: dict[str, bytes]) -> list[dict[str, Any]]:
    report = json.loads(files[ResultFile.REPORT])
    assert report["result"] == "thrombus_found"
    found: list[dict[str, Any]] = report["findings"]
    return found


def read(files: dict[str, bytes], file: ResultFile) -> Dataset:
    return pydicom.dcmread(BytesIO(files[file]))


@pytest.mark.parametrize("file", KINDS)
def test_dciodvfy_finds_no_error(files: dict[str, bytes], file: ResultFile, tmp_path: Path) -> None:
    assert errors_of(read(files, file), KINDS[file], tmp_path) == []


def test_dcmqi_finds_every_segment_at_the_place_in_the_report(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    segments = read_by_dcmqi(read(files, ResultFile.SEGMENTATION), tmp_path)
    reported = findings(files)
    assert sorted(segments) == [finding["number"] for finding in reported]
    for finding in reported:
        image = segments[finding["number"]]
        indices = np.argwhere(sitk.GetArrayFromImage(image))
        assert len(indices) == finding["voxel_count"]
        centre = indices.mean(axis=0)[::-1].tolist()
        lps = image.TransformContinuousIndexToPhysicalPoint(centre)
        np.testing.assert_allclose(lps, finding["centroid_lps"], atol=TOLERANCE_MM)


def test_tid1500reader_reads_the_numbers_of_the_report(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    path, out = tmp_path / "report.dcm", tmp_path / "report.json"
    path.write_bytes(files[ResultFile.STRUCTURED_REPORT])
    tool = str(require("tid1500reader"))
    command = [tool, "--inputDICOM", str(path), "--outputMetadata", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    _, *groups = json.loads(out.read_text())["Measurements"]
    volumes = [
        float(item["value"])
        for group in groups
        for item in group["measurementItems"]
        if item["quantity"]["CodeMeaning"] == "Volume"
    ]
    expected = [finding["volume_mm3"] for finding in findings(files)]
    np.testing.assert_allclose(volumes, expected, rtol=1e-3)


def test_a_run_with_more_of_a_study_names_the_report_it_takes_the_place_of(
    analyser: Analyser, tmp_path: Path
) -> None:
    write_dicom(with_dark_clot(Composition.ECHO_MEAN), tmp_path / "study", Style.GE)
    results = [tmp_path / name for name in ("first", "second", "third")]
    for earlier, folder in zip([None, *results], results, strict=False):
        analyser(tmp_path / "study", NAME, folder, Silent(), earlier)
    first, second, third = (
        pydicom.dcmread(folder / ResultFile.STRUCTURED_REPORT) for folder in results
    )
    assert "PredecessorDocumentsSequence" not in first
    for older, newer in ((first, second), (second, third)):
        (study,) = newer.PredecessorDocumentsSequence
        (series,) = study.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == older.SeriesInstanceUID
        (named,) = series.ReferencedSOPSequence
        assert named.ReferencedSOPInstanceUID == older.SOPInstanceUID
    # What says something else is another object.
    assert len({report.SOPInstanceUID for report in (first, second, third)}) == 3


def test_deleted_results_are_no_predecessor(analyser: Analyser, tmp_path: Path) -> None:
    write_dicom(with_dark_clot(Composition.ECHO_MEAN), tmp_path / "study", Style.GE)
    analyser(tmp_path / "study", NAME, tmp_path / "out", Silent(), tmp_path / "deleted")
    written = pydicom.dcmread(tmp_path / "out" / ResultFile.STRUCTURED_REPORT)
    assert "PredecessorDocumentsSequence" not in written
