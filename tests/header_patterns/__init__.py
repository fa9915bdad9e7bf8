"""Header patterns of real and documented series, as a table: what a scanner writes, what it is.

Each ``[[pattern]]`` of the TOML files has a ``name``, the right ``label``, the ``source`` of the
facts, a ``basis`` (how directly they were seen: in the ``sidecar`` of a converted series, in an
``issue``, in a ``document``, or ``composed`` of documented names and usual times), a ``header`` of
DICOM keywords and, where known, ``private`` elements by their customary tags.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VM
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import LegacyConvertedEnhancedMRImageStorage

from service.adapters.private_elements import PRIVATE_ELEMENTS
from service.domain.geometry import Geometry
from service.domain.sequence import SequenceLabel
from service.domain.volume import Volume
from tests.strategies import enhanced_mr, mr_series, uid

AXIAL = [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
NAMES = ("SeriesDescription", "ProtocolName", "Manufacturer", "MagneticFieldStrength")
SLICES = 24
LOCALIZER_SLICES = 3
_CREATORS = {
    "SIEMENS MR HEADER": "SIEMENS MR HEADER",
    "SIEMENS MR SDI": "SIEMENS MR SDI 02",
    "GEMS_ACQU": "GEMS_ACQU_01",
    "GEMS_PARM": "GEMS_PARM_01",
    "PHILIPS IMAGING DD 001": "Philips Imaging DD 001",
    "PHILIPS MR IMAGING DD 001": "Philips MR Imaging DD 001",
    "PHILIPS MR IMAGING DD 005": "Philips MR Imaging DD 005",
    "IMAGE PRIVATE HEADER": "Image Private Header",
}
Value = str | int | float | list[str] | list[float]


@dataclass(frozen=True, eq=False)
class Pattern:
    """One header pattern and the right label."""

    name: str
    label: SequenceLabel
    source: str
    basis: str
    header: Mapping[str, Value]
    private: Mapping[str, Value] = field(default_factory=dict)

    @property
    def is_mr(self) -> bool:
        """Whether it is of an MR image, whatever its label."""
        return "SOPClassUID" not in self.header and self.header.get("Modality", "MR") == "MR"

    def volume(self) -> Volume:
        """Return an empty volume with the slice distance of the header."""
        gap = self.header.get("SpacingBetweenSlices") or self.header.get("SliceThickness") or 3.0
        assert isinstance(gap, int | float)
        is_localizer = self.label is SequenceLabel.LOCALIZER
        shape = (LOCALIZER_SLICES if is_localizer else SLICES, 2, 2)
        grid = Geometry.from_components(
            origin=(0, 0, 0), axes=AXIAL, spacing=(gap, 1, 1), shape=shape
        )
        return Volume(np.zeros(shape), grid)

    def legacy_converted(self) -> Dataset:
        """Return the series as one Legacy Converted Enhanced MR instance (PS3.3 A.70).

        What the enhanced form has no place for stands in the unassigned converted attributes.
        """
        image_type = self.header.get("ImageType", ["ORIGINAL", "PRIMARY", "OTHER", "NONE"])
        attributes: dict[str, Any] = {"ImageType": image_type}
        attributes |= {key: self.header[key] for key in NAMES if key in self.header}
        instance = enhanced_mr(self.volume(), **attributes)
        instance.SOPClassUID = LegacyConvertedEnhancedMRImageStorage
        instance.file_meta.MediaStorageSOPClassUID = LegacyConvertedEnhancedMRImageStorage
        converted = Dataset()
        self._write(converted, unknown_vr=False)
        instance.SharedFunctionalGroupsSequence[0].UnassignedSharedConvertedAttributesSequence = [
            converted
        ]
        return instance

    def instances(self, *, unknown_vr: bool = False) -> list[Dataset]:
        """Return a series with this header.

        Parameters
        ----------
        unknown_vr : bool
            Write private elements as UN, as some archives return them.
        """
        series = mr_series(self.volume())
        for index, instance in enumerate(series):
            # Scanners write what the standard does not allow, such as lower case codes.
            with disable_value_validation():
                self._write(instance, unknown_vr)
            instance.SeriesInstanceUID = uid(self.name)
            instance.SOPInstanceUID = uid(self.name, index)
            instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
        return series

    def _write(self, instance: Dataset, unknown_vr: bool) -> None:
        # What the series of the tests has by itself must not help.
        for keyword in ("ImageType", "Manufacturer", "SeriesDescription", "ScanningSequence"):
            if keyword in instance:
                delattr(instance, keyword)
        for keyword, value in self.header.items():
            several = isinstance(value, list) and dictionary_VM(keyword) == "1"
            setattr(instance, keyword, value[0] if several and isinstance(value, list) else value)
        for key, value in self.private.items():
            _add_private(instance, key, value, unknown_vr)


def _add_private(instance: Dataset, key: str, value: Value, unknown_vr: bool) -> None:
    known = next(each for each in PRIVATE_ELEMENTS if each.key == key)
    tag = known.customary_tag
    instance.add_new(Tag(tag.group, tag.element >> 8), "LO", _CREATORS[known.creator])
    if not unknown_vr:
        instance.add_new(tag, known.vr, value)
        return
    texts = [str(each) for each in (value if isinstance(value, list) else [value])]
    content = "\\".join(texts).encode()
    if known.vr in ("US", "SS", "FD", "FL"):
        kind = {"US": "<u2", "SS": "<i2", "FD": "<f8", "FL": "<f4"}[known.vr]
        content = np.asarray(value, kind).tobytes()
    instance.add_new(tag, "UN", content + b" " * (len(content) % 2))


@cache
def read_patterns() -> tuple[Pattern, ...]:
    """Return all patterns of the table."""
    tables = [
        entry
        for path in sorted(Path(__file__).parent.glob("*.toml"))
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["pattern"]
    ]
    return tuple(Pattern(**{**table, "label": SequenceLabel(table["label"])}) for table in tables)
