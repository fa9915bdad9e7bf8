"""What other programs say about structured report and key image: dciodvfy, tid1500reader."""

import json
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from pydicom.dataset import Dataset

from service.domain.report import ReportTitle
from service.stages.result_object import encode
from service.stages.write_key_image import write_key_image
from service.stages.write_structured_report import Evidence, write_structured_report
from tests.results import (
    GRID,
    IDENTITY,
    IMAGE,
    INSUFFICIENT,
    evidence_of,
    findings_of,
    labels,
    report_of,
    segmentation_of,
)
from tests.strategies import enhanced_mr, mr_series
from tests.tools import require

OLDER = Evidence("1.2.3", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.3.4")
CASES = (
    "found",
    "found, enhanced",
    "found, no segmentation",
    "found, again",
    "absent",
    "insufficient",
)


def written(case: str, title: ReportTitle) -> Dataset:
    series = [enhanced_mr(IMAGE)] if "enhanced" in case else mr_series(IMAGE)
    mask = labels(GRID, 2) if case.startswith("found") else None
    values = INSUFFICIENT if case == "insufficient" else {}
    told = mask is not None and "no segmentation" not in case
    segmentation = segmentation_of(mask, series) if mask is not None and told else None
    report = report_of(mask, series, **values)
    older = OLDER if "again" in case else None
    return write_structured_report(
        report, segmentation, series, evidence_of(series), IDENTITY, title, predecessor=older
    )


def errors_of(instance: Dataset, kind: str, folder: Path) -> list[str]:
    """Return the errors that dciodvfy finds in an object that it must recognise."""
    path = folder / "object.dcm"
    path.write_bytes(encode(instance))
    done = subprocess.run(
        [require("dciodvfy"), "-new", path], capture_output=True, text=True, check=False
    )
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    assert kind in lines, "dciodvfy did not recognise the object"
    return [line for line in lines if line.startswith("Error")]


@pytest.mark.parametrize("title", ReportTitle)
@pytest.mark.parametrize("case", CASES)
def test_dciodvfy_finds_no_error(case: str, title: ReportTitle, tmp_path: Path) -> None:
    assert errors_of(written(case, title), "Comprehensive3DSR", tmp_path) == []


def test_dciodvfy_finds_no_error_in_a_key_image(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.new("RGB", (33, 21), (200, 100, 50)).save(buffer, format="PNG")
    written_image = write_key_image(buffer.getvalue(), mr_series(IMAGE), IDENTITY)
    assert errors_of(written_image, "SCImage", tmp_path) == []


@pytest.mark.parametrize("title", ReportTitle)
@pytest.mark.parametrize("case", CASES)
def test_tid1500reader_reads_all_groups_and_numbers(
    case: str, title: ReportTitle, tmp_path: Path
) -> None:
    path, out = tmp_path / "report.dcm", tmp_path / "report.json"
    path.write_bytes(encode(written(case, title)))
    tool = str(require("tid1500reader"))
    command = [tool, "--inputDICOM", str(path), "--outputMetadata", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    study, *groups = json.loads(out.read_text())["Measurements"]
    found = findings_of(labels(GRID, 2)) if case.startswith("found") else ()
    presence = {"found": "Present", "absent": "Absent", "insufficient": "Undetermined"}
    assert presence[case.split(",", maxsplit=1)[0]] in json.dumps(study["qualitativeEvaluations"])
    assert len(groups) == len(found)
    for finding, group in zip(found, groups, strict=True):
        values = {
            item["quantity"]["CodeMeaning"]: float(item["value"])
            for item in group["measurementItems"]
        }
        assert values == {
            "Volume": finding.volume_mm3,
            "Length": finding.length_mm,
            "Short axis": finding.width_mm,
            "Probability": finding.probability,
        }
        assert group["TrackingUniqueIdentifier"] == IDENTITY.tracking_uid(finding.number)
