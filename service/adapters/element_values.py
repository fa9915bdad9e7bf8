"""Values of data elements, each distinct one decoded once.

Instances of a series repeat most of their header word for word, and decoding it is most of the
time that reading headers takes.
"""

from functools import lru_cache

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.tag import BaseTag

# Representations that mean the same in every data set, apart from its character set.
_PLAIN_VRS = frozenset(
    "AE AS CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US UT".split()  # noqa: SIM905 - reads as in the standard
)
# What decoding raises where the bytes are not what their representation promises.
UNREADABLE = (ValueError, TypeError, OverflowError, BytesLengthException)
_CACHED_BYTES = 256
_CACHED_VALUES = 16_384


def element_value(dataset: Dataset, tag: BaseTag) -> tuple[str, object]:
    """Return the value representation and the value of an element that the data set has.

    Raises
    ------
    ValueError, TypeError, OverflowError, BytesLengthException
        If the bytes are not what the representation promises.
    """
    raw: object = dataset.get_item(tag)
    if isinstance(raw, RawDataElement) and raw.value is not None:
        vr = raw.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN")
        if vr in _PLAIN_VRS and len(raw.value) <= _CACHED_BYTES:
            return _decoded(raw._replace(VR=vr, value_tell=0), _encoding(dataset))
    element = dataset[tag]
    return element.VR, element.value


def _encoding(dataset: Dataset) -> tuple[str, ...]:
    names = dataset.original_character_set or "iso8859"
    return (names,) if isinstance(names, str) else tuple(names)


@lru_cache(maxsize=_CACHED_VALUES)
def _decoded(raw: RawDataElement, encoding: tuple[str, ...]) -> tuple[str, object]:
    element = convert_raw_data_element(raw, encoding=list(encoding))
    return element.VR, element.value
