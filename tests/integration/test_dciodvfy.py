"""What other people's programs say about the DICOM-SEG: dciodvfy (dicom3tools) and dcmqi."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from service.adapters.study_files import StudyFolder
from service.domain.geometry import Geometry
from service.domain.segmentation_form import SegmentationForm
from service.domain.study import PlaneFacts
from service.domain.volume import Volume
from service.stages.check_segmentation import check_segmentation
from service.stages.plane_grid import regular_grid
from service.stages.result_object import encode
from service.stages.split_series import split_series
from service.stages.write_segmentation import write_segmentation
from tests.results import IDENTITY, MODEL, findings_of, labels, segmentation_of
from tests.strategies import dicom_axes, enhanced_mr, mr_series, rotation, uid
from tests.tools import require

AXIAL = (1.0, 0.0, 0.0, 0.0)
DOUBLE_OBLIQUE = (0.9, 0.15, 0.2, -0.1)
TOLERANCE_MM = 0.01
# Scanners round positions; dcmqi goes on from the first of them.
ROUNDED_MM = 0.2

# Name: rotation, spacing (slice, row, column) in mm, number of findings, enhanced.
GRIDS = {
    "classic axial": (AXIAL, (5.0, 0.9, 0.9), 1, False),
    "oblique": (DOUBLE_OBLIQUE, (3.0, 0.8, 0.8), 2, False),
    "non-square pixels": (AXIAL, (4.0, 0.5, 1.3), 2, False),
    "oblique, non-square": (DOUBLE_OBLIQUE, (4.5, 1.4, 0.6), 3, False),
    "enhanced": (AXIAL, (2.0, 0.9, 0.9), 2, True),
    "enhanced, oblique": (DOUBLE_OBLIQUE, (2.5, 0.7, 1.1), 1, True),
}

# Each holds one grid at least: what is special about the series.
REAL_SERIES = {
    "siemens_xa30_prisma_human/s20_tracew": "enhanced multi-frame",
    "siemens_xa30_prisma_human/s19_adc": "enhanced multi-frame",
    "siemens_xa30_prisma_human/s07_bold": "enhanced, oblique",
    "siemens_e11_prisma_human/s02_t1_sag": "sagittal",
    "siemens_e11_prisma_human/s03_dwi_mosaic": "mosaic",
    "siemens_avanto_human_t1c/s02_t1c": "high resolution",
    "toshiba_galan_human/s7006_dti": "several volumes in one series",
    "uih_umr770_human_a/s02_t1": "no study date",
    "uih_umr770_human_a/s12_dti": "mosaic",
    "philips_achieva_human_dti/s601_dti": "an empty sequence in the header",
    "philips_achieva_phantom_b0_enh/s801_b0": "enhanced multi-frame",
    "philips_elition_r11_phantom_t1/s201_t1_tse": "an illegal enumerated value",
    "ge_mr750_human_bold/s04_bold": "many volumes in one series",
    "ge_hdxt_fruit_t1/s10_t1": "no StudyID",
}
ILLEGAL_UIDS = "ge_signa_human_pd/s02_pd"


def dciodvfy(segmentation: Dataset, folder: Path) -> list[str]:
    """Return the lines that dciodvfy prints about the object."""
    path = folder / "segmentation.dcm"
    path.write_bytes(encode(segmentation))
    done = subprocess.run(
        [require("dciodvfy"), "-new", path], capture_output=True, text=True, check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert "Segmentation" in lines, "dciodvfy did not recognise the object"
    return lines


def errors(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.startswith("Error")]


def read_by_dcmqi(segmentation: Dataset, folder: Path) -> dict[int, sitk.Image]:
    """Return the image of each segment as segimage2itkimage sees it."""
    path = folder / "for-dcmqi.dcm"
    path.write_bytes(encode(segmentation))
    options = ["-t", "nrrd", "-p", "segment", "--outputDirectory", str(folder)]
    command = [str(require("segimage2itkimage")), *options, "--inputDICOM", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    files = sorted(folder.glob("segment-*.nrrd"))
    return {int(file.stem.split("-")[1]): sitk.ReadImage(file) for file in files}


def assert_same_in_patient(
    images: dict[int, sitk.Image], mask: Volume, tolerance_mm: float
) -> None:
    """Compare every voxel by its place in the patient."""
    numbers = set(np.unique(mask.voxels).tolist()) - {0}
    assert set(images) == numbers
    for number, image in images.items():
        indices = np.argwhere(sitk.GetArrayFromImage(image))
        points = np.array(
            [
                image.TransformIndexToPhysicalPoint([int(i) for i in index[::-1]])
                for index in indices
            ]
        )
        nearest = np.rint(mask.geometry.to_index(points)).astype(int)
        distances = np.linalg.norm(mask.geometry.to_lps(nearest) - points, axis=1)
        assert distances.max() < tolerance_mm
        found = set(map(tuple, nearest.tolist()))
        assert found == set(map(tuple, np.argwhere(mask.voxels == number).tolist()))


@pytest.mark.parametrize("name", GRIDS)
def test_validators_accept_what_is_written(name: str, tmp_path: Path) -> None:
    quaternion, spacing, count, enhanced = GRIDS[name]
    grid = Geometry.from_components(
        origin=(-90.0, -110.0, -35.0),
        axes=dicom_axes(rotation(quaternion)),
        spacing=spacing,
        shape=(11, 40, 48),
        frame_of_reference_uid=uid("frame of reference"),
    )
    mask = labels(grid, count)
    image = Volume(np.ones(grid.shape, np.int16), grid)
    written = segmentation_of(mask, [enhanced_mr(image)] if enhanced else mr_series(image))
    assert errors(dciodvfy(written, tmp_path)) == []
    assert_same_in_patient(read_by_dcmqi(written, tmp_path), mask, TOLERANCE_MM)


def real_segmentation(folder: Path) -> tuple[Dataset, Volume, tuple[PlaneFacts, ...]]:
    """Write a segmentation over the last volume of a real series and check it by reading back."""
    study = StudyFolder.read(folder, max_slices=20_000)
    series = study.facts.series[0]
    planes, grid = regular_grid(split_series(series)[-1].planes)
    mask = labels(grid, 2)
    sources = study.datasets(series.series_instance_uid)
    written = write_segmentation(mask, findings_of(mask), sources, planes, MODEL, IDENTITY)
    check_segmentation(written, mask)
    again = write_segmentation(mask, findings_of(mask), sources, planes, MODEL, IDENTITY)
    assert encode(written) == encode(again)
    return written, mask, planes


# The headers are as the scanners wrote them: pydicom has something to say about some.
@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("series", REAL_SERIES)
def test_real_series(series: str, shared_data: Path, tmp_path: Path) -> None:
    written, mask, planes = real_segmentation(shared_data / "dicom" / series)
    assert errors(dciodvfy(written, tmp_path)) == []
    named = {plane.sop_instance_uid for plane in planes}
    referenced = written.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {str(image.ReferencedSOPInstanceUID) for image in referenced} == named
    assert_same_in_patient(read_by_dcmqi(written, tmp_path), mask, ROUNDED_MM)


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_illegal_uids_of_a_source_are_named_as_they_are(shared_data: Path, tmp_path: Path) -> None:
    written, mask, planes = real_segmentation(shared_data / "dicom" / ILLEGAL_UIDS)
    found = errors(dciodvfy(written, tmp_path))
    assert found
    assert {line for line in found if "UID" not in line or "<0.0.0.0." not in line} == set()
    with disable_value_validation():
        referenced = written.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        named = {str(image.ReferencedSOPInstanceUID) for image in referenced}
    assert named == {plane.sop_instance_uid for plane in planes}
    # The header has the gap for SpacingBetweenSlices; dcmqi builds its volume from what we write.
    assert_same_in_patient(read_by_dcmqi(written, tmp_path), mask, ROUNDED_MM)


@pytest.mark.parametrize("form", SegmentationForm)
def test_every_form_is_read_where_it_is_known(form: SegmentationForm, tmp_path: Path) -> None:
    grid = Geometry.from_components(
        origin=(-9.0, -11.0, -8.0),
        axes=dicom_axes(rotation(AXIAL)),
        spacing=(3.0, 0.9, 0.9),
        shape=(6, 20, 24),
        frame_of_reference_uid=uid("frame of reference"),
    )
    mask, series = labels(grid, 1), mr_series(Volume(np.ones(grid.shape, np.int16), grid))
    written = segmentation_of(mask, series, form)
    if form is not SegmentationForm.LABELMAP:
        # The validator is older than label maps.
        assert errors(dciodvfy(written, tmp_path)) == []
    assert_same_in_patient(read_by_dcmqi(written, tmp_path), mask, TOLERANCE_MM)
