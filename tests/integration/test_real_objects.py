"""Structured report and key image over real series of five makers: what dciodvfy says of them."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from service.adapters.study_files import StudyFolder
from service.stages.write_key_image import write_key_image
from service.stages.write_structured_report import write_structured_report
from tests.integration.test_dciodvfy import ILLEGAL_UIDS, REAL_SERIES, real_segmentation
from tests.integration.test_report_objects import errors_of
from tests.results import IDENTITY, evidence_of, report_of

pytestmark = [
    pytest.mark.real_data,
    # The headers are as the scanners wrote them: pydicom has something to say about some.
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
]


def errors_over(folder: Path, tmp_path: Path) -> list[str]:
    """Return the errors in both objects over a series."""
    study = StudyFolder.read(folder, max_slices=20_000)
    sources = study.datasets(study.facts.series[0].series_instance_uid)
    segmentation, mask, _ = real_segmentation(folder)
    report, evidence = report_of(mask, sources), evidence_of(sources)
    told = write_structured_report(report, segmentation, sources, evidence, IDENTITY)
    picture = BytesIO()
    Image.new("RGB", (40, 30), (20, 90, 160)).save(picture, format="PNG")
    image = write_key_image(picture.getvalue(), sources, IDENTITY)
    return [
        *errors_of(told, "Comprehensive3DSR", tmp_path),
        *errors_of(image, "SCImage", tmp_path),
    ]


@pytest.mark.parametrize("series", REAL_SERIES)
def test_dciodvfy_finds_no_error(series: str, shared_data: Path, tmp_path: Path) -> None:
    assert errors_over(shared_data / "dicom" / series, tmp_path) == []


def test_only_the_illegal_uids_of_a_source_are_errors(shared_data: Path, tmp_path: Path) -> None:
    found = errors_over(shared_data / "dicom" / ILLEGAL_UIDS, tmp_path)
    assert found
    assert [line for line in found if "UID" not in line or "<0.0.0.0." not in line] == []
