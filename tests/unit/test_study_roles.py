"""Which of several series gets a role: what must never win it, and what must."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from service.adapters.study_files import ReadLimits, StudyCatalogue
from service.domain.sequence import Role
from service.domain.study import DetectedSequences
from service.stages.detect_sequences import detect_sequences
from tests.strategies import write_instances
from tests.unit.test_detect_sequences import again, images

Header = Mapping[str, Any]

SIEMENS: Header = {"Manufacturer": "SIEMENS", "MagneticFieldStrength": 3.0}
XA: Header = {"Manufacturer": "Siemens Healthineers", "MagneticFieldStrength": 3.0}
GE: Header = {"Manufacturer": "GE MEDICAL SYSTEMS", "MagneticFieldStrength": 3.0}
PHILIPS: Header = {"Manufacturer": "Philips", "MagneticFieldStrength": 3.0}
CANON: Header = {"Manufacturer": "CANON_MEC", "MagneticFieldStrength": 3.0}
UIH: Header = {"Manufacturer": "UIH", "MagneticFieldStrength": 3.0}

GRADIENT = {"ScanningSequence": "GR", "MRAcquisitionType": "3D", "FlipAngle": 15.0}
SWI = {**GRADIENT, "EchoTime": 20.0, "RepetitionTime": 27.0}
T2STAR = {**GRADIENT, "MRAcquisitionType": "2D", "EchoTime": 20.0, "RepetitionTime": 620.0}
TOF = {**GRADIENT, "EchoTime": 3.4, "RepetitionTime": 21.0, "FlipAngle": 18.0}
DWI = {"ScanningSequence": ["SE", "EP"], "EchoTime": 80.0, "RepetitionTime": 5000.0}
FLAIR = {
    "ScanningSequence": ["SE", "IR"],
    "EchoTime": 95.0,
    "RepetitionTime": 9000.0,
    "InversionTime": 2500.0,
}


def series(
    vendor: Header, physics: Header, description: str, image_type: str, **more: Any
) -> list[Dataset]:
    header = {**vendor, **physics, "SeriesDescription": description, **more}
    return images({**header, "ImageType": image_type.split("\\")})


def detected(folder: Path, *found: list[Dataset]) -> DetectedSequences:
    for members in found:
        write_instances(members, folder)
    (study,) = StudyCatalogue.read(folder, ReadLimits(100_000), headers_only=True).studies
    return detect_sequences(study.facts)


def roles(found: DetectedSequences) -> dict[Role, str]:
    return {role: each.volume.series.description for role, each in found.of_role.items()}


@pytest.mark.parametrize(
    ("vendor", "processed", "projection", "image_type"),
    [
        (XA, "t2_swi_tra_p3_SWI", "t2_swi_tra_p3_mIP", "DERIVED\\PRIMARY\\MINIMUM\\SWI"),
        (SIEMENS, "SWI_Images", "mIP_Images(SW)", "ORIGINAL\\PRIMARY\\M\\MNIP\\ND"),
        (UIH, "gre_swi_tra", "gre_swi_tra_mIP", "DERIVED\\SECONDARY\\M"),
        (GE, "Ax SWAN", "Ax SWAN Min IP_sp:5.0", "DERIVED\\SECONDARY\\REFORMATTED"),
    ],
)
def test_a_minimum_projection_never_takes_the_place_of_the_image(
    tmp_path: Path, vendor: Header, processed: str, projection: str, image_type: str
) -> None:
    found = detected(
        tmp_path,
        series(vendor, SWI, processed, "ORIGINAL\\PRIMARY\\M\\SWI", AcquisitionTime="101000"),
        series(vendor, SWI, projection, image_type, AcquisitionTime="101010"),
    )
    assert roles(found) == {Role.SUSC: processed}


@pytest.mark.parametrize("unweighted", ["DWI b0", "DWI b=0", "DWI b 0", "Diff b0"])
def test_a_b0_image_is_no_diffusion_image(tmp_path: Path, unweighted: str) -> None:
    b0 = series(CANON, DWI, unweighted, "ORIGINAL\\PRIMARY\\OTHER", AcquisitionTime="101010")
    b1000 = series(CANON, DWI, "DWI b1000", "ORIGINAL\\PRIMARY\\OTHER", AcquisitionTime="101000")
    assert roles(detected(tmp_path / "alone", b0)) == {}
    assert roles(detected(tmp_path / "both", b0, b1000)) == {Role.DWI: "DWI b1000"}


def test_a_b0_image_of_an_export_without_diffusion_elements(tmp_path: Path) -> None:
    b0 = series(XA, DWI, "ep2d_diff_b0", "ORIGINAL\\PRIMARY\\DIFFUSION\\NONE")
    assert roles(detected(tmp_path, b0)) == {}


def test_series_of_unknown_b_value_may_be_b0(tmp_path: Path) -> None:
    both = [
        series(CANON, DWI, "DWI", "ORIGINAL\\PRIMARY\\OTHER", SeriesNumber=number)
        for number in (1, 2)
    ]
    found = detected(tmp_path, *both)
    assert roles(found) == {}
    assert {each.rejection.code for each in found.volumes if each.rejection} == {"UNKNOWN_B_VALUE"}


@pytest.mark.parametrize(
    ("physics", "description", "component", "role"),
    [
        (FLAIR, "t2_tirm_tra_dark-fluid", "P", Role.FLAIR),
        (FLAIR, "FLAIR real", "R", Role.FLAIR),
        (DWI, "ep2d_diff_3scan_trace_TRACEW", "P", Role.DWI),
        (DWI, "ep2d_diff_3scan_trace_ADC", "P", Role.ADC),
        (TOF, "TOF_3D_multi-slab", "P", Role.TOF),
    ],
)
def test_only_phase_may_be_no_magnitude(
    tmp_path: Path, physics: Header, description: str, component: str, role: Role
) -> None:
    kinds = f"ORIGINAL\\PRIMARY\\{component}\\TRACEW"
    found = detected(tmp_path, series(SIEMENS, physics, description, kinds))
    assert role not in roles(found)


EXPONENTIAL = [
    *("e-ADC", "ADC e", "e ADC map", "eADC", "ADC esponenziale", "Exponentielle ADC", "exp ADC"),
    *("DWI Exp", "EXP Diffusion", "ADC inverted", "Mapa exponencial ADC"),
]


@pytest.mark.parametrize("description", EXPONENTIAL)
def test_exponential_maps_play_no_role(tmp_path: Path, description: str) -> None:
    found = detected(tmp_path, series(GE, DWI, description, "DERIVED\\SECONDARY\\COMBINED"))
    assert found.volumes[0].classification.label == "EADC"
    assert roles(found) == {}


MADE_OF_OTHERS = [
    (DWI, "Mean Diffusivity"),
    (DWI, "ADC mask"),
    (DWI, "ADC residual error"),
    (DWI, "ADC on FLAIR fused"),
    (SWI, "Susceptibility map"),
    (SWI, "QSM"),
    (SWI, "SWIM"),
    (SWI, "R2Star: Ax SWAN"),
    (SWI, "t2_swi_tra_QSM"),
    (FLAIR, "FLAIR lesion mask"),
    (FLAIR, "FLAIR SUB"),
]


@pytest.mark.parametrize(("physics", "description"), MADE_OF_OTHERS)
def test_what_was_made_of_images_plays_no_role(
    tmp_path: Path, physics: Header, description: str
) -> None:
    assert roles(detected(tmp_path, series(GE, physics, description, "DERIVED\\SECONDARY"))) == {}


def test_a_map_that_keeps_the_b_value_is_no_diffusion_image(tmp_path: Path) -> None:
    maps = series(GE, DWI, "Processed Images", "DERIVED\\SECONDARY\\COMBINED")
    for instance in maps:
        instance.add_new(0x00430010, "LO", "GEMS_PARM_01")
        instance.add_new(0x00431039, "IS", [1000, 8, 0, 0])
    assert roles(detected(tmp_path, maps)) == {}


def test_dynamics_are_not_susceptibility_weighted(tmp_path: Path) -> None:
    presto = {**GRADIENT, "EchoTime": 25.0, "RepetitionTime": 17.0, "FlipAngle": 7.0}
    first = series(PHILIPS, presto, "PRESTO", "ORIGINAL\\PRIMARY\\M_FFE\\M\\FFE")
    times = [
        again(first, str(index), TemporalPositionIdentifier=index, NumberOfTemporalPositions=40)
        for index in range(1, 41)
    ]
    assert roles(detected(tmp_path, *times)) == {}


@pytest.mark.parametrize("description", ["ep2d_t2star_tra_hemo", "ep2d_fid T2*", "T2*_FEEPI"])
def test_a_single_echo_planar_t2_star_image_is_one(tmp_path: Path, description: str) -> None:
    header = {"ScanningSequence": ["EP", "GR"], "EchoTime": 40.0, "RepetitionTime": 3000.0}
    found = detected(tmp_path, series(SIEMENS, header, description, "ORIGINAL\\PRIMARY\\M\\ND"))
    assert roles(found) == {Role.SUSC: description}


def test_phase_goes_with_the_magnitude_of_its_own_acquisition(tmp_path: Path) -> None:
    kinds = "ORIGINAL\\PRIMARY\\{}\\ND"
    first = series(SIEMENS, SWI, "SWI 1", kinds.format("SWI"), AcquisitionTime="100000.5")
    phase = series(SIEMENS, SWI, "Pha_Images", kinds.format("P"), AcquisitionTime="100000.5")
    repeat = series(SIEMENS, SWI, "SWI 2", kinds.format("SWI"), AcquisitionTime="100430.0")
    assert roles(detected(tmp_path / "one", first, phase)) == {
        Role.SUSC: "SWI 1",
        Role.PHASE: "Pha_Images",
    }
    found = detected(tmp_path / "two", first, phase, repeat)
    assert roles(found) == {Role.SUSC: "SWI 2"}
    codes = [each.rejection.code for each in found.volumes if each.rejection is not None]
    assert "PHASE_WITHOUT_MAGNITUDE" in codes


PHASES = ["SWI phase", "SWI Phasenbilder", "SWI image de phase", "SWI fase", "SWAN PHASE"]


@pytest.mark.parametrize("description", PHASES)
def test_phase_by_name_alone_is_no_magnitude(tmp_path: Path, description: str) -> None:
    found = detected(tmp_path, series(GE, SWI, description, "ORIGINAL\\PRIMARY\\OTHER"))
    assert found.volumes[0].classification.label == "PHASE"
    assert roles(found) == {}


PROJECTIONS = [
    *("TOF MIP", "TOF projection", "TOF proyección", "TOF proiezione", "TOF Projektion", "TOF VRT"),
    *("TOF 3D rot", "TOF ROTATION", "PJN: TOF", "COL:Ax 3D TOF"),
]


@pytest.mark.parametrize("description", PROJECTIONS)
def test_projections_by_name_alone_are_no_source_images(tmp_path: Path, description: str) -> None:
    found = detected(tmp_path, series(GE, TOF, description, "ORIGINAL\\PRIMARY\\OTHER"))
    assert found.volumes[0].classification.label == "TOF_MIP"
    assert roles(found) == {}


@pytest.mark.parametrize(
    "description", ["TOF TSA", "TOF supraaortal", "TOF vasi epiaortici", "TOF Halsgefäße"]
)
def test_vessels_of_the_neck_are_not_those_of_the_brain(tmp_path: Path, description: str) -> None:
    brain = series(SIEMENS, TOF, "TOF_3D_multi-slab", "ORIGINAL\\PRIMARY\\M\\ND")
    neck = images(
        {**SIEMENS, **TOF, "SeriesDescription": description, "ImageType": ["ORIGINAL", "PRIMARY"]},
        slices=40,
        spacing=4.0,
    )
    assert roles(detected(tmp_path, brain, neck)) == {Role.TOF: "TOF_3D_multi-slab"}


def test_a_measured_image_is_better_than_a_computed_one_of_a_nearer_b_value(
    tmp_path: Path,
) -> None:
    measured = series(
        SIEMENS, DWI, "diff_TRACEW", "DERIVED\\PRIMARY\\DIFFUSION\\TRACEW", DiffusionBValue=900.0
    )
    computed = series(
        *(SIEMENS, DWI, "diff_CALC", "DERIVED\\PRIMARY\\DIFFUSION\\TRACEW\\CALC_BVALUE"),
        DiffusionBValue=1000.0,
    )
    assert roles(detected(tmp_path, measured, computed)) == {Role.DWI: "diff_TRACEW"}


def test_fluid_is_dark_without_contrast_agent(tmp_path: Path) -> None:
    native = series(SIEMENS, FLAIR, "FLAIR", "ORIGINAL\\PRIMARY\\M", AcquisitionTime="100000")
    later = series(
        *(SIEMENS, FLAIR, "FLAIR KM", "ORIGINAL\\PRIMARY\\M"),
        AcquisitionTime="103000",
        ContrastBolusAgent="Gd",
    )
    assert roles(detected(tmp_path, native, later)) == {Role.FLAIR: "FLAIR"}


ODD: list[dict[str, Any]] = [
    {"DiffusionBValue": float("nan")},
    {"DiffusionBValue": float("inf")},
    {"DiffusionBValue": -5.0},
    {"EchoTime": -1.0},
    {"EchoTime": 0.0},
    {"MagneticFieldStrength": -3.0},
    {"MagneticFieldStrength": 0.0},
    {"SpacingBetweenSlices": 0.0, "SliceThickness": 0.0},
    {"FlipAngle": float("nan")},
    {"DiffusionGradientOrientation": [float("nan")] * 3},
    {"SeriesDescription": "", "ImageType": ["", "", ""]},
    {"AcquisitionTime": "midnight"},
]


@pytest.mark.parametrize("odd", ODD, ids=[str(sorted(each.items()))[:40] for each in ODD])
@pytest.mark.parametrize("physics", [SWI, DWI], ids=["swi", "dwi"])
def test_odd_values_are_no_evidence_and_no_failure(
    tmp_path: Path, physics: Header, odd: dict[str, Any]
) -> None:
    with disable_value_validation():
        pair = [
            images({**SIEMENS, **physics, "SeriesDescription": "swi dwi", **odd, "SeriesNumber": n})
            for n in (1, 2)
        ]
    assert len(detected(tmp_path, *pair).volumes) == 2


def test_an_odd_direction_is_no_evidence_and_no_failure(tmp_path: Path) -> None:
    instances = images({**SIEMENS, **DWI, "SeriesDescription": "diff"})
    for instance in instances:
        instance.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
        instance.add_new(0x0019100E, "LO", ["none", "none", "none"])
        instance.add_new(0x0019100C, "UN", b"inf ")
    assert len(detected(tmp_path, instances).volumes) == 1
