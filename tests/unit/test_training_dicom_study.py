"""The written study, read back by pydicom alone."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from service.domain.sequence import Role
from service.domain.volume import Volume
from training.dicom_study import PHASE_STEP, write_dicom_study
from training.make_demo_study import crop_around_clot, crop_slices, write_truth, zip_study
from training.simulate.anatomy import axial_grid
from training.simulate.case import Case


def _case() -> Case:
    rng = np.random.default_rng(0)
    grid = axial_grid((-40.0, -50.0, -30.0), (2.0, 0.9, 1.1), (40, 24, 20))
    coarse = axial_grid((-40.0, -50.0, -30.0), (5.0, 1.8, 1.8), (16, 12, 11))
    label = np.zeros(grid.shape, bool)
    label[18:20, 5:8, 6:9] = True
    volumes = {
        Role.SUSC: Volume(rng.uniform(0, 3, grid.shape).astype(np.float32), grid),
        Role.PHASE: Volume(rng.uniform(-4096, 4096, grid.shape).astype(np.float32), grid),
        Role.DWI: Volume(rng.uniform(0, 1, coarse.shape).astype(np.float32), coarse),
        Role.ADC: Volume(rng.uniform(0, 3000, coarse.shape).astype(np.float32), coarse),
    }
    truth = Volume(label, grid)
    return Case(5, "C", volumes, truth, truth, {"with_clot": True})


def _turn() -> np.ndarray:
    angle = np.radians(20)
    return np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )


@pytest.fixture
def written(tmp_path: Path) -> dict[str, list[pydicom.Dataset]]:
    write_dicom_study(_case(), tmp_path, seed=5, turn=_turn())
    series: dict[str, list[pydicom.Dataset]] = {}
    for path in sorted(tmp_path.rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        series.setdefault(dataset.SeriesDescription, []).append(dataset)
    return series


def test_every_image_says_that_it_is_simulated(written: dict[str, list[pydicom.Dataset]]) -> None:
    images = [image for series in written.values() for image in series]
    assert {str(image.PatientName) for image in images} == {"SIMULATED^DEMO"}
    assert all("imulated" in image.ImageComments for image in images)
    assert all("SIMULATED" in image.StudyDescription for image in images)
    assert len({image.SOPInstanceUID for image in images}) == len(images)
    assert len({image.StudyInstanceUID for image in images}) == 1
    assert len(written["localizer"]) == 3


def test_positions_are_those_of_the_turned_grid(
    written: dict[str, list[pydicom.Dataset]],
) -> None:
    grid = _case().volumes[Role.SUSC].geometry
    images = sorted(written["SWI_Images"], key=lambda image: int(image.InstanceNumber))
    assert len(images) == 40
    for index in (0, 17, 39):
        image = images[index]
        cosines = np.array(image.ImageOrientationPatient, float)
        row_mm, column_mm = (float(value) for value in image.PixelSpacing)
        assert (row_mm, column_mm) == (0.9, 1.1)
        corner = (
            np.array(image.ImagePositionPatient, float)
            + 23 * row_mm * cosines[3:]
            + 19 * column_mm * cosines[:3]
        )
        np.testing.assert_allclose(corner, _turn() @ grid.to_lps((index, 23, 19)), atol=1e-4)


def test_adc_and_phase_keep_their_unit(written: dict[str, list[pydicom.Dataset]]) -> None:
    case = _case()
    for description, role, tolerance in (
        ("ep2d_diff_3scan_trace_ADC", Role.ADC, 0.5),
        ("Pha_Images", Role.PHASE, PHASE_STEP / 2),
    ):
        images = sorted(written[description], key=lambda image: int(image.InstanceNumber))
        values = np.stack(
            [
                image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
                for image in images
            ]
        )
        expected = np.clip(case.volumes[role].voxels, None, 4095 * 64.0)
        np.testing.assert_allclose(values, expected, atol=tolerance + 1e-3)


def test_same_seed_gives_the_same_archive(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        write_dicom_study(_case(), tmp_path / name, seed=5)
        zip_study(tmp_path / name, tmp_path / f"{name}.zip")
        contents.append((tmp_path / f"{name}.zip").read_bytes())
    assert contents[0] == contents[1]
    write_dicom_study(_case(), tmp_path / "three", seed=6)
    zip_study(tmp_path / "three", tmp_path / "three.zip")
    assert (tmp_path / "three.zip").read_bytes() != contents[0]


def test_truth_lies_where_the_clot_is(tmp_path: Path) -> None:
    case = _case()
    write_truth(case, tmp_path / "truth.nii.gz")
    image = nib.Nifti1Image.from_bytes(gzip.decompress((tmp_path / "truth.nii.gz").read_bytes()))
    voxels = np.asarray(image.dataobj)
    assert set(np.unique(voxels)) == {0, 3}
    centre = np.argwhere(voxels).mean(axis=0)
    ras = image.affine @ [*centre, 1.0]
    lps = case.lumen.geometry.to_lps(np.argwhere(case.lumen.voxels).mean(axis=0))
    np.testing.assert_allclose(ras[:3] * [-1, -1, 1], lps, atol=1e-4)


def test_crop_keeps_voxels_in_place() -> None:
    volume = _case().volumes[Role.SUSC]
    cut = crop_slices(volume, middle_z=8.0, height_mm=20.0)
    assert cut.geometry.shape == (11, 24, 20)
    np.testing.assert_array_equal(cut.voxels, volume.voxels[14:25])
    np.testing.assert_allclose(cut.geometry.to_lps((0, 0, 0)), volume.geometry.to_lps((14, 0, 0)))
    assert crop_around_clot(_case()).lumen.voxels.sum() == _case().lumen.voxels.sum()
