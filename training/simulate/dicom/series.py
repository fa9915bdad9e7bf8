"""The series of a study: which images share one, how it is called, when it was acquired."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from training.simulate.dicom.maker import Maker, Row
from training.simulate.exported import Exported, Image

# Minutes after the start of the study; images of one acquisition have one time.
_MINUTE: dict[Image, int] = {
    Image.LOCALIZER: 1,
    Image.B0: 3,
    Image.TRACE: 3,
    Image.ADC: 3,
    Image.SWI: 6,
    Image.SWI_PHASE: 6,
    Image.T2STAR: 6,
    Image.T2STAR_PHASE: 6,
    Image.FLAIR: 12,
    Image.TOF: 17,
}


@dataclass(frozen=True, eq=False)
class Part:
    """One volume of a series with the headers of its maker."""

    exported: Exported
    row: Row
    sequence: str


@dataclass(frozen=True, eq=False)
class Series:
    """One series.

    Attributes
    ----------
    time : str
        HHMMSS of the acquisition.
    """

    number: int
    description: str
    protocol: str
    time: str
    parts: tuple[Part, ...]


def arranged(images: Sequence[Exported], maker: Maker) -> list[Series]:
    """Group images into series, by number."""
    groups: dict[int, list[Exported]] = defaultdict(list)
    for each in images:
        groups[maker.rows[each.image].series].append(each)
    series = []
    for number, members in sorted(groups.items()):
        row = maker.rows[members[0].image]
        description = row.filled(row.name, members[0].technique)
        parts = []
        for each in members:
            own = maker.rows[each.image]
            parts.append(Part(each, own, own.filled(own.sequence, each.technique)))
        time = f"08{_MINUTE[members[0].image]:02d}00"
        protocol = row.protocol.format(name=description)
        series.append(Series(number, description, protocol, time, tuple(parts)))
    return series
