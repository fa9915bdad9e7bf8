"""The BIDS tree of a simulated case, read back by NiBabel."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from service.domain.sequence import Role
from tests.simulated import simulated_case
from training.simulate.exported import Image, exported
from training.simulate.formats import Style
from training.simulate.nifti import nifti_bytes, subject, write_bids

TREE = {
    "dataset_description.json",
    "derivatives/truth/dataset_description.json",
    "derivatives/truth/sub-B0007/anat/sub-B0007_desc-lumen_mask.nii.gz",
    "derivatives/truth/sub-B0007/anat/sub-B0007_desc-svs_mask.nii.gz",
    "derivatives/truth/sub-B0007/anat/sub-B0007_desc-microbleed_mask.nii.gz",
    "derivatives/truth/sub-B0007/sub-B0007_case.json",
    *(
        f"sub-B0007/anat/sub-B0007_{name}.{kind}"
        for name in ("part-mag_T2starw", "part-phase_T2starw", "FLAIR", "angio")
        for kind in ("nii.gz", "json")
    ),
    *(f"sub-B0007/dwi/sub-B0007_dwi.{kind}" for kind in ("nii.gz", "json", "bval", "bvec")),
    *(f"sub-B0007/dwi/sub-B0007_ADC.{kind}" for kind in ("nii.gz", "json")),
}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_tree_has_the_names_of_bids_and_same_case_gives_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_bids(simulated_case(), tmp_path / name)
    found = tree(tmp_path / "one")
    assert found.keys() == TREE
    assert found == tree(tmp_path / "two")


@pytest.mark.parametrize("style", [Style.SIEMENS, Style.GE, Style.PHILIPS_ENHANCED])
def test_values_and_places_are_those_of_the_case(style: Style, tmp_path: Path) -> None:
    case = simulated_case(backwards=True)
    write_bids(case, tmp_path, style)
    image = nib.load(tmp_path / "sub-B0007" / "anat" / "sub-B0007_part-phase_T2starw.nii.gz")
    part = next(each for each in exported(case, style) if each.image is Image.SWI_PHASE)
    expected = part.stored.values.transpose(2, 1, 0)
    np.testing.assert_allclose(image.get_fdata(), expected, atol=1e-2)
    for index in ((0, 0, 0), (53, 111, 79), (20, 7, 66)):
        ras = image.affine @ [*index[::-1], 1.0]
        lps = case.volumes[Role.PHASE].geometry.to_lps(index)
        np.testing.assert_allclose(ras[:3] * [-1, -1, 1], lps, atol=1e-3)


def test_diffusion_has_both_images_and_their_b_values(tmp_path: Path) -> None:
    write_bids(simulated_case(), tmp_path)
    folder = tmp_path / "sub-B0007" / "dwi"
    image = nib.load(folder / "sub-B0007_dwi.nii.gz")
    assert image.shape == (72, 76, 25, 2)
    assert (folder / "sub-B0007_dwi.bval").read_text() == "0 1000\n"
    assert (folder / "sub-B0007_dwi.bvec").read_text() == "0 0\n0 0\n0 0\n"
    said = json.loads((folder / "sub-B0007_dwi.json").read_text())
    assert said["Simulated"] is True
    assert said["EchoTime"] == 0.072
    assert said["RepetitionTime"] == 5.8
    assert said["Manufacturer"] == "Siemens"


def test_trace_alone_has_a_name_of_its_own(tmp_path: Path) -> None:
    case = simulated_case()
    write_bids(replace(case, volumes={Role.DWI: case.volumes[Role.DWI]}, b0=None), tmp_path)
    names = {path.name for path in (tmp_path / "sub-B0007").rglob("*.nii.gz")}
    assert names == {"sub-B0007_trace.nii.gz"}


def test_labels_lie_where_the_lesions_are(tmp_path: Path) -> None:
    case = simulated_case()
    write_bids(case, tmp_path)
    truth = tmp_path / "derivatives" / "truth" / "sub-B0007"
    for name, label in (("lumen", case.lumen), ("microbleed", case.microbleeds)):
        image = nib.load(truth / "anat" / f"sub-B0007_desc-{name}_mask.nii.gz")
        centre = image.affine @ [*np.argwhere(image.get_fdata()).mean(axis=0), 1.0]
        lps = label.geometry.to_lps(np.argwhere(label.voxels).mean(axis=0))
        np.testing.assert_allclose(centre[:3] * [-1, -1, 1], lps, atol=1e-3)
    known = json.loads((truth / "sub-B0007_case.json").read_text())
    assert known == {"name": case.name, "parameters": dict(case.parameters)}


def test_volumes_of_one_file_share_grid_and_scale() -> None:
    images = exported(simulated_case(), Style.SIEMENS)
    first = images[0].stored
    with pytest.raises(ValueError, match="one scale"):
        nifti_bytes([first, replace(first, slope=2.0)])
    other = next(each.stored for each in images if each.image is Image.TOF)
    with pytest.raises(ValueError, match="one grid"):
        nifti_bytes([first, other])


def test_subject_has_letters_and_digits_alone() -> None:
    assert subject("my-site_20001") == "sub-mysite20001"
