"""DICOM studies to BIDS: pseudonyms, labels, and conversions held against the service."""

import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import typer
from pydicom import dcmread
from typer.testing import CliRunner

from service.adapters.study_files import StudyFolder
from service.domain.sequence import Role
from service.domain.study import VolumeFacts
from service.domain.volume import Volume
from service.stages.split_series import split_series
from tests.bids import ball, grid
from tests.simulated import simulated_case
from training import dicom_to_nifti
from training.cohort_errors import ConversionError, LabelError, LayoutError
from training.dicom_to_nifti import convert
from training.import_dicom import find_studies, main
from training.import_labels import find_labels
from training.nifti_volumes import read_volume, write_volume
from training.pseudonyms import Pseudonyms
from training.simulate.dicom.study import write_dicom
from training.simulate.formats import Style
from training.simulate.nifti import nifti_affine

app = typer.Typer()
app.command()(main)
NAME, IDENTIFIER = "Muster^Max", "4711-KRANK"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One study of a patient with a name, diffusion alone; and a file that is no image."""
    folder = tmp_path_factory.mktemp("archive")
    case = simulated_case()
    roles = {role: case.volumes[role] for role in (Role.DWI, Role.ADC)}
    write_dicom(replace(case, volumes=roles), folder / "study", Style.GE)
    for path in (folder / "study").rglob("*.dcm"):
        dataset = dcmread(path)
        dataset.PatientName, dataset.PatientID = NAME, IDENTIFIER
        dataset.save_as(path)
    (folder / "study" / "readme.txt").write_text("no image")
    return folder


def _import(archive: Path, out: Path, *options: str) -> Any:
    return CliRunner().invoke(app, [str(archive), "--out", str(out), *options])


def _volumes(archive: Path) -> Iterator[tuple[VolumeFacts, Any]]:
    study = StudyFolder.read(archive, max_slices=10_000)
    for series in study.facts.series:
        for volume in split_series(series):
            yield volume, study.datasets(series.series_instance_uid)


def _study_uid(archive: Path) -> str:
    studies, damaged = find_studies(archive)
    assert damaged == 0
    (uid,) = studies
    return uid


def test_names_of_patients_are_nowhere(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "bids"
    done = _import(archive, out, "--centre", "North")
    assert done.exit_code == 0, done.output
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {path.name.rpartition("_")[2] for path in files} == {
        "description.json",
        "participants.tsv",
        *("trace.nii.gz", "trace.json", "ADC.nii.gz", "ADC.json"),
    }
    told = [done.output, *(str(path) for path in files)]
    told += [path.read_text() for path in files if path.suffix in (".json", ".tsv")]
    headers = [str(nib.load(path).header) for path in files if path.suffix == ".gz"]
    for text in [*told, *headers]:
        assert not any(word in text for word in ("Muster", "Max", IDENTIFIER))
        assert _study_uid(archive) not in text


def test_sidecar_tells_what_made_the_image(archive: Path, tmp_path: Path) -> None:
    _import(archive, tmp_path / "bids")
    (trace,) = (tmp_path / "bids").rglob("*_trace.json")
    known = json.loads(trace.read_text())
    case = simulated_case()
    assert known["ConversionSoftware"] == "dicom2nifti"
    assert known["DiffusionBValue"] == 1000
    assert known["Manufacturer"] == "GE MEDICAL SYSTEMS"
    assert known["EchoTime"] == pytest.approx(case.scans[Role.DWI].protocol.echo_times_ms[0] / 1000)
    assert known["FrameOfReference"] == "1"
    assert known["SequenceLabel"] == "DWI"


def test_image_is_where_the_case_is(archive: Path, tmp_path: Path) -> None:
    _import(archive, tmp_path / "bids")
    (path,) = (tmp_path / "bids").rglob("*_ADC.nii.gz")
    found, expected = read_volume(path), simulated_case().volumes[Role.ADC]
    index = np.array([[3, 20, 30], [20, 60, 11]])
    there = found.geometry.to_index(expected.geometry.to_lps(index))
    np.testing.assert_allclose(there, np.rint(there), atol=1e-3)
    values = found.voxels[tuple(np.rint(there).astype(int).T)]
    np.testing.assert_allclose(values, expected.voxels[tuple(index.T)], atol=0.51)


def test_second_import_keeps_what_is_there_and_the_key(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "bids"
    _import(archive, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    assert stat.S_IMODE((tmp_path / "bids.key").stat().st_mode) == 0o600
    again = _import(archive, out)
    assert "1 studies are there, 0 failed" in again.output
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")} == before


def test_mapping_is_written_outside_the_data_set_if_asked_for(
    archive: Path, tmp_path: Path
) -> None:
    out, mapping = tmp_path / "bids", tmp_path / "who.tsv"
    _import(archive, out, "--mapping", str(mapping))
    header, row = mapping.read_text().splitlines()
    assert header.split("\t") == ["participant_id", "session", "study_instance_uid", "patient_id"]
    subject, session, uid, patient = row.split("\t")
    assert (out / subject / session).is_dir()
    assert (uid, patient) == (_study_uid(archive), IDENTIFIER)
    inside = _import(archive, out, "--mapping", str(out / "who.tsv"))
    assert inside.exit_code == 2
    assert "must lie outside" in inside.output


def test_masks_come_to_their_study_without_their_header(archive: Path, tmp_path: Path) -> None:
    out, masks = tmp_path / "bids", tmp_path / "masks"
    mask = ball(grid(), (20.0, 0.0, 0.0), 8.0)
    path = write_volume(mask, masks / f"{_study_uid(archive)}_svs.nii.gz")
    image = nib.load(path)
    image.header["descrip"] = NAME.encode()
    nib.save(image, path)
    write_volume(mask, masks / "9.9.9_svs.nii.gz")
    done = _import(archive, out, "--labels", str(masks))
    assert done.exit_code == 1
    assert "1 of 2 masks fit no study" in done.output
    (copied,) = (out / "derivatives" / "manual").rglob("*_desc-svs_mask.nii.gz")
    assert copied.parts[-4:-1] == (*next(out.glob("sub-*/ses-*")).parts[-2:], "anat")
    np.testing.assert_array_equal(read_volume(copied).voxels, mask.voxels)
    assert NAME not in str(nib.load(copied).header)
    # By the name of the subject as well.
    subject = next(out.glob("sub-*")).name
    again = tmp_path / "again"
    write_volume(mask, again / f"{subject}_microbleed.nii.gz")
    assert _import(archive, out, "--labels", str(again)).exit_code == 0
    assert len(list(out.rglob("*_desc-microbleed_mask.nii.gz"))) == 1


def test_masks_need_a_label_in_their_name(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="has no mask"):
        find_labels(tmp_path)
    (tmp_path / "clot.nii.gz").touch()
    with pytest.raises(LabelError, match="mask 1 of"):
        find_labels(tmp_path)


def test_damaged_study_fails_alone_and_unnamed(archive: Path, tmp_path: Path) -> None:
    broken = tmp_path / "archive" / "Muster"
    broken.mkdir(parents=True)
    for path in sorted(archive.rglob("*.dcm")):
        (broken / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    victim = next(broken.iterdir())
    victim.write_bytes(victim.read_bytes()[:-500])
    done = _import(tmp_path / "archive", tmp_path / "bids")
    assert done.exit_code == 1
    assert "failed: BAD_INPUT: 1 of the" in done.output
    assert "(TRUNCATED_FILE)" in done.output
    assert "Muster" not in done.output
    assert list((tmp_path / "bids").glob("sub-*")) == []


def test_study_of_two_patients_is_refused(archive: Path, tmp_path: Path) -> None:
    for path in sorted(archive.rglob("*.dcm"))[:40]:
        dataset = dcmread(path)
        dataset.PatientID = str(len(list(tmp_path.glob("archive/*"))) % 2)
        (tmp_path / "archive").mkdir(exist_ok=True)
        dataset.save_as(tmp_path / "archive" / f"{path.parent.name}-{path.name}")
    done = _import(tmp_path / "archive", tmp_path / "bids")
    assert "MIXED_STUDIES: the files of a study are of 2 patients" in done.output


def _shifted(volume: Volume, axis: int) -> Any:
    """Return what a converter would give that is one hundredth of a millimetre off."""
    affine = nifti_affine(volume.geometry)
    affine[axis, 3] += 0.01
    return nib.Nifti1Image(volume.voxels.transpose(2, 1, 0), affine)


def test_converter_that_disagrees_is_refused(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, datasets = next(each for each in _volumes(archive) if len(each[0].planes) > 5)
    own = convert(found, datasets).volume
    given = {
        r"places voxels 0\.01 mm": _shifted(own, 1),
        "values of dicom2nifti differ": nib.Nifti1Image(
            own.voxels.transpose(2, 1, 0) + 5, nifti_affine(own.geometry)
        ),
        "gives .* voxels, the service": nib.Nifti1Image(
            own.voxels.transpose(2, 1, 0)[1:], nifti_affine(own.geometry)
        ),
    }
    for message, image in given.items():
        monkeypatch.setattr(dicom_to_nifti, "_by_dicom2nifti", lambda _, image=image: image)
        with pytest.raises(ConversionError, match=f"series .*{message}"):
            convert(found, datasets)


def test_series_that_the_converter_refuses_is_assembled_by_the_service(archive: Path) -> None:
    found, datasets = next(each for each in _volumes(archive) if len(each[0].planes) > 5)
    # Without what dicom2nifti sorts by; the service sorts by position.
    for dataset in datasets:
        del dataset.InstanceNumber
    converted = convert(found, datasets)
    assert converted.software == "Thrombolens"
    assert converted.note == "dicom2nifti cannot convert the series: AttributeError"
    assert converted.volume.voxels.shape[0] == len(found.planes)


def test_pseudonyms_depend_on_key_patient_and_centre(tmp_path: Path) -> None:
    names = Pseudonyms.of_file(tmp_path / "one.key")
    again = Pseudonyms.of_file(tmp_path / "one.key")
    other = Pseudonyms.of_file(tmp_path / "two.key")
    assert names.subject("4711", "North") == again.subject("4711", "North")
    subjects = {
        names.subject("4711", "North"),
        names.subject("4711", "South"),
        names.subject("4712", "North"),
        other.subject("4711", "North"),
    }
    assert len(subjects) == 4
    assert all(name.removeprefix("sub-").isalnum() for name in subjects)
    assert "4711" not in repr(names)
    assert (tmp_path / "one.key").read_text().strip() not in repr(names)


@pytest.mark.parametrize(("content", "message"), [("no key", "no key file"), ("00ff", "2 bytes")])
def test_other_files_are_no_key(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.key").write_text(content)
    with pytest.raises(LayoutError, match=message):
        Pseudonyms.of_file(tmp_path / "a.key")


def test_mapping_keeps_the_rows_of_earlier_imports_for_its_owner_alone(
    archive: Path, tmp_path: Path
) -> None:
    mapping = tmp_path / "secret" / "who.tsv"
    mapping.parent.mkdir()
    mapping.write_text("participant_id\tsession\tstudy_instance_uid\tpatient_id\na\tb\tc\td\n")
    mapping.chmod(0o644)
    _import(archive, tmp_path / "bids", "--mapping", str(mapping))
    rows = mapping.read_text().splitlines()
    assert len(rows) == 3
    assert "a\tb\tc\td" in rows
    assert stat.S_IMODE(mapping.stat().st_mode) == 0o600


def test_mask_that_is_none_is_told_without_its_name(archive: Path, tmp_path: Path) -> None:
    masks = tmp_path / "Muster"
    masks.mkdir()
    (masks / f"{_study_uid(archive)}_svs.nii.gz").write_bytes(b"nothing")
    done = _import(archive, tmp_path / "bids", "--labels", str(masks))
    assert done.exit_code == 2
    told = done.output.replace("\n", "")
    assert "cannot be used" in told
    assert "BAD_LAYOUT" in told
    assert "Muster" not in told
    assert _study_uid(archive) not in told
