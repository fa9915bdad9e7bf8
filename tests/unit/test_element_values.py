"""Values of elements, cached and not, and what the Siemens CSA header says about diffusion."""

import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from service.adapters import element_values
from service.adapters.csa_header import csa_diffusion_facts, csa_values
from service.adapters.element_values import element_value
from service.adapters.study_files import StudyFolder
from service.domain.study import FactValue
from tests.strategies import mr_series, write_instances
from tests.unit.test_study_files import volume
from tests.unit.test_vendor_elements import mosaic, private


def parsed(dataset: Dataset, *, implicit: bool = False) -> Dataset:
    """The data set as a parser gives it: every value still bytes."""
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = implicit, True
    write_dataset(stream, dataset)
    read = dcmread(BytesIO(stream.getvalue()), force=True)
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    read.file_meta.TransferSyntaxUID = syntax
    return read


def a_header(description: str = "SWI") -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.3"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    dataset.SeriesDescription = description
    dataset.EchoTime = "20.5"
    dataset.EchoNumbers = 2
    dataset.Rows = 256
    dataset.add_new(0x00430010, "LO", "GEMS_PARM_01")
    dataset.add_new(0x0043102F, "SS", -1)
    return dataset


@pytest.mark.parametrize("implicit", [False, True])
def test_a_cached_value_is_the_value(implicit: bool) -> None:
    first, second = (parsed(a_header(), implicit=implicit) for _ in range(2))
    expected = parsed(a_header(), implicit=implicit)
    for tag in expected:
        known = (expected[tag.tag].VR, expected[tag.tag].value)
        assert element_value(first, tag.tag) == known
        assert element_value(second, tag.tag) == known
        # Now it is no longer bytes.
        assert first[tag.tag].value == known[1]
        assert element_value(first, tag.tag) == known


def test_a_repeated_value_is_decoded_once() -> None:
    element_values._decoded.cache_clear()
    for description in ("at", "another", "place in the file"):
        element_value(parsed(a_header(description)), Tag("EchoTime"))
    assert element_values._decoded.cache_info()[:2] == (2, 1)
    element_value(parsed(a_header()), Tag("EchoNumbers"))
    assert element_values._decoded.cache_info().misses == 2


def with_bytes(content: bytes, *character_sets: str) -> Dataset:
    dataset = Dataset()
    if character_sets:
        dataset.SpecificCharacterSet = list(character_sets)
    dataset.add_new(Tag("SeriesDescription"), "LO", content)
    return parsed(dataset)


@pytest.mark.parametrize("character_set", ["ISO_IR 100", "ISO_IR 144", "ISO_IR 192", "GB18030"])
def test_the_same_bytes_mean_what_their_character_set_says(character_set: str) -> None:
    content = "Kopf ж" if character_set == "ISO_IR 144" else "Kopf ß"
    python_name = {
        "ISO_IR 100": "latin-1",
        "ISO_IR 144": "iso8859_5",
        "ISO_IR 192": "utf-8",
        "GB18030": "gb18030",
    }[character_set]
    if character_set == "GB18030":
        content = "头部"
    raw = content.encode(python_name)
    # What others make of the same bytes must not stick.
    for other in ("ISO_IR 100", "ISO_IR 126"):
        element_value(with_bytes(raw, other), Tag("SeriesDescription"))
    for _ in range(2):
        dataset = with_bytes(raw, character_set)
        assert element_value(dataset, Tag("SeriesDescription")) == ("LO", content)


@pytest.mark.filterwarnings("ignore:Found unknown escape sequence")
def test_several_character_sets_are_one_key() -> None:
    raw = "頭部".encode("iso2022_jp")
    for _ in range(2):
        japanese = with_bytes(raw, "", "ISO 2022 IR 87")
        assert element_value(japanese, Tag("SeriesDescription")) == ("LO", "頭部")
        assert element_value(with_bytes(raw), Tag("SeriesDescription"))[1] != "頭部"


def test_the_same_bytes_in_another_element_are_another_value() -> None:
    dataset = Dataset()
    dataset.EchoTime = "20"
    dataset.ProtocolName = "20"
    dataset.EchoNumbers = "20"
    read = parsed(dataset)
    assert element_value(read, Tag("EchoTime")) == ("DS", 20.0)
    assert element_value(read, Tag("ProtocolName")) == ("LO", "20")
    assert element_value(read, Tag("EchoNumbers")) == ("IS", 20)


@pytest.mark.parametrize(("length", "cached"), [(256, True), (258, False)])
def test_long_values_are_read_but_not_kept(length: int, cached: bool) -> None:
    element_values._decoded.cache_clear()
    dataset = Dataset()
    dataset.ImageComments = "x" * length
    assert element_value(parsed(dataset), Tag("ImageComments")) == ("LT", "x" * length)
    assert element_values._decoded.cache_info().currsize == int(cached)


@pytest.mark.parametrize("length", [4, 300])
def test_bytes_that_do_not_fit_are_an_error_each_time(length: int) -> None:
    start = struct.pack("<HHI", 0x18, 0x9087, length)
    for _ in range(2):
        read = dcmread(BytesIO(start + b"\1" * length), force=True)
        with pytest.raises(BytesLengthException):
            element_value(read, Tag("DiffusionBValue"))


CsaElements = Mapping[str, Sequence[str]]
DIFFUSION: CsaElements = {
    "EchoLinePosition": [],
    "B_value": ["1000"],
    "DiffusionDirectionality": ["DIRECTIONAL"],
    "DiffusionGradientDirection": ["0.60000000", "-0.80000000", "0.00000000"],
}


def csa_header(elements: CsaElements) -> bytes:
    """A Siemens CSA header of the second kind; the first value is followed by empty ones."""
    header = b"SV10\4\3\2\1" + struct.pack("<II", len(elements), 77)
    for name, texts in elements.items():
        header += name.encode().ljust(64, b"\0")
        header += struct.pack("<i4siii", 1, b"IS\0\0", 0, 6, 77)
        for text in [*texts, *[""] * (6 - len(texts))]:
            content = text.encode() + b"\0" if text else b""
            header += struct.pack("<4i", len(content), len(content), 77, len(content))
            header += content.ljust((len(content) + 3) // 4 * 4, b"\0")
    return header


def siemens(header: bytes, vr: str = "OB") -> Dataset:
    return private(0x29, 0x10, "SIEMENS CSA HEADER", 0x10, vr, header)


EPI: dict[str, FactValue] = {"ScanningSequence": "EP"}
SAID = {
    "0019,100C": 1000.0,
    "0019,100D": "DIRECTIONAL",
    "0019,100E": (0.6, -0.8, 0.0),
}


@pytest.mark.parametrize("vr", ["OB", "UN"])
def test_the_csa_header_says_what_group_0019_would(vr: str) -> None:
    assert csa_diffusion_facts(siemens(csa_header(DIFFUSION), vr), EPI) == SAID


@pytest.mark.parametrize(
    ("elements", "left"),
    [
        ({}, {}),
        ({"B_value": []}, {}),
        ({"B_value": ["0"]}, {"0019,100C": 0.0}),
        ({"B_value": ["much"]}, {}),
        ({"B_value": ["500"], "DiffusionGradientDirection": ["x"]}, {"0019,100C": 500.0}),
        ({"B_value": ["500"], "DiffusionGradientDirection": ["1", "0"]}, {"0019,100C": 500.0}),
        ({"DiffusionDirectionality": ["ISOTROPIC"]}, {"0019,100D": "ISOTROPIC"}),
    ],
)
def test_what_the_csa_header_does_not_say_is_absent(
    elements: CsaElements, left: dict[str, FactValue]
) -> None:
    assert csa_diffusion_facts(siemens(csa_header(elements)), EPI) == left


@pytest.mark.parametrize(
    "known",
    [
        {"ScanningSequence": "EP", "0019,100C": 500},
        {"ScanningSequence": "GR"},
        {"ScanningSequence": ("SE", "IR")},
        {},
    ],
)
def test_the_csa_header_is_not_asked_where_it_is_not_needed(known: dict[str, FactValue]) -> None:
    assert csa_diffusion_facts(siemens(csa_header(DIFFUSION)), known) == {}


def test_another_creator_or_kind_of_header_says_nothing() -> None:
    whole = csa_header(DIFFUSION)
    other = private(0x29, 0x10, "SOMEBODY ELSE", 0x10, "OB", whole)
    for dataset in (Dataset(), other, siemens(whole[8:]), siemens(b""), siemens(b"SV10")):
        assert csa_diffusion_facts(dataset, EPI) == {}


def test_a_header_that_ends_early_says_what_comes_before() -> None:
    whole = csa_header(DIFFUSION)
    end = whole.index(b"DiffusionDirectionality")
    assert csa_diffusion_facts(siemens(whole[: end + 20]), EPI) == {"0019,100C": 1000.0}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("length", [-16, -1, -(2**31), 2**31 - 1])
@pytest.mark.parametrize("count", [2**31 - 1, -1])
def test_lengths_that_lead_nowhere_end_the_reading(length: int, count: int) -> None:
    header = b"SV10\4\3\2\1" + struct.pack("<II", 2**32 - 1, 77)
    header += b"Other".ljust(64, b"\0") + struct.pack("<i4siii", 1, b"IS\0\0", 0, count, 77)
    header += struct.pack("<4i", length, length, 77, length) * 8
    assert csa_values(header, "B_value") == []


@pytest.mark.parametrize("own", [None, 500])
def test_planes_have_the_b_value_of_either_place(tmp_path: Path, own: int | None) -> None:
    series = mr_series(volume(), ScanningSequence="EP")
    for instance in series:
        instance.update(siemens(csa_header(DIFFUSION)))
        if own is not None:
            instance.update(private(0x19, 0x10, "SIEMENS MR HEADER", 0x0C, "IS", own))
    write_instances(series, tmp_path)
    (facts,) = StudyFolder.read(tmp_path, max_slices=10).facts.series
    expected = SAID if own is None else {"0019,100C": own}
    for plane in facts.planes:
        found = {key: value for key, value in plane.attributes.items() if key.startswith("0019")}
        assert found == expected


def test_tiles_of_a_mosaic_have_the_b_value_of_its_csa_header(tmp_path: Path) -> None:
    instance = mosaic((0, 0, 1))
    instance.ScanningSequence = "EP"
    normal = {"SliceNormalVector": ["0.0", "0.0", "1.0"]}
    instance[0x00291010].value = csa_header({**DIFFUSION, **normal})
    write_instances([instance], tmp_path)
    (facts,) = StudyFolder.read(tmp_path, max_slices=10).facts.series
    assert [plane.attributes["0019,100C"] for plane in facts.planes] == [1000.0] * 5
