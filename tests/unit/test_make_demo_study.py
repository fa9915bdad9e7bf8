"""The demonstration study: slices around the clot, its truth, the same bytes each time."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import typer

from service.domain.sequence import Role
from tests.simulated import simulated_case
from training.make_demo_study import (
    crop_around_clot,
    crop_slices,
    main,
    write_labels,
    zip_study,
)
from training.simulate.dicom.study import write_dicom
from training.simulate.formats import Style


def test_crop_keeps_voxels_in_place_on_an_oblique_grid() -> None:
    volume = simulated_case().volumes[Role.SUSC]
    middle = volume.geometry.to_lps((19, 50, 40))
    cut = crop_slices(volume, middle, height_mm=20.0)
    assert cut.geometry.shape == (9, 112, 80)
    np.testing.assert_array_equal(cut.voxels, volume.voxels[15:24])
    np.testing.assert_allclose(cut.geometry.to_lps((0, 3, 5)), volume.geometry.to_lps((15, 3, 5)))


def test_crop_beyond_the_stack_keeps_the_nearest_slices() -> None:
    volume = simulated_case().volumes[Role.TOF]
    beyond = volume.geometry.to_lps((200, 0, 0))
    assert crop_slices(volume, beyond, height_mm=16.0).geometry.shape[0] == 6


def test_crop_keeps_the_whole_clot_and_all_sequences() -> None:
    case = simulated_case()
    cut = crop_around_clot(case)
    assert cut.lumen.voxels.sum() == case.lumen.voxels.sum()
    assert cut.volumes.keys() == case.volumes.keys()
    assert cut.b0 is not None
    assert cut.b0.geometry.same_grid(cut.volumes[Role.DWI].geometry)
    assert cut.volumes[Role.PHASE].geometry.same_grid(cut.volumes[Role.SUSC].geometry)
    assert cut.lumen.geometry.same_grid(cut.volumes[Role.SUSC].geometry)


def test_same_case_gives_the_same_archive(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        write_dicom(crop_around_clot(simulated_case()), tmp_path / name, Style.SIEMENS)
        zip_study(tmp_path / name, tmp_path / f"{name}.zip")
        contents.append((tmp_path / f"{name}.zip").read_bytes())
    assert contents[0] == contents[1]


def test_truth_lies_where_the_clot_is(tmp_path: Path) -> None:
    case = crop_around_clot(simulated_case())
    write_labels(case, tmp_path / "truth.nii.gz")
    image = nib.Nifti1Image.from_bytes(gzip.decompress((tmp_path / "truth.nii.gz").read_bytes()))
    voxels = np.asarray(image.dataobj)
    assert set(np.unique(voxels)) == {0, 3}
    ras = image.affine @ [*np.argwhere(voxels).mean(axis=0), 1.0]
    lps = case.lumen.geometry.to_lps(np.argwhere(case.lumen.voxels).mean(axis=0))
    np.testing.assert_allclose(ras[:3] * [-1, -1, 1], lps, atol=1e-3)


@pytest.mark.parametrize(("site", "named"), [("Q", "'Q'"), ("A,B", "one site")])
def test_what_is_not_one_site_is_refused(tmp_path: Path, site: str, named: str) -> None:
    with pytest.raises(typer.BadParameter, match=named):
        main(seed=0, out=tmp_path / "demo.zip", site=site)
