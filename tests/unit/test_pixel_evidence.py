"""Pixels as tie-break and veto: where headers leave doubt, and where they are wrong."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from service.adapters.study_files import StudyFolder
from service.application.classify_studies import voxel_reader
from service.domain.sequence import Role, SequenceLabel
from service.domain.study import ClassifiedVolume, DetectedSequences, VolumeFacts
from service.domain.volume import Volume
from service.stages.detect_sequences import detect_sequences

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo-study.zip"
Edit = Callable[[Dataset], None]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated demo study, unpacked: SWI, phase, DWI, ADC, FLAIR and TOF."""
    folder = tmp_path_factory.mktemp("demo")
    with zipfile.ZipFile(DEMO) as archive:
        archive.extractall(folder)
    return folder


def edited(demo: Path, folder: Path, role: Role, edit: Edit) -> StudyFolder:
    """Return the series of one role of the demo study with its headers changed."""
    study = StudyFolder.read(demo, max_slices=10_000)
    found = detect_sequences(study.facts).of_role[role]
    folder.mkdir(exist_ok=True)
    for index, dataset in enumerate(study.datasets(found.volume.series.series_instance_uid)):
        edit(dataset)
        dataset.save_as(folder / f"{index}.dcm")
    return StudyFolder.read(folder, max_slices=10_000)


def without(*keywords: str) -> Edit:
    def edit(dataset: Dataset) -> None:
        for keyword in keywords:
            dataset.pop(keyword, None)

    return edit


def detected(study: StudyFolder) -> tuple[ClassifiedVolume, ClassifiedVolume]:
    """Return the volume of a study by its headers alone, and with its pixels."""
    (by_header,) = detect_sequences(study.facts).volumes
    (by_pixels,) = detect_sequences(study.facts, read_voxels=voxel_reader(study.datasets)).volumes
    return by_header, by_pixels


NAMES = ("SeriesDescription", "ProtocolName", "SequenceName", "ScanOptions", "AngioFlag")


def test_bright_vessels_settle_what_an_anonymised_angiogram_is(demo: Path, tmp_path: Path) -> None:
    by_header, by_pixels = detected(edited(demo, tmp_path, Role.TOF, without(*NAMES)))
    assert by_header.role is None
    assert by_pixels.role is Role.TOF
    assert "pixels-vessels" in {vote.rule_id for vote in by_pixels.classification.evidence}


def called_adc(dataset: Dataset) -> None:
    without(*NAMES)(dataset)
    dataset.ImageType = ["DERIVED", "SECONDARY", "ADC"]


def test_what_is_called_adc_and_has_no_adc_is_refused(demo: Path, tmp_path: Path) -> None:
    by_header, by_pixels = detected(edited(demo, tmp_path, Role.TOF, called_adc))
    assert by_header.classification.label is SequenceLabel.ADC
    assert by_header.role is Role.ADC
    assert by_pixels.role is not Role.ADC


def test_an_adc_map_stays_one(demo: Path, tmp_path: Path) -> None:
    by_header, by_pixels = detected(edited(demo, tmp_path, Role.ADC, without()))
    assert by_header.role is by_pixels.role is Role.ADC
    assert "pixels-adc-unit" in {vote.rule_id for vote in by_pixels.classification.evidence}


def called_magnitude(dataset: Dataset) -> None:
    without(*NAMES, "ComplexImageComponent")(dataset)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]


def test_a_phase_that_nothing_calls_so_is_no_magnitude(demo: Path, tmp_path: Path) -> None:
    by_header, by_pixels = detected(edited(demo, tmp_path, Role.PHASE, called_magnitude))
    assert by_header.classification.label is SequenceLabel.T2STAR
    assert by_pixels.classification.label is SequenceLabel.PHASE
    assert by_pixels.role is None


def test_every_label_of_the_demo_study_stands_with_pixels(demo: Path) -> None:
    study = StudyFolder.read(demo, max_slices=10_000)
    by_header = detect_sequences(study.facts)
    by_pixels = detect_sequences(study.facts, read_voxels=voxel_reader(study.datasets))
    assert labels(by_header) == labels(by_pixels)
    assert by_header.missing_roles == by_pixels.missing_roles == ()


def labels(found: DetectedSequences) -> dict[Role, SequenceLabel]:
    return {role: each.classification.label for role, each in found.of_role.items()}


def test_pixels_are_read_only_where_they_can_make_a_difference(demo: Path) -> None:
    study = StudyFolder.read(demo, max_slices=10_000)
    read: list[str] = []
    reader = voxel_reader(study.datasets)

    def counted(volume: VolumeFacts) -> Volume | None:
        read.append(volume.series.description)
        return reader(volume)

    found = detect_sequences(study.facts, read_voxels=counted)
    looked_at = {Role.ADC, Role.PHASE, Role.FLAIR, Role.TOF}
    expected = {found.of_role[role].volume.series.description for role in looked_at}
    assert expected <= set(read)
    assert found.of_role[Role.SUSC].volume.series.description not in read


def test_pixels_that_cannot_be_decoded_are_missing_evidence(demo: Path, tmp_path: Path) -> None:
    study = edited(demo, tmp_path, Role.ADC, without())
    for path in tmp_path.iterdir():
        dataset = dcmread(path)
        dataset.BitsAllocated = 8
        dataset.save_as(path)
    by_header, by_pixels = detected(study)
    assert by_header.classification == by_pixels.classification
