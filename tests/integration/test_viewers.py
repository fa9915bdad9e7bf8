"""What OHIF makes of our objects, once they are in Orthanc by way of dcmtk."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from service.domain.geometry import Geometry
from service.domain.identity import ResultIdentity
from service.domain.volume import Volume
from service.stages.check_segmentation import check_segmentation
from service.stages.result_object import encode
from service.stages.write_segmentation import write_segmentation
from service.stages.write_structured_report import write_structured_report
from tests.peers import Orthanc, ohif, orthanc, storescu
from tests.results import MODEL, evidence_of, findings_of, planes_of, report_of
from tests.strategies import dicom_axes, mr_series, rotation, uid
from tests.tools import require_viewer
from tests.viewer import Viewer, viewer

QUATERNIONS = {"axial": (1.0, 0.0, 0.0, 0.0), "oblique": (0.92, 0.15, 0.2, -0.1)}


def grid_of(name: str) -> Geometry:
    axes = dicom_axes(rotation(QUATERNIONS[name]))
    spacing = (4.0, 1.5, 1.5)
    shape = (12, 120, 128)
    centre = (np.array(spacing) * (np.array(shape) - 1) / 2) @ axes
    return Geometry.from_components(
        origin=-centre,
        axes=axes,
        spacing=spacing,
        shape=shape,
        frame_of_reference_uid=uid("frame", name),
    )


def mask_of(name: str) -> Volume:
    grid = grid_of(name)
    voxels = np.zeros(grid.shape, np.uint16)
    voxels[3:5, 30:42, 24:36] = 1
    voxels[8:9, 80:92, 90:102] = 2
    return Volume(voxels, grid)


def study_of(name: str) -> list[Dataset]:
    """Return a series and, as our objects about it, a segmentation and a report."""
    mask = mask_of(name)
    slices, rows, columns = np.indices(mask.geometry.shape)
    image = Volume(200 + 3 * slices + rows + columns, mask.geometry)
    study: dict[str, Any] = {
        "StudyInstanceUID": uid("study", name),
        "SeriesInstanceUID": uid("series", name),
    }
    series = mr_series(image, **study, SeriesDescription=name, PatientID=f"TEST-{name}")
    identity = ResultIdentity(analysis_digest=name * 8, software_version="0.1.0")
    planes = planes_of(series)
    segmentation = write_segmentation(mask, findings_of(mask), series, planes, MODEL, identity)
    check_segmentation(segmentation, mask)
    report = report_of(mask, series)
    evidence = evidence_of(series)
    told = write_structured_report(report, segmentation, series, evidence, identity)
    return [*series, segmentation, told]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("archive")
    with orthanc(folder / "orthanc") as running:
        for name in QUATERNIONS:
            paths = []
            for number, instance in enumerate(study_of(name)):
                path = folder / name / f"{number}.dcm"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(encode(instance))
                paths.append(path)
            storescu(running.dicom_port, "ORTHANC", paths)
        yield running


@pytest.fixture(scope="module")
def address(archive: Orthanc) -> Iterator[str]:
    with ohif(require_viewer(), archive) as place:
        yield place


@pytest.fixture
def opened() -> Iterator[Viewer]:
    with viewer() as page:
        yield page


@pytest.mark.parametrize("name", QUATERNIONS)
def test_an_archive_takes_our_objects_into_the_study(name: str, archive: Orthanc) -> None:
    assert archive.modalities(uid("study", name)) == ["MR", "SEG", "SR"]
    described = {
        one["00080060"]["Value"][0]: one["0008103E"]["Value"][0]
        for one in archive.series(uid("study", name))
    }
    assert described["SEG"] == "AI thrombus seg - RESEARCH USE ONLY"
    assert described["SR"] == "AI thrombus report - RESEARCH USE ONLY"


@pytest.mark.parametrize("name", QUATERNIONS)
def test_the_mask_is_drawn_over_the_right_place_and_nowhere_else(
    name: str, address: str, opened: Viewer
) -> None:
    mask = mask_of(name)
    opened.open(address, uid("study", name), series=3)
    opened.show("SEG")
    assert opened.segments(2) == ["Thrombus 1", "Thrombus 2"]
    colours = []
    for number in (1, 2):
        inside = np.argwhere(mask.voxels == number)
        centre = inside[np.abs(inside - inside.mean(axis=0)).sum(axis=1).argmin()]
        place = mask.geometry.to_lps(centre).tolist()
        assert opened.is_coloured(place, expected=True), number
        colours.append(opened.colour_at(place))
        # Three voxels beside the mask, and two slices away from it.
        for step in ((0, 0, 10), (0, 10, 0), (-2, 0, 0)):
            beside = mask.geometry.to_lps(centre + step).tolist()
            assert not opened.is_coloured(beside, expected=False), (number, step)
    assert colours[0] != colours[1]


def test_the_report_is_shown_as_text(address: str, opened: Viewer) -> None:
    opened.open(address, uid("study", "axial"), series=3)
    opened.show("SR")
    opened.page.get_by_text("Diagnostic Imaging Report").wait_for(timeout=30_000)
    text = opened.text()
    for told in ("Thrombus: Present", "Volume: 152.4 mm3", "Research use only."):
        assert told in text
    assert "Something went wrong" not in text, opened.complaints
