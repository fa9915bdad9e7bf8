"""Private elements and mosaics: what vendors write that the standard does not say."""

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from service.adapters.private_elements import decode_unknown, plain_value
from tests.strategies import mr_series, write_instances
from tests.unit.test_study_files import only_planes, volume


def private(group: int, block: int, creator: str, element: int, vr: str, value: object) -> Dataset:
    """One private element in this block, with its creator."""
    dataset = Dataset()
    dataset.add_new((group, block), "LO", creator)
    dataset.add_new((group, block << 8 | element), vr, value)
    return dataset


@pytest.mark.parametrize(
    ("elements", "key", "value"),
    [
        (private(0x19, 0x10, "SIEMENS MR HEADER", 0x0C, "IS", "1000"), "0019,100C", 1000),
        (private(0x19, 0x10, "SIEMENS MR HEADER", 0x0C, "UN", b"1000"), "0019,100C", 1000.0),
        (private(0x19, 0x12, "SIEMENS MR HEADER", 0x0C, "IS", "500"), "0019,100C", 500),
        (
            private(0x43, 0x10, "GEMS_PARM_01", 0x39, "UN", b"1000001000\\8\\0\\0 "),
            "0043,1039",
            (1000001000.0, 8.0, 0.0, 0.0),
        ),
        (
            private(0x2001, 0x10, "Philips Imaging DD 001", 0x03, "UN", struct.pack("<f", 1000)),
            "2001,1003",
            1000.0,
        ),
        (
            private(0x65, 0x10, "Image Private Header", 0x37, "FD", [0.0, 0.6, 0.8]),
            "0065,1037",
            (0.0, 0.6, 0.8),
        ),
    ],
)
def test_private_elements_are_found_by_creator_and_decoded(
    tmp_path: Path, elements: Dataset, key: str, value: object
) -> None:
    series = mr_series(volume())
    for instance in series:
        instance.update(elements)
    write_instances(series, tmp_path)
    assert only_planes(tmp_path)[0].attributes[key] == value


def test_private_elements_of_another_creator_are_not_taken(tmp_path: Path) -> None:
    series = mr_series(volume())
    for instance in series:
        instance.update(private(0x19, 0x10, "SOMEBODY ELSE", 0x0C, "IS", "1000"))
    write_instances(series, tmp_path)
    assert "0019,100C" not in only_planes(tmp_path)[0].attributes


def test_private_elements_without_any_creator_are_taken_from_their_usual_place(
    tmp_path: Path,
) -> None:
    paths = write_instances(mr_series(volume()), tmp_path)
    for path in paths:
        instance = dcmread(path)
        instance.add_new(0x0019100C, "IS", "1000")
        instance.save_as(path)
    assert only_planes(tmp_path)[0].attributes["0019,100C"] == 1000


@pytest.mark.parametrize(
    ("content", "vr", "expected"),
    [
        (b"", "FD", None),
        (b"\0\0\0", "FD", None),
        (struct.pack("<3d", 1, 2, 3), "FD", [1.0, 2.0, 3.0]),
        (struct.pack("<H", 25), "US", 25),
        (b"one\\two ", "LO", ["one", "two"]),
        (b"one", "IS", None),
    ],
)
def test_unknown_bytes_are_decoded_as_the_vendor_meant(
    content: bytes, vr: str, expected: object
) -> None:
    assert decode_unknown(content, vr) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("  ", None), ([], None), (b"x", None), (None, None), (["a", 1], ("a", "1")), (3, 3)],
)
def test_plain_values(value: object, expected: object) -> None:
    assert plain_value(value) == expected


def csa_header(name: str, values: Sequence[str]) -> bytes:
    """A Siemens CSA header of the second kind with an empty element and this one."""
    header = b"SV10\4\3\2\1" + struct.pack("<II", 2, 77)
    for element, texts in (("EchoLinePosition", []), (name, values)):
        header += element.encode().ljust(64, b"\0")
        header += struct.pack("<i4siii", 3, b"FD\0\0", 0, len(texts), 77)
        for text in texts:
            content = text.encode() + b"\0"
            header += struct.pack("<4i", len(content), len(content), 77, len(content))
            header += content.ljust((len(content) + 3) // 4 * 4, b"\0")
    return header


def mosaic(normal: Sequence[float]) -> Dataset:
    """Five slices of 4 x 4 pixels of 2 x 2 mm, 6 mm apart, in a 3 x 3 mosaic."""
    whole = volume((1, 12, 12))
    (instance,) = mr_series(
        whole,
        ImageType=["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "MOSAIC"],
        SpacingBetweenSlices=6.0,
        PixelSpacing=[2.0, 2.0],
        # Corner of a 12 x 12 image about the centre of the first slice, whose corner is (-3, -3).
        ImagePositionPatient=[-11.0, -11.0, 7.0],
    )
    instance.update(private(0x19, 0x10, "SIEMENS MR HEADER", 0x0A, "US", 5))
    header = csa_header("SliceNormalVector", [f"{part:.8f}" for part in normal])
    instance.update(private(0x29, 0x10, "SIEMENS CSA HEADER", 0x10, "OB", header))
    return instance


@pytest.mark.parametrize("sign", [1, -1])
def test_siemens_mosaic_becomes_planes(tmp_path: Path, sign: int) -> None:
    write_instances([mosaic((0, 0, sign))], tmp_path)
    planes = only_planes(tmp_path)
    assert [plane.tile for plane in planes] == [0, 1, 2, 3, 4]
    assert {(plane.rows, plane.columns) for plane in planes} == {(4, 4)}
    assert [plane.position for plane in planes] == [
        (-3.0, -3.0, 7.0 + 6.0 * sign * index) for index in range(5)
    ]


@pytest.mark.parametrize("normal", [(), (0, 0, 0.5)])
def test_mosaic_of_unknown_layout_has_no_position(tmp_path: Path, normal: Sequence[float]) -> None:
    write_instances([mosaic(normal)], tmp_path)
    (plane,) = only_planes(tmp_path)
    assert plane.position is None
    assert plane.tile is None


def test_damaged_csa_header_is_no_layout(tmp_path: Path) -> None:
    instance = mosaic((0, 0, 1))
    instance[0x00291010].value = instance[0x00291010].value[:60]
    write_instances([instance], tmp_path)
    (plane,) = only_planes(tmp_path)
    assert plane.position is None


def test_uih_mosaic_becomes_planes(tmp_path: Path) -> None:
    (instance,) = mr_series(
        volume((1, 8, 12)), ImageType=["ORIGINAL", "PRIMARY", "M", "VFRAME"], PixelSpacing=[2, 3]
    )
    del instance.ImagePositionPatient
    instance.update(private(0x65, 0x10, "Image Private Header", 0x50, "DS", "5"))
    frames = [Dataset() for _ in range(5)]
    for index, frame in enumerate(frames):
        frame.ImagePositionPatient = [1.0, 2.0, 4.0 * index]
    instance.add_new(0x00651051, "SQ", frames)
    write_instances([instance], tmp_path)
    planes = only_planes(tmp_path)
    assert [plane.tile for plane in planes] == [0, 1, 2, 3, 4]
    assert {(plane.rows, plane.columns, plane.pixel_spacing) for plane in planes} == {
        (4, 4, (2.0, 3.0))
    }
    assert planes[4].position == (1.0, 2.0, 16.0)
