"""Private elements that say what a public one should: which they are, and how to read them.

A block of private elements is found by its private creator (PS3.5 section 7.8.1). Where an
archive has dropped the creators, the block that the vendor's scanners use is taken. Elements that
an archive has turned into VR UN are bytes, decoded by the VR that the vendor gave them.
"""

import math
import struct
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from service.adapters.element_values import UNREADABLE, element_value
from service.domain.study import FactValue

# Elements that hold the private creators of a group.
_FIRST_BLOCK, _LAST_BLOCK = 0x10, 0xFF
_BINARY_FORMATS = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "UL": "I", "US": "H"}


@dataclass(frozen=True)
class PrivateElement:
    """One private element.

    Attributes
    ----------
    key : str
        Its customary tag, ``gggg,eeee``: the name of the fact.
    creator : str
        Start of the private creator, upper case.
    vr : str
        Value representation by the vendor, for values that arrive as UN.
    """

    key: str
    creator: str
    vr: str

    @cached_property
    def customary_tag(self) -> BaseTag:
        """The tag that the vendor's scanners use."""
        group, element = self.key.split(",")
        return Tag(int(group, 16), int(element, 16))

    def tag_in(self, dataset: Dataset, creators: Mapping[int, str] | None) -> BaseTag | None:
        """Return the tag of this element in a data set, None if it is not there.

        Parameters
        ----------
        creators : mapping or None
            Private creators of its group by block, upper case; None if the data set has no
            element of the group.
        """
        if creators is None:
            return None
        customary = self.customary_tag
        for block, name in creators.items():
            tag = Tag(customary.group, block << 8 | customary.element & 0xFF)
            if name.startswith(self.creator) and tag in dataset:
                return tag
        return customary if not creators and customary in dataset else None


PRIVATE_ELEMENTS = (
    PrivateElement("0019,100A", "SIEMENS MR HEADER", "US"),  # images in a mosaic
    PrivateElement("0019,100C", "SIEMENS MR HEADER", "IS"),  # b-value
    PrivateElement("0019,100D", "SIEMENS MR HEADER", "CS"),  # diffusion directionality
    PrivateElement("0019,100E", "SIEMENS MR HEADER", "FD"),  # diffusion direction
    PrivateElement("0021,1175", "SIEMENS MR SDI", "CS"),  # image type as text
    PrivateElement("0019,1017", "GEMS_ACQU", "SS"),  # plane of the series; 256 is a localizer
    PrivateElement("0019,109C", "GEMS_ACQU", "LO"),  # pulse sequence
    PrivateElement("0019,109E", "GEMS_ACQU", "LO"),  # internal pulse sequence
    PrivateElement("0019,10BB", "GEMS_ACQU", "DS"),  # diffusion direction, frequency
    PrivateElement("0019,10BC", "GEMS_ACQU", "DS"),  # diffusion direction, phase
    PrivateElement("0019,10BD", "GEMS_ACQU", "DS"),  # diffusion direction, slice
    PrivateElement("0043,102F", "GEMS_PARM", "SS"),  # magnitude, phase, real, imaginary
    PrivateElement("0043,1039", "GEMS_PARM", "IS"),  # b-value first, with a bias of 10^9
    PrivateElement("2001,1003", "PHILIPS IMAGING DD 001", "FL"),  # b-value
    PrivateElement("2001,1004", "PHILIPS IMAGING DD 001", "CS"),  # diffusion direction as letter
    PrivateElement("2001,1020", "PHILIPS IMAGING DD 001", "LO"),  # scanning technique
    PrivateElement("2005,10B0", "PHILIPS MR IMAGING DD 001", "FL"),  # diffusion direction, RL
    PrivateElement("2005,10B1", "PHILIPS MR IMAGING DD 001", "FL"),  # diffusion direction, AP
    PrivateElement("2005,10B2", "PHILIPS MR IMAGING DD 001", "FL"),  # diffusion direction, FH
    PrivateElement("2005,1429", "PHILIPS MR IMAGING DD 005", "CS"),  # label or control of ASL
    PrivateElement("0065,1009", "IMAGE PRIVATE HEADER", "FD"),  # UIH b-value, actual
    PrivateElement("0065,100A", "IMAGE PRIVATE HEADER", "FD"),  # UIH b-value, as set
    PrivateElement("0065,1037", "IMAGE PRIVATE HEADER", "FD"),  # UIH diffusion direction
    PrivateElement("0065,102B", "IMAGE PRIVATE HEADER", "LT"),  # UIH application category
    PrivateElement("0065,102D", "IMAGE PRIVATE HEADER", "ST"),  # UIH sequence display name
    PrivateElement("0065,1050", "IMAGE PRIVATE HEADER", "DS"),  # UIH slices in a grid
)
_KNOWN_GROUPS = {known.customary_tag.group for known in PRIVATE_ELEMENTS}


def private_facts(dataset: Dataset) -> dict[str, FactValue]:
    """Return the known private elements at the top level of a data set, by customary tag."""
    creators = _creators(dataset, _KNOWN_GROUPS)
    facts = {}
    for known in PRIVATE_ELEMENTS:
        tag = known.tag_in(dataset, creators.get(known.customary_tag.group))
        value = None if tag is None else _plain(dataset, tag, known.vr)
        if value is not None:
            facts[known.key] = value
    return facts


def find_private(dataset: Dataset, wanted: PrivateElement) -> DataElement | None:
    """Return a private element, None if the data set has none."""
    group = wanted.customary_tag.group
    tag = wanted.tag_in(dataset, _creators(dataset, {group}).get(group))
    return None if tag is None else dataset[tag]


def _creators(dataset: Dataset, groups: Set[int]) -> dict[int, dict[int, str]]:
    """Return the private creators, upper case, of those groups that are there, by block."""
    found: dict[int, dict[int, str]] = {}
    for tag in dataset.keys():  # noqa: SIM118 - iterating a data set reads its values
        group, element = tag >> 16, tag & 0xFFFF
        if group not in groups:
            continue
        blocks = found.setdefault(group, {})
        if _FIRST_BLOCK <= element <= _LAST_BLOCK:
            creator = _plain(dataset, tag, "LO")
            if creator:
                blocks[element] = str(creator).upper()
    return found


def _plain(dataset: Dataset, tag: BaseTag, vr: str) -> FactValue | None:
    try:
        _, value = element_value(dataset, tag)
    except UNREADABLE:
        return None
    return plain_value(decode_unknown(value, vr) if isinstance(value, bytes) else value)


def decode_unknown(value: bytes, vr: str) -> object:
    """Return the value of an element of VR UN, which is always little endian (PS3.5 6.2.2).

    Returns
    -------
    object
        A number, a string, a list of one of them, or None if the bytes do not fit the VR.
    """
    if vr in _BINARY_FORMATS:
        form = _BINARY_FORMATS[vr]
        if not value or len(value) % struct.calcsize(form):
            return None
        numbers = [number for (number,) in struct.iter_unpack(f"<{form}", value)]
        return numbers if len(numbers) > 1 else numbers[0]
    texts = value.decode("ascii", "replace").strip("\0 ").split("\\")
    if vr not in ("DS", "IS"):
        return texts if len(texts) > 1 else texts[0]
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return None
    return numbers if len(numbers) > 1 else numbers[0]


def plain_value(value: object) -> FactValue | None:
    """Return a DICOM value as plain Python, None if it is empty or of no use as a fact."""
    if isinstance(value, str):
        return str(value).strip("\0 ") or None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return _plain_tuple(list(value))
    return None


def _plain_tuple(items: list[object]) -> FactValue | None:
    if not items:
        return None
    numbers = tuple(float(item) for item in items if isinstance(item, int | float))
    if len(numbers) == len(items):
        return numbers if all(map(math.isfinite, numbers)) else None
    return tuple(str(item).strip("\0 ") for item in items)
