"""What makers do differently, as data: names, image types, private elements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset

from training.simulate.exported import Exported, Image, Technique


@dataclass(frozen=True)
class Private:
    """A private element (PS3.5 7.8.1).

    Attributes
    ----------
    group, block, element : int
        The tag is (group, block element); readers expect the makers' customary blocks.
    creator : str
        Who reserves the block.
    """

    group: int
    block: int
    element: int
    creator: str
    vr: str
    value: Any

    def add_to(self, dataset: Dataset) -> None:
        """Add the element and its creator."""
        dataset.add_new((self.group, self.block), "LO", self.creator)
        dataset.add_new((self.group, (self.block << 8) + self.element), self.vr, self.value)


@dataclass(frozen=True)
class Row:
    """How a maker heads one kind of image.

    ``{b}`` and ``{d}`` in names stand for the strongest b-value and for 2 or 3 dimensions.

    Attributes
    ----------
    series : int
        SeriesNumber; images of one number share a series.
    name : str
        SeriesDescription.
    image_type : tuple of str
        ImageType of a classic image, or FrameType (PS3.3 C.8.13.3.1) of a frame.
    sequence : str
        SequenceName, or PulseSequenceName of an enhanced object.
    scanning, variant, options : tuple of str
        ScanningSequence, SequenceVariant, ScanOptions.
    protocol : str
        ProtocolName; ``{name}`` stands for the SeriesDescription.
    """

    series: int
    name: str
    image_type: tuple[str, ...]
    sequence: str
    scanning: tuple[str, ...]
    variant: tuple[str, ...]
    options: tuple[str, ...] = ()
    protocol: str = "{name}"

    def filled(self, text: str, technique: Technique) -> str:
        """Return a name with its places filled."""
        return text.format(b=f"{technique.strongest_b:.0f}", d=3 if technique.volumetric else 2)


@dataclass(frozen=True)
class Details:
    """What only one maker writes into an image, or into the private part of a frame."""

    attributes: Mapping[str, Any] = field(default_factory=dict)
    private: Sequence[Private] = ()


@dataclass(frozen=True)
class Maker:
    """Headers of one kind of scanner.

    Attributes
    ----------
    manufacturer, model : str
    software : tuple of str
        SoftwareVersions.
    rows : mapping of Image to Row
    details : callable (image, name of its sequence) -> Details
    rescale_type : str or None
        None where the maker writes no rescaling into classic images.
    """

    manufacturer: str
    model: str
    software: tuple[str, ...]
    rows: Mapping[Image, Row]
    details: Callable[[Exported, str], Details]
    rescale_type: str | None = "US"
