"""Real series of six vendors: labels, roles, geometry and pixels."""

import re
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from benchmarks.sequence_accuracy import measure
from service.adapters.study_files import StudyFolder
from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.study import DetectedSequences
from service.stages.assemble_volume import Assembled, assemble_volume, geometric_mean
from service.stages.detect_sequences import detect_sequences
from service.stages.exclude_inputs import MIN_CONFIDENCE

pytestmark = pytest.mark.real_data

MAX_SLICES = 10_000
# Studies that lie in sub-folders which must be read one at a time: they share their instances.
ONE_BY_ONE = "flair_noise_transfer_syntaxes"


@pytest.mark.parametrize("headers_only", [False, True], ids=["pixels", "headers"])
@pytest.mark.parametrize("alone", [False, True], ids=["study", "series"])
def test_labels_of_all_series(shared_data: Path, alone: bool, headers_only: bool) -> None:
    outcomes = measure(shared_data, alone=alone, headers_only=headers_only)
    assert len(outcomes) == 54
    assert [outcome for outcome in outcomes if not outcome.is_right] == []


@pytest.mark.parametrize("headers_only", [False, True], ids=["pixels", "headers"])
def test_labels_without_names_and_private_elements(shared_data: Path, headers_only: bool) -> None:
    outcomes = measure(shared_data, stripped=True, headers_only=headers_only)
    wrong = [outcome for outcome in outcomes if not outcome.is_right]
    assert len(wrong) <= 0.15 * len(outcomes)
    for outcome in wrong:
        unexpected = outcome.found.keys() - outcome.expected
        assert all(outcome.found[label] < MIN_CONFIDENCE for label in unexpected), outcome


def detected(folder: Path) -> tuple[StudyFolder, DetectedSequences]:
    study = StudyFolder.read(folder, max_slices=MAX_SLICES)
    return study, detect_sequences(study.facts)


def assembled(study: StudyFolder, found: DetectedSequences, role: Role) -> Assembled:
    sources = found.derived_roles.get(role) or (found.of_role[role],)
    parts = [
        assemble_volume(source.volume, study.datasets(source.volume.series.series_instance_uid))
        for source in sources
    ]
    trace = geometric_mean([part.volume for part in parts])
    return parts[0] if len(parts) == 1 else Assembled(trace, parts[0].source_planes)


# Study, roles that it fills, directions that its DWI is computed from, shape and spacing of it.
HUMAN_STUDIES = [
    ("siemens_xa30_prisma_human", {Role.DWI, Role.ADC}, 1, (39, 72, 72), (3.0, 3.0, 3.0)),
    ("siemens_e11_prisma_human", {Role.DWI}, 2, (25, 128, 128), (5.2, 1.71875, 1.71875)),
    ("uih_umr770_human_a", {Role.DWI}, 3, (20, 64, 64), (4.2, 3.5, 3.5)),
    ("toshiba_galan_human", {Role.DWI}, 2, (12, 64, 64), (3.0, 3.0, 3.0)),
    ("philips_achieva_human_dti", {Role.DWI}, 2, (40, 80, 80), (3.0, 3.0, 3.0)),
]


@pytest.mark.parametrize(("name", "roles", "directions", "shape", "spacing"), HUMAN_STUDIES)
def test_human_stroke_input(
    shared_data: Path,
    name: str,
    roles: set[Role],
    directions: int,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> None:
    study, found = detected(shared_data / "dicom" / name)
    assert set(Role) - set(found.missing_roles) == roles
    assert len(found.derived_roles.get(Role.DWI, (None,))) == directions
    volume = assembled(study, found, Role.DWI).volume
    assert volume.geometry.shape == shape
    assert volume.geometry.spacing == pytest.approx(spacing, abs=1e-3)
    assert volume.geometry.frame_of_reference_uid
    assert_is_a_head(volume.voxels, volume.geometry)


def assert_is_a_head(voxels: np.ndarray, geometry: Geometry) -> None:
    """The bright part is of the size of a head (or the slab of one), away from the borders."""
    bright = voxels > 0.25 * np.percentile(voxels, 99)
    litres = bright.sum() * geometry.voxel_volume / 1e6
    assert 0.2 < litres < 6
    centre = np.argwhere(bright).mean(axis=0) / geometry.shape
    assert ((centre > 0.3) & (centre < 0.7)).all()


NO_INPUT_STUDIES = [
    "ge_hdxt_fruit_t1",
    "ge_mr750_human_bold",
    "ge_signa_human_pd",
    "philips_achieva_phantom_b0_enh",
    "philips_elition_phantom_asl",
    "picker_eclipse_angio",
    "siemens_avanto_human_t1c",
    "siemens_prisma_human_localizer",
    "siemens_prisma_phantom_fieldmap",
    "siemens_trio_b17_human_bold",
]


@pytest.mark.parametrize("name", NO_INPUT_STUDIES)
def test_nothing_wrong_gets_a_role(shared_data: Path, name: str) -> None:
    _, found = detected(shared_data / "dicom" / name)
    assert found.missing_roles == tuple(Role)
    assert all(volume.rejection is not None for volume in found.volumes)


def test_adc_and_trace_lie_on_one_grid(shared_data: Path) -> None:
    study, found = detected(shared_data / "dicom" / "siemens_xa30_prisma_human")
    adc, dwi = (assembled(study, found, role).volume for role in (Role.ADC, Role.DWI))
    assert adc.geometry.same_grid(dwi.geometry)
    brain = dwi.voxels > 0.5 * np.percentile(dwi.voxels, 99)
    # In 10^-6 mm2/s; at b = 2500 the apparent coefficient is below that at b = 1000.
    assert 300 < np.median(adc.voxels[brain]) < 1100


def protocol_slices(header: bytes) -> dict[int, np.ndarray]:
    """Centres of the slices (LPS mm) as the operator set them, from the Siemens protocol."""
    pattern = r"sSliceArray\.asSlice\[(\d+)\]\.sPosition\.d(Sag|Cor|Tra)\s*=\s*(\S+)"
    centres: dict[int, np.ndarray] = {}
    for index, axis, value in re.findall(pattern, header.decode("latin-1")):
        centre = centres.setdefault(int(index), np.zeros(3))
        centre[("Sag", "Cor", "Tra").index(axis)] = float(value)
    return centres


@pytest.mark.parametrize(
    "path",
    [
        "siemens_e11_prisma_human/s03_dwi_mosaic/0001.dcm",
        "siemens_trio_b17_human_bold/s06_bold/0001.dcm",
    ],
)
def test_mosaic_tiles_lie_where_the_protocol_put_the_slices(shared_data: Path, path: str) -> None:
    file = shared_data / "dicom" / path
    dataset = dcmread(file, stop_before_pixels=True)
    study = StudyFolder.read(file.parent, max_slices=MAX_SLICES)
    planes = {
        plane.tile: plane
        for plane in study.facts.series[0].planes
        if plane.sop_instance_uid == dataset.SOPInstanceUID
    }
    centres = protocol_slices(dataset[0x00291020].value)
    assert len(centres) == len(planes) > 20
    for tile, centre in centres.items():
        plane = planes[tile]
        assert plane.position is not None
        assert plane.orientation is not None
        assert plane.pixel_spacing is not None
        along_columns, along_rows = np.reshape(plane.orientation, (2, 3))
        half = along_columns * plane.columns / 2 * plane.pixel_spacing[1]
        half = half + along_rows * plane.rows / 2 * plane.pixel_spacing[0]
        np.testing.assert_allclose(np.add(plane.position, half), centre, atol=1e-3)


def test_encodings_of_one_series_give_the_same_voxels(shared_data: Path) -> None:
    voxels = []
    for folder in sorted((shared_data / "dicom" / ONE_BY_ONE).iterdir()):
        study, found = detected(folder)
        datasets = study.datasets(study.facts.series[0].series_instance_uid)
        voxels.append(assemble_volume(found.volumes[0].volume, datasets).volume.voxels)
    assert len(voxels) == 5
    assert voxels[0].std() > 0
    for other in voxels[1:]:
        np.testing.assert_array_equal(voxels[0], other)


def test_same_instances_in_other_encodings_conflict(shared_data: Path) -> None:
    study = StudyFolder.read(shared_data / "dicom" / ONE_BY_ONE, max_slices=MAX_SLICES)
    assert len(study.facts.series[0].planes) == 4
    assert study.facts.duplicate_instances == 16
    # Two of the five folders hold the same files.
    assert study.conflicting_duplicates == 12


def test_magnitude_and_phase_of_one_series_are_rescaled_apart(shared_data: Path) -> None:
    study = StudyFolder.read(shared_data / "dicom" / "philips_swi_noise", max_slices=MAX_SLICES)
    found = detect_sequences(study.facts, min_slices=4)
    assert {Role.SUSC, Role.PHASE} == found.of_role.keys()
    phase = assembled(study, found, Role.PHASE).volume.voxels
    magnitude = assembled(study, found, Role.SUSC).volume.voxels
    # In milliradians; the pixels of this series are noise, the stored range is 0..4095.
    assert phase.min() == pytest.approx(-3142, abs=1)
    assert magnitude.min() >= 0
