"""The CSA header of Siemens V-series scanners: named values inside one private element.

It says what the newer private elements of group 0019 say too; files that went through other
software often have lost one and kept the other.
"""

import struct
from collections.abc import Mapping

from pydicom.dataset import Dataset

from service.adapters.private_elements import PrivateElement, find_private
from service.domain.study import FactValue

_IMAGE_HEADER = PrivateElement("0029,1010", "SIEMENS CSA HEADER", "OB")
_SIGNATURE = b"SV10"
_DIRECTION_LENGTH = 3


def image_header(dataset: Dataset) -> bytes:
    """Return the CSA image header, empty where there is none."""
    header = find_private(dataset, _IMAGE_HEADER)
    return header.value if header is not None and isinstance(header.value, bytes) else b""


def csa_diffusion_facts(dataset: Dataset, facts: Mapping[str, FactValue]) -> dict[str, FactValue]:
    """Return what the CSA header says about diffusion, where group 0019 does not say it.

    Parameters
    ----------
    dataset : Dataset
        A classic image.
    facts : mapping
        Its known elements; where the b-value is among them, nothing is read.

    Returns
    -------
    dict
        By the customary tags of the elements of group 0019 that mean the same.
    """
    if "0019,100C" in facts or "EP" not in str(facts.get("ScanningSequence", "")):
        return {}
    header = image_header(dataset)
    found: dict[str, FactValue] = {}
    try:
        for value in csa_values(header, "B_value")[:1]:
            found["0019,100C"] = float(value)
        vector = tuple(float(value) for value in csa_values(header, "DiffusionGradientDirection"))
    except ValueError:
        return found
    if len(vector) == _DIRECTION_LENGTH:
        found["0019,100E"] = vector
    for word in csa_values(header, "DiffusionDirectionality")[:1]:
        found["0019,100D"] = word
    return found


def csa_values(header: bytes, name: str) -> list[str]:
    """Return the values of one element of a Siemens CSA header of the second kind.

    Parameters
    ----------
    header : bytes
        Value of (0029,1010) or (0029,1020). Layout: ``SV10``, four bytes, number of elements,
        77; then for each a name of 64 bytes, five 32-bit numbers of which the fourth counts the
        values, and each value as four 32-bit numbers (the second is its length) and text padded
        to four bytes.
    name : str
        Name of the element.

    Returns
    -------
    list of str
        Values that are not empty; none if the element or the header is not there.
    """
    if not header.startswith(_SIGNATURE):
        return []
    try:
        return _csa_values(header, name)
    except struct.error:  # the header ends before its elements do
        return []


def _csa_values(header: bytes, name: str) -> list[str]:
    (elements,) = struct.unpack_from("<I", header, 8)
    offset = 16
    for _ in range(elements):
        found = header[offset : offset + 64].split(b"\0", 1)[0].decode("latin-1")
        (count,) = struct.unpack_from("<I", header, offset + 76)
        offset += 84
        values = []
        for _ in range(count):
            (length,) = struct.unpack_from("<I", header, offset + 4)
            offset += 16
            values.append(header[offset : offset + length].split(b"\0", 1)[0].decode("latin-1"))
            offset += (length + 3) // 4 * 4
        if found == name:
            return [value.strip() for value in values if value.strip()]
    return []
