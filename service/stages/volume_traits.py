"""What the rules of sequence detection look at: traits of a volume and of its series."""

import re
from collections.abc import Mapping, Sequence

from service.domain.study import FactValue, PlaneFacts, SeriesFacts, VolumeFacts
from service.stages.plane_traits import (
    B0_LIMIT,
    Direction,
    b_value,
    component,
    direction,
    folded_words,
    image_type,
    is_echo_planar,
    number,
    sequence_name,
    tokens_of,
)

# A trait is a number, a word, words, or absent.
Trait = float | str | tuple[str, ...]
Traits = Mapping[str, Trait]

# A series counts as diffusion-weighted from this b-value on (s/mm2).
DIFFUSION_LIMIT = 200.0

# ImageComments are left out: people write about patients there.
_FREE_TEXT = ("SeriesDescription", "ProtocolName", "DerivationDescription")
_NUMBERS = {
    "RepetitionTime": ("RepetitionTime",),
    "EchoTime": ("EchoTime", "EffectiveEchoTime"),
    "InversionTime": ("InversionTime", "InversionTimes"),
    "FlipAngle": ("FlipAngle",),
    "EchoTrainLength": ("EchoTrainLength",),
    "MagneticFieldStrength": ("MagneticFieldStrength",),
}
_GRADIENT_ECHO_NAMES = re.compile(
    r"\b(fl|fm|tfl|fid|epfid\w*|fi|ffe|tfe|gre|spgr|fspgr)(?=[\d_ ]|$)"
)
_SPIN_ECHO_NAMES = re.compile(r"\b(se|tse|spc|spcir|tir|tirm|fse|frfse|epse\w*|dwise)(?=[\d_ ]|$)")


def volume_traits(
    volume: VolumeFacts, plane: PlaneFacts, of_series: Sequence[VolumeFacts]
) -> dict[str, Trait]:
    """Return the traits of one volume.

    Parameters
    ----------
    volume : VolumeFacts
        With at least one plane.
    plane : PlaneFacts
        One of its planes; they agree in what is read here.
    of_series : sequence of VolumeFacts
        All volumes of its series.

    Returns
    -------
    dict
        By DICOM keyword where the trait is one, by a name in CamelCase where it is computed.
        Traits that nothing is known about are absent.
    """
    traits: dict[str, Trait | None] = {
        "ImageType": image_type(plane),
        "SeriesImageType": _series_image_type(volume.series),
        "Text": folded_words(plane.attributes.get(keyword) for keyword in _FREE_TEXT),
        "SequenceName": sequence_name(plane),
        "SequenceVariant": tokens_of(plane.attributes.get("SequenceVariant")),
        "ScanOptions": tokens_of(plane.attributes.get("ScanOptions")),
        "AcquisitionContrast": _word(plane.attributes.get("AcquisitionContrast")),
        "MRAcquisitionType": _word(plane.attributes.get("MRAcquisitionType")),
        "AngioFlag": _word(plane.attributes.get("AngioFlag")),
        "AslLabel": _word(
            plane.attributes.get("ASLContext") or plane.attributes.get("ASLTechniqueDescription")
        ),
        "DiffusionAnisotropyType": _word(plane.attributes.get("DiffusionAnisotropyType")),
        "Component": component(plane).value,
        "EchoPlanar": "YES" if is_echo_planar(plane) else "NO",
        "Excitation": _excitation(plane),
        "Weighting": _weighting(plane, volume.series),
        "Direction": direction(plane).value,
        "Orientations": float(len({each.split.get("orientation") for each in of_series})),
        "Rotating": _rotating(volume),
    }
    numbers = {name: number(plane, *keywords) for name, keywords in _NUMBERS.items()}
    known = {**traits, **numbers, **_echoes(volume.series)}
    return {name: value for name, value in known.items() if value is not None and value != ()}


def _word(value: FactValue | None) -> str | None:
    return str(value).strip().upper() if value is not None else None


def _series_image_type(series: SeriesFacts) -> tuple[str, ...]:
    return tuple(dict.fromkeys(token for plane in series.planes for token in image_type(plane)))


def _excitation(plane: PlaneFacts) -> str | None:
    """Return GR or SE: gradient or spin echo."""
    scanning = tokens_of(plane.attributes.get("ScanningSequence"))
    if "GR" in scanning:
        return "GR"
    if "SE" in scanning:
        return "SE"
    name = sequence_name(plane)
    if _GRADIENT_ECHO_NAMES.search(name):
        return "GR"
    return "SE" if _SPIN_ECHO_NAMES.search(name) else None


def _weighting(plane: PlaneFacts, series: SeriesFacts) -> str:
    """Return B0 or WEIGHTED, UNKNOWN for diffusion of unknown b-value, NONE without diffusion.

    Some vendors leave the b-value of b0 images out: in a series with weighted images, an image
    without one is b0.
    """
    weightings = [b_value(each) for each in series.planes]
    strongest = max((each for each in weightings if each is not None), default=0.0)
    own = b_value(plane)
    if strongest >= DIFFUSION_LIMIT:
        return "WEIGHTED" if (own or 0.0) > B0_LIMIT else "B0"
    says_diffusion = (
        "DIFFUSION" in image_type(plane)
        or plane.attributes.get("AcquisitionContrast") == "DIFFUSION"
        or direction(plane) is not Direction.NONE
    )
    if not says_diffusion:
        return "NONE"
    return "UNKNOWN" if own is None else "B0"


def _echoes(series: SeriesFacts) -> dict[str, Trait | None]:
    """Return how many echo times the series has, the longest, and the step of two (ms)."""
    times = {number(plane, "EchoTime", "EffectiveEchoTime") for plane in series.planes}
    echoes = sorted(time for time in times if time is not None)
    return {
        "EchoCount": float(len(echoes)),
        "LongestEchoTime": echoes[-1] if echoes else None,
        "EchoStep": echoes[1] - echoes[0] if len(echoes) == 2 else None,
    }


def _rotating(volume: VolumeFacts) -> str | None:
    """Return YES if the planes of one volume have different orientations."""
    cosines = {plane.orientation for plane in volume.planes if plane.orientation is not None}
    spread = max(
        (abs(a - b) for one in cosines for a, b in zip(one, next(iter(cosines)), strict=True)),
        default=0.0,
    )
    return "YES" if spread > 0.01 else None
