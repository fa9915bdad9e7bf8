"""From the archive to prepared cases: simulated studies of two makers, and real ones."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from service.domain.model_spec import InputSpec
from service.domain.sequence import Role
from service.domain.volume import Volume
from tests.bids import ball
from tests.simulated import simulated_case
from training import import_dicom, prepare_cohort
from training.bids_layout import examinations, files_of_roles
from training.dataset import PreparedCase, load_cohort, prepare
from training.import_dicom import find_studies
from training.nifti_volumes import read_volume, write_volume
from training.simulate.case import Case
from training.simulate.dicom.study import write_dicom
from training.simulate.formats import Style
from training.simulate.nifti import write_bids
from training.simulate.site import Composition

# Real studies with a diffusion series that the service would use, and their roles.
REAL = {
    "siemens_xa30_prisma_human": {Role.DWI, Role.ADC},
    "siemens_e11_prisma_human": {Role.DWI},
    "philips_achieva_human_dti": {Role.DWI},
    "uih_umr770_human_a": {Role.DWI},
}

# Magnitude and phase share an instance, as b0 and trace do: dicom2nifti takes all frames or none.
PARTS_OF_INSTANCES = {"part-mag_T2starw", "part-phase_T2starw", "trace"}


def _run(module: typer.Typer, *words: object) -> Result:
    done = CliRunner().invoke(module, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done


importer, preparer = typer.Typer(), typer.Typer()
importer.command()(import_dicom.main)
preparer.command()(prepare_cohort.main)


def _same(found: PreparedCase, expected: PreparedCase) -> None:
    """Stored values are whole numbers: a little noise after scaling to deviations."""
    np.testing.assert_array_equal(found.network_input.presence, expected.network_input.presence)
    assert found.network_input.grid.same_grid(expected.network_input.grid)
    ours = np.asarray(found.network_input.sequences, np.float32)
    for channel, role in enumerate(InputSpec().roles):
        apart = np.abs(ours[:, channel] - expected.network_input.sequences[:, channel])
        assert apart.mean() < 0.01, role
        assert np.percentile(apart, 99) < 0.1, role
    different = found.target ^ expected.target
    assert expected.target.any()
    assert different.sum() <= 0.02 * expected.target.sum()


@pytest.mark.parametrize(
    ("composition", "style", "assembled"),
    [
        (Composition.PHASE_MASK, Style.SIEMENS, set()),
        (Composition.MAGNITUDE, Style.PHILIPS_ENHANCED, PARTS_OF_INSTANCES),
    ],
    ids=["classic", "enhanced"],
)
def test_imported_dicom_is_what_the_simulator_prepares(
    tmp_path: Path, composition: Composition, style: Style, assembled: set[str]
) -> None:
    case = simulated_case(composition, backwards=composition is Composition.MAGNITUDE)
    write_dicom(case, tmp_path / "archive", style)
    (uid,) = find_studies(tmp_path / "archive")[0]
    write_volume(case.svs, tmp_path / "masks" / f"{uid}_svs.nii.gz")
    labels = ("--labels", tmp_path / "masks", "--centre", "North")
    _run(importer, tmp_path / "archive", "--out", tmp_path / "bids", *labels)
    options = ("--label", "svs", "--processes", 1, "--out", tmp_path / "cohort")
    _run(preparer, tmp_path / "bids", *options)
    (found,) = load_cohort(tmp_path / "cohort")
    _same(found, prepare(case, InputSpec()))
    assert found.parameters["site"] == "North"
    software = {
        path.stem.split("_", 2)[2]: json.loads(path.read_text())["ConversionSoftware"]
        for path in (tmp_path / "bids").glob("sub-*/ses-*/*/*.json")
    }
    assert len(software) == len(Role)
    assert {name for name, made in software.items() if made == "Thrombolens"} == assembled


def test_simulated_data_set_is_what_the_simulator_prepares(tmp_path: Path) -> None:
    case = simulated_case()
    write_bids(case, tmp_path / "bids")
    options = ("--processes", 1, "--out")
    _run(preparer, tmp_path / "bids", "--label", "svs", *options, tmp_path / "clots")
    (found,) = load_cohort(tmp_path / "clots")
    expected = prepare(case, InputSpec())
    _same(found, expected)
    assert found.parameters["site"] == case.site.name
    # Another lesion is another name.
    _run(preparer, tmp_path / "bids", "--label", "microbleed", *options, tmp_path / "bleeds")
    (bleeds,) = load_cohort(tmp_path / "bleeds")
    _same(bleeds, prepare(_with_target(case, case.microbleeds), InputSpec()))
    assert not (bleeds.target & found.target).any()


def _with_target(case: Case, label: Volume) -> Case:
    return replace(case, lumen=label, svs=label)


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "roles"), REAL.items())
def test_real_studies_become_cases(
    tmp_path: Path, shared_data: Path, name: str, roles: set[Role]
) -> None:
    _run(importer, shared_data / "dicom" / name, "--out", tmp_path / "bids", "--centre", "North")
    (exam,) = examinations(tmp_path / "bids")
    files = files_of_roles(exam)
    assert set(files) == roles
    image = read_volume(files[Role.DWI].path)
    bright = np.argwhere(image.voxels > np.percentile(image.voxels, 80))
    x, y, z = image.geometry.to_lps(bright.mean(axis=0))
    lesion = ball(image.geometry, (x, y, z), 12.0)
    mask = tmp_path / "bids/derivatives/manual" / exam.place / "dwi"
    write_volume(lesion, mask / f"{exam.name}_desc-lesion_mask.nii.gz")
    options = ("--label", "lesion", "--processes", 1, "--out", tmp_path / "cohort")
    _run(preparer, tmp_path / "bids", *options)
    (case,) = load_cohort(tmp_path / "cohort")
    assert case.network_input.presence.sum() == len(roles)
    inside = case.network_input.grid.to_lps(np.argwhere(case.target))
    expected = image.geometry.to_lps(np.argwhere(lesion.voxels))
    np.testing.assert_allclose(inside.mean(axis=0), expected.mean(axis=0), atol=1.0)
