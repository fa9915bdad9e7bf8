"""What others make of simulated studies: dciodvfy, dcm2niix and the service's own detector."""

import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from service.adapters.study_files import ReadLimits, StudyCatalogue
from service.application.classify_studies import voxel_reader
from service.domain.sequence import Role, SequenceLabel
from service.domain.study import DetectedSequences
from service.stages.detect_sequences import detect_sequences
from tests.simulated import simulated_case
from tests.tools import require
from training.simulate.case import Case
from training.simulate.dicom.study import write_dicom
from training.simulate.examine import Options, simulate_case
from training.simulate.exported import exported
from training.simulate.formats import Style
from training.simulate.nifti import nifti_affine, write_bids
from training.simulate.site import Composition, load_sites

LIMITS = ReadLimits(max_slices=10_000)
# dcm2niix keeps affines in single precision and takes the slice axis from rounded positions.
AFFINE_TOLERANCE_MM = 1e-3

L = SequenceLabel


# Ellipsoids with every composition in every style, and whole simulated patients at some sites.
ELLIPSOIDS = [(composition, style) for composition in Composition for style in Style]
PATIENTS = [("A", Style.GE), ("B", Style.SIEMENS_XA), ("D", Style.PHILIPS_ENHANCED)]
SEED = 3

Pair = tuple[str, Style]


@pytest.fixture(scope="module", params=[*ELLIPSOIDS, *PATIENTS], ids="-".join)
def pair(request: pytest.FixtureRequest) -> Pair:
    source, style = request.param
    return source, style


@pytest.fixture(scope="module")
def case(pair: Pair) -> Case:
    source, _ = pair
    if source in load_sites().sites:
        options = Options(with_clot=True, complete=True, device="cpu")
        return simulate_case(SEED, load_sites().sites[source], options)
    composition = Composition(source)
    return simulated_case(composition, backwards=composition is Composition.MAGNITUDE)


@pytest.fixture(scope="module")
def style(pair: Pair) -> Style:
    return pair[1]


@pytest.fixture(scope="module")
def study(case: Case, style: Style, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_dicom(case, folder, style)
    return folder


def test_dciodvfy_finds_no_error(study: Path) -> None:
    program = require("dciodvfy")
    for series in study.iterdir():
        files = sorted(series.iterdir())
        for file in {files[0], files[-1]}:
            done = subprocess.run(
                [program, "-new", file], capture_output=True, text=True, check=False
            )
            lines = (done.stdout + done.stderr).splitlines()
            assert {"MRImage", "EnhancedMRImage"} & set(lines), lines[:3]
            assert [line for line in lines if line.startswith("Error")] == [], file


def converted(study: Path, folder: Path) -> list[nib.Nifti1Image]:
    """Return every volume that dcm2niix makes of a study, with display values, RAS."""
    command = [str(require("dcm2niix")), "-p", "n", "-z", "n", "-o", str(folder), str(study)]
    subprocess.run(command, capture_output=True, check=False)
    return [
        nib.as_closest_canonical(volume)
        for file in sorted(folder.glob("*.nii"))
        for volume in volumes(nib.load(file))
    ]


def volumes(image: nib.Nifti1Image) -> list[nib.Nifti1Image]:
    return list(nib.four_to_three(image)) if image.ndim == 4 else [image]


def same(one: nib.Nifti1Image, other: nib.Nifti1Image) -> bool:
    return (
        one.shape == other.shape
        and np.allclose(one.affine, other.affine, atol=AFFINE_TOLERANCE_MM)
        and np.allclose(one.get_fdata(), other.get_fdata(), rtol=1e-6, atol=1e-3)
    )


def test_dcm2niix_finds_what_is_written_as_nifti(
    study: Path, case: Case, style: Style, tmp_path: Path
) -> None:
    (tmp_path / "converted").mkdir()
    found = converted(study, tmp_path / "converted")
    files = write_bids(case, tmp_path / "bids", style)
    images = [file for file in files if file.parts[-3].startswith("sub-")]
    images = [file for file in images if file.name.endswith("nii.gz") and "mask" not in file.name]
    expected = [volume for file in images for volume in volumes(nib.load(file))]
    assert len(expected) == 7
    for volume in expected:
        canonical = nib.as_closest_canonical(volume)
        assert any(same(canonical, other) for other in found), volume.get_filename()


def test_nifti_of_the_case_has_the_affine_of_its_grid(case: Case, style: Style) -> None:
    for part in exported(case, style):
        affine = nifti_affine(part.stored.geometry)
        corner = part.stored.geometry.to_lps((1, 2, 3)) * [-1, -1, 1]
        np.testing.assert_allclose((affine @ [3, 2, 1, 1])[:3], corner)


def detected(study: Path, *, headers_only: bool) -> DetectedSequences:
    catalogue = StudyCatalogue.read(study, LIMITS, headers_only=headers_only)
    assert catalogue.damaged_files == ()
    (only,) = catalogue.studies
    reader = None if headers_only else voxel_reader(only.datasets)
    return detect_sequences(only.facts, read_voxels=reader)


def expected_labels(case: Case, style: Style) -> list[SequenceLabel]:
    plain = case.site.susceptibility.composition is Composition.MAGNITUDE
    # By convention the magnitude of Philips SWIp is T2STAR.
    is_t2star = plain or style.vendor == "philips"
    susceptibility = L.T2STAR if is_t2star else L.SWI
    others = [L.PHASE, L.DWI_B0, L.DWI, L.ADC, L.FLAIR, L.TOF]
    return sorted([susceptibility, *others, *[L.LOCALIZER] * 3])


@pytest.mark.parametrize("headers_only", [False, True], ids=["pixels", "headers"])
def test_the_detector_knows_every_series(
    study: Path, case: Case, style: Style, headers_only: bool
) -> None:
    found = detected(study, headers_only=headers_only)
    labels = sorted(volume.classification.label for volume in found.volumes)
    assert labels == expected_labels(case, style)
    assert found.of_role.keys() == set(Role)
    for role, volume in found.of_role.items():
        grid = case.volumes[role].geometry
        assert len(volume.volume.planes) == grid.shape[0], role
        assert volume.classification.confidence >= 0.85, role
