"""Sequence detection on the headers that vendors write, one trap at a time."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedSRStorage, SegmentationStorage

from service.adapters.study_files import StudyFolder
from service.domain.geometry import Geometry
from service.domain.sequence import Role, SequenceLabel
from service.domain.study import ClassifiedVolume, DetectedSequences
from service.domain.volume import Volume
from service.stages.detect_sequences import detect_sequences
from service.stages.sequence_rules import RULES
from tests.strategies import mr_series, uid, write_instances

Header = Mapping[str, object]
AXIAL = [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
CORONAL = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
SAGITTAL = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]


def images(
    header: Header,
    *,
    slices: int = 6,
    spacing: float = 3.0,
    axes: npt.ArrayLike = AXIAL,
    top: float = 0.0,
) -> list[Dataset]:
    """A series of tiny images with these attributes; the description names the series."""
    grid = Geometry.from_components(
        origin=(0, 0, top), axes=axes, spacing=(spacing, 1, 1), shape=(slices, 2, 2)
    )
    series = mr_series(Volume(np.zeros(grid.shape), grid))
    series_uid = uid(sorted((str(key), str(value)) for key, value in header.items()), axes, slices)
    for index, instance in enumerate(series):
        instance.SeriesInstanceUID = series_uid
        instance.SOPInstanceUID = uid(series_uid, spacing, top, index)
        for keyword, value in header.items():
            setattr(instance, keyword, value)
        instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
        instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    return series


def again(instances: list[Dataset], name: str, **attributes: object) -> list[Dataset]:
    """The same series once more with some attributes replaced, as other instances of it."""
    copies = deepcopy(instances)
    for index, copy in enumerate(copies):
        copy.SOPInstanceUID = uid(instances[index].SOPInstanceUID, name)
        copy.InstanceNumber = instances[index].InstanceNumber + 100
        for keyword, value in attributes.items():
            setattr(copy, keyword, value)
        copy.file_meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    return copies


def detected(folder: Path, *series: list[Dataset]) -> DetectedSequences:
    for members in series:
        write_instances(members, folder)
    return detect_sequences(StudyFolder.read(folder, max_slices=10_000).facts)


def of_label(found: DetectedSequences, label: SequenceLabel) -> list[ClassifiedVolume]:
    return [volume for volume in found.volumes if volume.classification.label is label]


def splits(found: DetectedSequences) -> list[Mapping[str, str]]:
    return [volume.volume.split for volume in found.volumes]


def codes(found: DetectedSequences) -> list[str]:
    return [volume.rejection.code for volume in found.volumes if volume.rejection is not None]


SIEMENS: Header = {"Manufacturer": "SIEMENS", "MagneticFieldStrength": 3.0}
GE: Header = {
    "Manufacturer": "GE MEDICAL SYSTEMS",
    "ProtocolName": "STROKE MRA DWI SWAN",
    "MagneticFieldStrength": 3.0,
}
PHILIPS: Header = {"Manufacturer": "Philips Medical Systems", "MagneticFieldStrength": 3.0}
NOBODY: Header = {"Manufacturer": None}


def scan(
    vendor: Header,
    description: str,
    scanning: str | list[str],
    times: tuple[float, ...],
    **more: object,
) -> Header:
    """A header with these times: echo, repetition and inversion, in ms."""
    names = ("EchoTime", "RepetitionTime", "InversionTime")
    return {
        **vendor,
        "SeriesDescription": description,
        "ScanningSequence": scanning,
        **dict(zip(names, times, strict=False)),
        **more,
    }


def siemens_swi(description: str, *image_type: str) -> Header:
    return scan(
        {**SIEMENS, "ProtocolName": "t2_swi3d_tra_p2", "SequenceName": "*swi3d1r"},
        description,
        "GR",
        (20.0, 27.0),
        MRAcquisitionType="3D",
        FlipAngle=15.0,
        ImageType=["ORIGINAL", "PRIMARY", *image_type],
    )


def siemens_dwi(name: str, sequence: str, *image_type: str) -> Header:
    return scan(
        {**SIEMENS, "ProtocolName": "ep2d_diff_3scan_trace", "SequenceName": sequence},
        f"ep2d_diff_3scan_trace_{name}",
        "EP",
        (89.0, 6000.0),
        ImageType=["DERIVED", "PRIMARY", "DIFFUSION", *image_type],
    )


def philips_swi(letter: str) -> Header:
    image_type = ["ORIGINAL", "PRIMARY", f"SW_{letter}_FFE", f"SW_{letter}", "FFE"]
    return scan(PHILIPS, "SWIp", "GR", (0.0, 31.0), ImageType=image_type)


def ge_map(description: str, *image_type: str) -> Header:
    return {**GE_DWI, "SeriesDescription": description, "ImageType": ["DERIVED", *image_type]}


SWI = siemens_swi("SWI_Images", "M", "SWI", "ND", "NORM")
SWI_MAGNITUDE = siemens_swi("Mag_Images", "M", "ND", "NORM")
SWI_PHASE = siemens_swi("Pha_Images", "P", "ND")
SWI_MINIP = siemens_swi("mIP_Images(SW)", "M", "MNIP", "ND", "NORM")
TRACE = siemens_dwi("TRACEW", "*ep_b1000t", "TRACEW", "ND", "NORM")
CALCULATED = siemens_dwi("CALC_BVAL", "*ep_calc_b1000t", "TRACEW", "CALC_BVALUE", "ND")
ADC = siemens_dwi("ADC", "*ep_b0_1000", "ADC", "ND", "NORM")
FA = siemens_dwi("FA", "*ep_b0_1000", "FA", "ND", "NORM")
SWAN_TIMES = (24.0, 40.0)
GE_SWAN = scan(GE, "Ax SWAN", "GR", SWAN_TIMES, MRAcquisitionType="3D", FlipAngle=15.0)
GE_DWI = scan(GE, "Ax DWI b1000", ["EP", "SE"], (78.0, 8000.0), ScanOptions=["EPI_GEMS"])
TOF = scan(SIEMENS, "TOF_3D_multi-slab", "GR", (3.7, 22.0), MRAcquisitionType="3D", FlipAngle=18.0)
FLAIR = scan(SIEMENS, "t2_tirm_tra_dark-fluid", ["SE", "IR"], (94.0, 9000.0, 2500.0))
MPRAGE = scan(SIEMENS, "t1_mpr_sag", ["GR", "IR"], (2.9, 1900.0, 900.0), FlipAngle=9.0)
SWAN_MINIMUM = scan(GE, "Ax SWAN Min IP_sp:5.0", "GR", SWAN_TIMES, ImageType=["DERIVED"])
TOF_PROJECTION = {**TOF, "ImageType": ["DERIVED", "PRIMARY", "PROJECTION IMAGE", "MIP"]}
FIELD_MAP = scan(SIEMENS, "gre_field_mapping", "GR", (12.0, 600.0), SequenceName="*fm2d2r")

CASES = {
    "siemens swi": (SWI, "SWI"),
    "siemens swi magnitude": (SWI_MAGNITUDE, "T2STAR"),
    "siemens swi phase": (SWI_PHASE, "PHASE"),
    "siemens mip says it is original": (SWI_MINIP, "SWI_MINIP"),
    "ge swan in an examination named after everything": (GE_SWAN, "SWI"),
    "ge swan minimum": (SWAN_MINIMUM, "SWI_MINIP"),
    "ge filtered phase": (scan(GE, "FILT_PHA: Ax SWAN", "GR", SWAN_TIMES), "PHASE"),
    "philips swi": (philips_swi("M"), "T2STAR"),
    "philips swi phase": (philips_swi("P"), "PHASE"),
    "swirl is not swi": (scan(SIEMENS, "swirl", "GR", (4.0,)), "OTHER_MR"),
    "french t2 star": (scan(NOBODY, "T2 étoile", "GR", (22.0,)), "T2STAR"),
    "anonymised t2 star": (scan(NOBODY, "", "GR", (25.0, 600.0)), "T2STAR"),
    "siemens trace": (TRACE, "DWI"),
    "siemens adc": (ADC, "ADC"),
    "siemens b0 of a trace series": (siemens_dwi("x", "*ep_b0", "TRACEW"), "DWI_B0"),
    "spanish diffusion without b-value": (scan(NOBODY, "Difusión", "EP", (90.0,)), "DWI"),
    "ge adc": (ge_map("Apparent Diffusion Coefficient (mm2/s)", "SECONDARY"), "ADC"),
    "exponential adc": (ge_map("Exponential Apparent Diffusion Coefficient", "ADC"), "EADC"),
    "eadc": ({**ADC, "SeriesDescription": "eADC"}, "EADC"),
    "fractional anisotropy": (FA, "DIFFUSION_DERIVED"),
    "flair": (FLAIR, "FLAIR"),
    "anonymised flair": (scan(NOBODY, "", ["SE", "IR"], (110.0, 9000.0, 2400.0)), "FLAIR"),
    "t1 flair is t1": (scan(GE, "Ax T1 FLAIR", ["SE", "IR"], (24.0, 2500.0, 900.0)), "T1"),
    "stir is not flair": (scan(SIEMENS, "stir_tirm", ["SE"], (60.0, 4500.0, 180.0)), "OTHER_MR"),
    "tof": (TOF, "TOF"),
    "ge tof": (scan(GE, "3D", "GR", (3.0, 24.0), ScanOptions=["VASCTOF_GEMS"]), "TOF"),
    "tof projection": (TOF_PROJECTION, "TOF_MIP"),
    "angiography with contrast": (scan(SIEMENS, "CE-MRA", "GR", (1.4, 3.5)), "OTHER_MR"),
    "t1": (MPRAGE, "T1"),
    "t2": (scan(SIEMENS, "t2_tse_tra", "SE", (96.0, 5000.0)), "T2"),
    "echo-planar time series": (scan(SIEMENS, "ep2d", ["EP", "GR"], (30.0,)), "BOLD"),
    "perfusion": (scan(SIEMENS, "ep2d_perf_DSC", ["EP", "GR"], (30.0,)), "DSC"),
    "labelled spins": (scan(SIEMENS, "pcasl 3D", "GR", (12.0,)), "ASL"),
    "field map is not t2 star": (FIELD_MAP, "FIELDMAP"),
    "scout": (scan(SIEMENS, "AAHead_Scout", "GR", (1.5,)), "LOCALIZER"),
    "nothing known": ({"Manufacturer": None, "SeriesDescription": ""}, "OTHER_MR"),
}


@pytest.mark.parametrize(("header", "label"), CASES.values(), ids=CASES.keys())
def test_label(tmp_path: Path, header: Header, label: str) -> None:
    (found,) = detected(tmp_path, images(header)).volumes
    assert found.classification.label == label, found.classification.evidence
    assert 0 < found.classification.confidence <= 1


def test_evidence_tells_the_rule_and_what_it_found(tmp_path: Path) -> None:
    header = {**FLAIR, "ImageComments": "Mrs Secret asked for it"}
    (found,) = detected(tmp_path, images(header)).volumes
    weights = [abs(vote.weight) for vote in found.classification.evidence]
    assert weights == sorted(weights, reverse=True)
    votes = {vote.rule_id: vote for vote in found.classification.evidence}
    assert votes["flair-words"].value == "tirm"
    assert votes["flair-physics"].attribute == "InversionTime"
    assert votes["flair-physics"].value == "2500"
    assert "Secret" not in repr(found.classification)


def test_rule_identifiers_are_unique() -> None:
    identifiers = [rule.rule_id for rule in RULES]
    assert len(set(identifiers)) == len(identifiers)
    assert all(rule.source for rule in RULES)


def test_a_full_stroke_study_fills_every_role(tmp_path: Path) -> None:
    found = detected(
        tmp_path,
        *(images(header) for header in (SWI, SWI_MAGNITUDE, SWI_PHASE, SWI_MINIP)),
        *(images(header) for header in (TRACE, ADC, FLAIR, TOF, MPRAGE)),
    )
    labels = {role: each.classification.label for role, each in found.of_role.items()}
    assert labels == {
        Role.SUSC: SequenceLabel.SWI,
        Role.PHASE: SequenceLabel.PHASE,
        Role.DWI: SequenceLabel.DWI,
        Role.ADC: SequenceLabel.ADC,
        Role.FLAIR: SequenceLabel.FLAIR,
        Role.TOF: SequenceLabel.TOF,
    }
    assert found.missing_roles == ()
    assert all((each.role is None) != (each.rejection is None) for each in found.volumes)
    magnitude = of_label(found, SequenceLabel.T2STAR)[0].rejection
    assert magnitude is not None
    assert magnitude.code == "ROLE_TAKEN"
    assert "best of 2 by kind" in magnitude.detail


def test_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    series = [images(header) for header in (SWI, SWI_MAGNITUDE, TRACE, FLAIR)]
    forward = detected(tmp_path / "a", *series)
    for index, members in enumerate(reversed(series)):
        write_instances(members, tmp_path / "b" / str(index))
    backward = detect_sequences(StudyFolder.read(tmp_path / "b", max_slices=100).facts)
    assert forward == backward


def test_too_few_slices_have_a_label_but_no_role(tmp_path: Path) -> None:
    found = detected(tmp_path, images(TRACE, slices=4))
    assert found.volumes[0].classification.label is SequenceLabel.DWI
    assert codes(found) == ["TOO_FEW_SLICES"]
    facts = StudyFolder.read(tmp_path, max_slices=100).facts
    assert detect_sequences(facts, min_slices=4).of_role.keys() == {Role.DWI}


def test_missing_positions_are_named(tmp_path: Path) -> None:
    series = images(TRACE)
    for instance in series:
        del instance.ImagePositionPatient
    assert codes(detected(tmp_path, series)) == ["MISSING_POSITION"]


def test_missing_slice_is_named(tmp_path: Path) -> None:
    series = images(TRACE, slices=7)
    assert codes(detected(tmp_path, [*series[:3], *series[4:]])) == ["BAD_GEOMETRY"]


def test_colour_is_named(tmp_path: Path) -> None:
    series = images({**ADC, "ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "FA"]})
    for instance in series:
        instance.SamplesPerPixel, instance.PhotometricInterpretation = 3, "RGB"
        instance.PixelData = bytes(3 * len(instance.PixelData))
    assert codes(detected(tmp_path, series)) == ["COLOUR"]


def test_unreadable_mosaic_is_named(tmp_path: Path) -> None:
    header = siemens_dwi("x", "*ep_b1000#1", "NONE", "ND", "MOSAIC")
    assert codes(detected(tmp_path, images(header, slices=1))) == ["MOSAIC_NOT_SUPPORTED"]


def test_reports_and_own_results_are_no_images(tmp_path: Path) -> None:
    report = images({"SOPClassUID": EnhancedSRStorage, "Modality": "SR"}, slices=1)
    own = images(
        {"SOPClassUID": SegmentationStorage, "Modality": "SEG", "Manufacturer": "Thrombolens"},
        slices=1,
    )
    found = detected(tmp_path, images(FLAIR), report, own)
    assert sorted(codes(found)) == ["NOT_AN_MR_IMAGE", "OWN_OUTPUT"]
    assert len(of_label(found, SequenceLabel.NON_IMAGE)) == 2


def test_localizer_by_its_three_planes(tmp_path: Path) -> None:
    header = {
        **NOBODY,
        "ScanningSequence": "GR",
        "EchoTime": 3.0,
        "SeriesInstanceUID": uid("scout"),
    }
    planes = [images(header, slices=2, axes=axes) for axes in (AXIAL, CORONAL, SAGITTAL)]
    found = detected(tmp_path, *planes)
    assert splits(found) == [
        {"orientation": "n1"},
        {"orientation": "n2"},
        {"orientation": "n3"},
    ]
    assert len(of_label(found, SequenceLabel.LOCALIZER)) == 3


def test_magnitude_and_phase_in_one_series_are_parted(tmp_path: Path) -> None:
    header = {**PHILIPS, "SeriesDescription": "SWIp", "ScanningSequence": "GR", "EchoTime": 24.0}
    magnitude = images({**header, "ImageType": ["ORIGINAL", "PRIMARY", "SW_M_FFE", "SW_M", "FFE"]})
    phase = again(magnitude, "phase", ImageType=["ORIGINAL", "PRIMARY", "SW_P_FFE", "SW_P", "FFE"])
    found = detected(tmp_path, magnitude, phase)
    assert splits(found) == [
        {"component": "magnitude"},
        {"component": "phase"},
    ]
    assert found.of_role.keys() == {Role.SUSC, Role.PHASE}


def test_phase_without_its_magnitude_is_refused(tmp_path: Path) -> None:
    elsewhere = images(SWI_PHASE, top=1.0)
    found = detected(tmp_path, images(SWI), elsewhere)
    assert found.of_role.keys() == {Role.SUSC}
    assert codes(found) == ["PHASE_WITHOUT_MAGNITUDE"]


def test_echo_of_the_wanted_contrast_is_chosen_with_its_phase(tmp_path: Path) -> None:
    header = {**SIEMENS, "SeriesDescription": "gre_qsm", "ScanningSequence": "GR", "EchoTime": 5.0}
    first = images({**header, "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]})
    phases = images({**header, "ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]})
    series = [first, phases]
    for echo in (12.0, 19.0, 33.0):
        series += [
            again(first, f"m{echo}", EchoTime=echo),
            again(phases, f"p{echo}", EchoTime=echo),
        ]
    roles = detected(tmp_path, *series).of_role
    assert roles[Role.SUSC].volume.split == {"echo": "19"}
    assert roles[Role.PHASE].volume.split == {"echo": "19"}
    assert "echo time" in roles[Role.SUSC].role_reason


@pytest.mark.parametrize(
    ("worse", "better", "criterion"),
    [
        ({"slices": 6}, {"slices": 12}, "coverage"),
        ({"slices": 8, "spacing": 5.0}, {"slices": 20, "spacing": 2.0}, "resolution"),
    ],
)
def test_better_of_two(
    tmp_path: Path, worse: dict[str, float], better: dict[str, float], criterion: str
) -> None:
    found = detected(tmp_path, images(FLAIR, **worse), images(FLAIR, **better))  # type: ignore[arg-type]
    winner = found.of_role[Role.FLAIR]
    assert len(winner.volume.planes) == better["slices"]
    assert winner.role_reason == f"best of 2 by {criterion}"


def test_later_of_two_equal_ones(tmp_path: Path) -> None:
    early = images({**FLAIR, "AcquisitionTime": "101500.5", "SeriesNumber": 9})
    late = images({**FLAIR, "AcquisitionTime": "102000.25", "SeriesNumber": 4})
    winner = detected(tmp_path, early, late).of_role[Role.FLAIR]
    assert winner.volume.series.series_number == 4
    assert winner.role_reason == "best of 2 by later acquisition"


def test_original_before_derived(tmp_path: Path) -> None:
    reformatted = {**FLAIR, "ImageType": ["DERIVED", "SECONDARY", "MPR"]}
    winner = detected(tmp_path, images(reformatted), images(FLAIR)).of_role[Role.FLAIR]
    assert winner.role_reason == "best of 2 by being original"
    assert winner.volume.series.attributes["ImageType"] == ("ORIGINAL", "PRIMARY", "M", "NONE")


def test_a_weak_guess_gets_no_role(tmp_path: Path) -> None:
    header = {key: value for key, value in TOF.items() if key != "SeriesDescription"}
    found = detected(tmp_path, images({**header, "SeriesDescription": "x"}))
    assert found.volumes[0].classification.label is SequenceLabel.TOF
    assert codes(found) == ["LOW_CONFIDENCE"]
