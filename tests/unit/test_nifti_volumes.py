"""NIfTI files that cannot be read without a guess are refused by name."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.bids import grid, head
from training.cohort_errors import LayoutError, ValuesError
from training.nifti_volumes import read_sidecar, read_volume, read_volumes, write_volume


def _image() -> nib.Nifti1Image:
    return nib.Nifti1Image(np.ones((4, 5, 6), np.int16), np.diag([-2.0, -3.0, 4.0, 1.0]))


def test_affine_and_axes_are_those_of_the_patient(tmp_path: Path) -> None:
    voxels = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    affine = np.array([[-2.0, 0, 0, 10], [0, 3.0, 0, 20], [0, 0, 4.0, 30], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert volume.geometry.shape == (6, 5, 4)
    assert volume.geometry.spacing == (4.0, 3.0, 2.0)
    # RAS (10 - 2 i, 20 + 3 j, 30 + 4 k) is LPS with x and y negated.
    np.testing.assert_allclose(volume.geometry.to_lps((5, 2, 1)), (-8.0, -26.0, 50.0))
    assert volume.voxels[5, 2, 1] == voxels[1, 2, 5]


def test_scale_of_the_file_is_applied(tmp_path: Path) -> None:
    image = _image()
    image.header.set_slope_inter(0.5, 3.0)
    nib.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").voxels[0, 0, 0] == pytest.approx(3.5)


def test_file_without_a_place_is_refused(tmp_path: Path) -> None:
    image = _image()
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(LayoutError, match=r"a\.nii does not say where"):
        read_volume(tmp_path / "a.nii")


def test_two_places_are_refused_and_one_is_taken_whichever_it_is(tmp_path: Path) -> None:
    image = _image()
    moved = image.affine.copy()
    moved[0, 3] += 7.0
    image.set_sform(image.affine, code=1)
    image.set_qform(moved, code=1)
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(LayoutError, match=r"7\.00 mm apart"):
        read_volume(tmp_path / "a.nii")
    image.set_sform(None, code=0)
    nib.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").geometry.origin[0] == pytest.approx(-7.0)


def test_sheared_axes_are_refused(tmp_path: Path) -> None:
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    affine[0, 1] = 0.5
    nib.save(nib.Nifti1Image(np.ones((4, 5, 6), np.int16), affine), tmp_path / "a.nii")
    with pytest.raises(LayoutError, match="not orthogonal"):
        read_volume(tmp_path / "a.nii")


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.nii.gz"
    file.write_bytes(b"no image")
    with pytest.raises(LayoutError, match="cannot be read as NIfTI"):
        read_volume(file)
    nib.save(nib.Nifti1Image(np.ones((4, 5), np.int16), np.eye(4)), tmp_path / "flat.nii")
    with pytest.raises(LayoutError, match="2 dimensions"):
        read_volumes(tmp_path / "flat.nii")


def test_infinite_voxels_are_refused(tmp_path: Path) -> None:
    voxels = np.ones((4, 5, 6), np.float32)
    voxels[1, 1, 1] = np.inf
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(ValuesError, match="1 infinite"):
        read_volume(tmp_path / "a.nii")


def test_several_volumes_are_no_single_one(tmp_path: Path) -> None:
    voxels = np.zeros((4, 5, 6, 3), np.int16)
    voxels[..., 2] = 9
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "a.nii")
    assert [float(each.voxels.max()) for each in read_volumes(tmp_path / "a.nii")] == [0, 0, 9]
    with pytest.raises(LayoutError, match="3 volumes, one is expected"):
        read_volume(tmp_path / "a.nii")


def test_same_volume_gives_same_bytes(tmp_path: Path) -> None:
    one, two = (write_volume(head(grid()), tmp_path / name) for name in ("a.nii.gz", "b.nii.gz"))
    assert one.read_bytes() == two.read_bytes()


def test_sidecar_may_be_missing_but_not_broken(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "a.nii.gz") == {}
    (tmp_path / "a.json").write_text("[1")
    with pytest.raises(LayoutError, match="no JSON object"):
        read_sidecar(tmp_path / "a.nii.gz")


def test_axes_are_perpendicular_although_headers_are_rounded(tmp_path: Path) -> None:
    volume = head(grid())
    read = read_volume(write_volume(volume, tmp_path / "a.nii.gz")).geometry
    assert np.abs(read.axes @ read.axes.T - np.eye(3)).max() < 1e-12
    assert read.same_grid(volume.geometry, tolerance_mm=1e-3)
