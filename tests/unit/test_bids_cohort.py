"""Examinations of a BIDS data set as prepared cases: roles, units, labels."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from service.domain.errors import InputError
from service.domain.geometry import Geometry
from service.domain.model_spec import InputSpec
from service.domain.sequence import Role
from service.domain.volume import Volume
from tests.bids import SUBJECT, add, add_label, angles, ball, grid, head
from training.bids_cohort import (
    FRAME,
    Reading,
    on_grid,
    prepare_examination,
    read_mask,
    read_role,
    seed_of,
)
from training.bids_layout import (
    BidsFile,
    Examination,
    LabelName,
    check_label,
    examinations,
    files_of_roles,
    label_file,
)
from training.cohort_errors import LabelError, LayoutError, ValuesError
from training.dataset import PreparedCase
from training.nifti_volumes import read_volume, write_volume

GRID = grid()
OTHER = grid((6.0, 2.0, 2.5))
LESION = ((25.0, -20.0, 10.0), 9.0)
SPEC = InputSpec()


def _exam(root: Path) -> Examination:
    (exam,) = examinations(root)
    return exam


def _prepare(
    root: Path, *, allow_empty: bool = False, resample_label: bool = False
) -> PreparedCase:
    reading = Reading(LabelName("clot"), allow_empty, resample_label)
    return prepare_examination(_exam(root), "North", reading, SPEC)


def _chosen(root: Path, *excluded: str) -> dict[Role, str]:
    files = files_of_roles(_exam(root), excluded)
    return {role: file.path.name.removeprefix(f"{SUBJECT}_") for role, file in files.items()}


def _empty(root: Path, *names: str) -> None:
    for name in names:
        datatype, suffix = name.split("/")
        folder = root / SUBJECT / datatype
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{SUBJECT}_{suffix}.nii.gz").touch()


def test_every_role_is_known_by_its_name(tmp_path: Path) -> None:
    others = ("anat/T1w", "anat/minIP", "anat/rec-MIP_angio", "dwi/sbref", "anat/part-real_T2starw")
    wanted = {
        Role.SUSC: "anat/part-mag_T2starw",
        Role.PHASE: "anat/part-phase_T2starw",
        Role.DWI: "dwi/trace",
        Role.ADC: "dwi/ADC",
        Role.FLAIR: "anat/FLAIR",
        Role.TOF: "anat/angio",
    }
    _empty(tmp_path, *wanted.values(), *others, "dwi/dwi")
    found = {role: name.split("/")[1] + ".nii.gz" for role, name in wanted.items()}
    assert _chosen(tmp_path) == found


def test_swi_is_preferred_and_phase_is_that_of_the_magnitude(tmp_path: Path) -> None:
    _empty(tmp_path, "anat/T2starw", "anat/part-phase_T2starw", "swi/swi", "swi/part-phase_swi")
    found = {Role.SUSC: "swi.nii.gz", Role.PHASE: "part-phase_swi.nii.gz"}
    assert _chosen(tmp_path) == found
    plain = {Role.SUSC: "T2starw.nii.gz", Role.PHASE: "part-phase_T2starw.nii.gz"}
    assert _chosen(tmp_path, "*_swi.nii.gz") == plain


def test_phase_of_a_site_that_calls_it_so(tmp_path: Path) -> None:
    _empty(tmp_path, "anat/swi", "anat/phase", "anat/rec-minIP_swi")
    assert _chosen(tmp_path) == {Role.SUSC: "swi.nii.gz", Role.PHASE: "phase.nii.gz"}


def test_two_files_of_one_role_are_refused_until_one_is_left_out(tmp_path: Path) -> None:
    _empty(tmp_path, "anat/run-1_FLAIR", "anat/run-2_FLAIR")
    with pytest.raises(LayoutError, match=r"2 files could be FLAIR: .*run-1.*run-2.*--exclude"):
        _chosen(tmp_path)
    assert _chosen(tmp_path, "*_run-1_*") == {Role.FLAIR: "run-2_FLAIR.nii.gz"}


def test_sessions_are_examinations_of_their_own(tmp_path: Path) -> None:
    for session in ("ses-a", "ses-b"):
        add(tmp_path, "anat/FLAIR", head(GRID), session=session)
    (tmp_path / "sub-zero" / "anat").mkdir(parents=True)
    names = [exam.name for exam in examinations(tmp_path)]
    assert names == ["sub-one_ses-a", "sub-one_ses-b", "sub-zero"]
    first = files_of_roles(examinations(tmp_path)[0])
    assert first[Role.FLAIR].path.parts[-3:-1] == ("ses-a", "anat")
    with pytest.raises(LayoutError, match="no folder sub-"):
        examinations(tmp_path / "sub-one")


def _series(root: Path, values: list[float], weightings: str | None) -> BidsFile:
    volumes = [np.full((4, 5, 6), value, np.float32) for value in values]
    path = root / f"{SUBJECT}_dwi.nii.gz"
    nib.save(nib.Nifti1Image(np.stack(volumes, axis=-1), np.eye(4)), path)
    if weightings is not None:
        (root / f"{SUBJECT}_dwi.bval").write_text(weightings)
    return BidsFile.of(path)


@pytest.mark.parametrize(
    ("weightings", "expected"),
    [
        ("0 1000 1000 1005", (20.0 * 40.0 * 80.0) ** (1 / 3)),
        ("0 0 0 800", 80.0),
        ("0 1000 2000 2000", 20.0),
        ("5 0 500 2000", 40.0),
    ],
    ids=["directions", "one", "shell nearest to 1000", "not the strongest"],
)
def test_diffusion_is_the_mean_of_the_shell_that_the_service_takes(
    tmp_path: Path, weightings: str, expected: float
) -> None:
    file = _series(tmp_path, [10.0, 20.0, 40.0, 80.0], weightings)
    assert read_role(Role.DWI, file).voxels[2, 2, 2] == pytest.approx(expected, rel=1e-5)


def test_diffusion_without_weighting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"2 volumes and no \.bval"):
        read_role(Role.DWI, _series(tmp_path, [10.0, 20.0], None))
    with pytest.raises(LayoutError, match="2 volumes but 3 b-values"):
        read_role(Role.DWI, _series(tmp_path, [10.0, 20.0], "0 0 1000"))
    with pytest.raises(LayoutError, match="no diffusion weighting"):
        read_role(Role.DWI, _series(tmp_path, [10.0, 20.0], "0 5"))
    with pytest.raises(LayoutError, match="holds no b-values"):
        read_role(Role.DWI, _series(tmp_path, [10.0, 20.0], "b0 b1000"))


def test_single_volume_by_the_name_is_the_weighted_one(tmp_path: Path) -> None:
    path = add(tmp_path, "dwi/dwi", head(GRID), {"DiffusionBValue": 0})
    with pytest.raises(LayoutError, match="no diffusion weighting"):
        read_role(Role.DWI, BidsFile.of(path))
    path.with_name(f"{SUBJECT}_dwi.json").unlink()
    np.testing.assert_array_equal(read_role(Role.DWI, BidsFile.of(path)).voxels, head(GRID).voxels)


def test_a_case_has_all_that_training_reads(tmp_path: Path) -> None:
    add(tmp_path, "anat/part-mag_T2starw", head(GRID))
    add(tmp_path, "anat/part-phase_T2starw", angles(GRID), {"Units": "rad"})
    add(tmp_path, "dwi/ADC", head(OTHER, 800.0, air=0.0))
    add_label(tmp_path, ball(GRID, *LESION))
    case = _prepare(tmp_path)
    assert case.network_input.presence.tolist() == [1, 1, 0, 1, 0, 0]
    assert case.network_input.reference.same_grid(GRID)
    inside = case.network_input.grid.to_lps(np.argwhere(case.target))
    np.testing.assert_allclose(inside.mean(axis=0), LESION[0], atol=1.0)
    volume = case.target.sum() * case.network_input.grid.voxel_volume
    assert volume == pytest.approx(4 / 3 * np.pi * LESION[1] ** 3, rel=0.15)
    np.testing.assert_array_equal(case.lumen, case.target)
    known = {"site": "North", "subject": SUBJECT, "seed": seed_of(SUBJECT), "label": "clot"}
    assert known.items() <= case.parameters.items()
    assert case.parameters["files"][Role.ADC] == f"{SUBJECT}_ADC.nii.gz"
    assert case.parameters["examination"] == {"lacking": ["DWI", "FLAIR", "TOF"]}


def test_simulated_images_stay_simulated_and_others_are_not(tmp_path: Path) -> None:
    add_label(tmp_path, ball(GRID, *LESION))
    add(tmp_path, "anat/part-mag_T2starw", head(GRID), {"Simulated": True})
    assert "simulator" in _prepare(tmp_path).parameters
    add(tmp_path, "anat/part-mag_T2starw", head(GRID), {"Modality": "MR"})
    assert "simulator" not in _prepare(tmp_path).parameters


def test_seed_of_an_examination_never_changes() -> None:
    assert seed_of("sub-one") == 797214103
    assert seed_of("sub-two") != seed_of("sub-one")


def test_without_a_reference_there_is_no_case(tmp_path: Path) -> None:
    add(tmp_path, "anat/FLAIR", head(GRID))
    add_label(tmp_path, ball(GRID, *LESION))
    with pytest.raises(InputError, match="neither a susceptibility nor a diffusion"):
        _prepare(tmp_path)


def test_other_frames_of_reference_are_registered_as_the_service_does(tmp_path: Path) -> None:
    moved = GRID.affine.copy()
    moved[:3, 3] += (6.0, -4.0, 3.0)
    elsewhere = Geometry(moved, GRID.shape)
    add(tmp_path, "anat/part-mag_T2starw", head(GRID), {FRAME: "1"})
    # The same image, its place shifted: the patient has moved between two frames.
    flair = Volume(head(GRID).voxels, elsewhere)
    add_label(tmp_path, ball(GRID, *LESION))
    errors = {}
    for frame in ("1", "2"):
        add(tmp_path, "anat/FLAIR", flair, {FRAME: frame})
        sequences = _prepare(tmp_path).network_input.sequences
        errors[frame] = float(np.abs(sequences[:, 0] - sequences[:, 4]).mean())
    assert errors["2"] < 0.5 * errors["1"]


def test_missing_label_is_an_error_unless_it_means_nothing_to_find(tmp_path: Path) -> None:
    add(tmp_path, "dwi/trace", head(GRID))
    with pytest.raises(LabelError, match=r"no mask of 'clot'.*--allow-empty"):
        _prepare(tmp_path)
    case = _prepare(tmp_path, allow_empty=True)
    assert not case.target.any()
    assert case.parameters["labelled"] is False


def test_label_on_another_grid_needs_a_word(tmp_path: Path) -> None:
    add(tmp_path, "dwi/trace", head(GRID))
    add_label(tmp_path, ball(OTHER, *LESION))
    with pytest.raises(LabelError, match=r"2\.50 mm is not that.*--resample-label"):
        _prepare(tmp_path)
    case = _prepare(tmp_path, resample_label=True)
    inside = case.network_input.grid.to_lps(np.argwhere(case.target))
    np.testing.assert_allclose(inside.mean(axis=0), LESION[0], atol=1.0)


def test_label_with_turned_axes_has_the_same_voxels(tmp_path: Path) -> None:
    add(tmp_path, "dwi/trace", head(GRID))
    label = ball(GRID, *LESION)
    add_label(tmp_path, label)
    straight = _prepare(tmp_path)
    flipped = GRID.affine.copy()
    flipped[:3, 3] += (GRID.shape[1] - 1) * flipped[:3, 1]
    flipped[:3, 1] *= -1
    add_label(tmp_path, Volume(label.voxels[:, ::-1], Geometry(flipped, GRID.shape)))
    np.testing.assert_array_equal(_prepare(tmp_path).target, straight.target)


def test_label_beside_the_head_is_refused(tmp_path: Path) -> None:
    add(tmp_path, "dwi/trace", head(GRID))
    far = np.zeros(GRID.shape, bool)
    far[0, 0, 0] = True
    add_label(tmp_path, Volume(far, GRID))
    with pytest.raises(LabelError, match="nothing of the 1 voxels"):
        _prepare(tmp_path)


def test_mask_has_two_values(tmp_path: Path) -> None:
    voxels = np.zeros(GRID.shape, np.float32)
    voxels[5, 5, 5] = 255.0
    path = write_volume(Volume(voxels, GRID), tmp_path / "mask.nii.gz")
    assert read_mask(path).voxels.sum() == 1
    for wrong in (voxels + 1, np.where(np.indices(GRID.shape)[0] == 3, 0.5, voxels)):
        write_volume(Volume(wrong.astype(np.float32), GRID), path)
        with pytest.raises(LabelError, match="is no mask"):
            read_mask(path)


def test_the_name_decides_what_is_trained(tmp_path: Path) -> None:
    add(tmp_path, "dwi/trace", head(GRID))
    one = add_label(tmp_path, ball(GRID, *LESION), "desc-clot")
    other = add_label(tmp_path, ball(GRID, *LESION), "label-microbleed", source="other")
    exam = _exam(tmp_path)
    assert label_file(exam, LabelName("clot")) == one
    assert label_file(exam, LabelName("microbleed")) == other
    assert label_file(exam, LabelName("microbleed", "manual")) is None
    check_label([exam], LabelName("clot"))
    with pytest.raises(LabelError, match=r"'clod'.*labels there: clot, microbleed"):
        check_label([exam], LabelName("clod"))
    add_label(tmp_path, ball(GRID, *LESION), "desc-clot", source="second")
    with pytest.raises(LabelError, match=r"2 masks of 'clot'.*--label-source"):
        label_file(exam, LabelName("clot"))
    assert label_file(exam, LabelName("clot", "manual")) == one


def test_no_lesion_is_lost_on_a_coarser_grid() -> None:
    fine = grid((2.0, 1.0, 1.0), oblique=False)
    voxels = np.zeros(fine.shape, bool)
    voxels[20, 50, 60] = True
    voxels[50:60, 100:110, 100:110] = True
    mask = Volume(voxels, fine)
    # Half a voxel aside: no voxel of the network's grid is filled by half by the small one.
    affine = fine.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ (0.5, 0.5, 0.5)
    aside = Geometry(affine, fine.shape)
    target = on_grid(mask, aside)
    near = aside.to_index(fine.to_lps((20, 50, 60)))
    found = np.argwhere(target[18:23, 48:53, 58:63]) + np.array([18, 48, 58])
    assert len(found) == 1
    assert np.abs(found[0] - near).max() <= 0.51
    # Of the large one, the voxels that it fills by half: its inside and its faces.
    assert target.sum() - 1 == 9**3 + 6 * 9**2
    np.testing.assert_array_equal(on_grid(mask, fine), voxels)
    assert not on_grid(replace(mask, voxels=np.zeros(fine.shape, bool)), aside).any()


def test_no_lesion_of_a_finer_grid_is_lost() -> None:
    fine, coarse = (grid((2.0, mm, mm), oblique=False) for mm in (0.43, 0.9))
    rng = np.random.default_rng(0)
    for _ in range(40):
        voxels = np.zeros(fine.shape, bool)
        place = np.array(fine.shape) // 4 + rng.integers(np.array(fine.shape) // 2)
        voxels[tuple(place)] = True
        target = on_grid(Volume(voxels, fine), coarse)
        assert 1 <= target.sum() <= 4


def test_images_that_no_reader_can_use_are_named(tmp_path: Path) -> None:
    colours = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.eye(4)), tmp_path / "colours.nii.gz")
    with pytest.raises(LayoutError, match=r"colours\.nii\.gz cannot be read"):
        read_volume(tmp_path / "colours.nii.gz")
    nothing = nib.Nifti1Image(np.full((4, 4, 4), np.nan, np.float32), np.eye(4))
    nib.save(nothing, tmp_path / "nothing.nii.gz")
    with pytest.raises(ValuesError, match=r"nothing\.nii\.gz has no voxel with a value"):
        read_volume(tmp_path / "nothing.nii.gz")
