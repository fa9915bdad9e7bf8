"""What the rules of sequence detection look at: traits of a volume and of its series."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from service.domain.study import PlaneFacts, SeriesFacts, VolumeFacts
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
from service.stages.split_series import ORIENTATION_TOLERANCE

# A trait is a number, a word, words, or absent.
Trait = float | str | tuple[str, ...]
Traits = Mapping[str, Trait]

# A series counts as diffusion-weighted from this b-value on (s/mm2).
DIFFUSION_LIMIT = 200.0
TWO_ECHOES = 2

# ImageComments are left out: people write about patients there.
_FREE_TEXT = ("SeriesDescription", "DerivationDescription")
_CODED = ("SequenceVariant", "ScanOptions")
_WORDS = ("AcquisitionContrast", "MRAcquisitionType", "AngioFlag", "DiffusionAnisotropyType")
_NUMBERS = {
    "RepetitionTime": ("RepetitionTime",),
    "EchoTime": ("EchoTime", "EffectiveEchoTime"),
    "InversionTime": ("InversionTime", "InversionTimes"),
    "FlipAngle": ("FlipAngle",),
}
_GRADIENT_ECHO_NAMES = re.compile(
    r"\b(fl|fm|tfl|fid|epfid\w*|fi|ffe|tfe|gre|spgr|fspgr)(?=[\d_ ]|$)"
)
_SPIN_ECHO_NAMES = re.compile(r"\b(se|tse|spc|spcir|tir|tirm|fse|frfse|epse\w*|dwise)(?=[\d_ ]|$)")


def series_traits(series: SeriesFacts, volumes: Sequence[VolumeFacts]) -> dict[str, Trait]:
    """Return what the volumes of a series have in common, computed once for all of them.

    Parameters
    ----------
    series : SeriesFacts
        With at least one plane.
    volumes : sequence of VolumeFacts
        All volumes of the series.
    """
    b_values = (b_value(plane) for plane in series.planes)
    types = (token for plane in series.planes for token in image_type(plane))
    traits: dict[str, Trait] = {
        "SeriesImageType": tuple(dict.fromkeys(types)),
        "Orientations": float(len({volume.split.get("orientation") for volume in volumes})),
        "StrongestBValue": max((value for value in b_values if value is not None), default=0.0),
    }
    times = {number(plane, "EchoTime", "EffectiveEchoTime") for plane in series.planes}
    echoes = sorted(time for time in times if time is not None)
    if echoes:
        traits["LongestEchoTime"] = echoes[-1]
    if len(echoes) == TWO_ECHOES:
        traits["EchoStep"] = echoes[1] - echoes[0]
    return traits


def volume_traits(volume: VolumeFacts, of_series: Traits) -> dict[str, Trait]:
    """Return the traits of one volume.

    Parameters
    ----------
    volume : VolumeFacts
        With at least one plane; its planes agree in what is read here.
    of_series : mapping
        The traits of its series.

    Returns
    -------
    dict
        By DICOM keyword where the trait is one, by a name in CamelCase where it is computed.
        Traits that nothing is known about are absent.
    """
    plane = volume.planes[0]
    traits: dict[str, Trait | None] = {
        **of_series,
        "ImageType": image_type(plane),
        "Text": _free_text(plane),
        "SequenceName": sequence_name(plane),
        "AslLabel": _word(plane, "ASLContext") or _word(plane, "ASLTechniqueDescription"),
        "Component": component(plane).value,
        "EchoPlanar": "YES" if is_echo_planar(plane) else "NO",
        "Excitation": _excitation(plane),
        "Weighting": _weighting(plane, of_series["StrongestBValue"]),
        "Direction": direction(plane).value,
        "Rotating": "YES" if _is_rotating(volume) else "NO",
    }
    coded = {name: tokens_of(plane.attributes.get(name)) for name in _CODED}
    words = {name: _word(plane, name) for name in _WORDS}
    numbers = {name: number(plane, *keywords) for name, keywords in _NUMBERS.items()}
    known = {**traits, **coded, **words, **numbers}
    return {name: value for name, value in known.items() if value is not None and value != ()}


def _free_text(plane: PlaneFacts) -> str:
    """Return what people called the series.

    At GE the protocol is that of the whole examination, and says nothing about one series.
    """
    is_ge = str(plane.attributes.get("Manufacturer", "")).upper().startswith("GE ")
    keywords = _FREE_TEXT if is_ge else (*_FREE_TEXT, "ProtocolName")
    return folded_words(plane.attributes.get(keyword) for keyword in keywords)


def _word(plane: PlaneFacts, keyword: str) -> str | None:
    value = plane.attributes.get(keyword)
    return None if value is None else str(value).strip().upper()


def _excitation(plane: PlaneFacts) -> str:
    """Return GR or SE, gradient or spin echo; UNKNOWN where neither codes nor names tell."""
    scanning = tokens_of(plane.attributes.get("ScanningSequence"))
    name = sequence_name(plane)
    if "GR" in scanning:
        return "GR"
    if "SE" in scanning:
        return "SE"
    if _GRADIENT_ECHO_NAMES.search(name):
        return "GR"
    return "SE" if _SPIN_ECHO_NAMES.search(name) else "UNKNOWN"


def _weighting(plane: PlaneFacts, strongest: Trait) -> str:
    """Return B0 or WEIGHTED, UNKNOWN for diffusion of unknown b-value, NONE without diffusion.

    Some vendors leave the b-value of b0 images out: in a series with weighted images, an image
    without one is b0.
    """
    own = b_value(plane)
    if isinstance(strongest, float) and strongest >= DIFFUSION_LIMIT:
        return "WEIGHTED" if (own or 0.0) > B0_LIMIT else "B0"
    says_diffusion = (
        "DIFFUSION" in image_type(plane)
        or plane.attributes.get("AcquisitionContrast") == "DIFFUSION"
        or direction(plane) is not Direction.NONE
    )
    if not says_diffusion:
        return "NONE"
    return "UNKNOWN" if own is None else "B0"


def _is_rotating(volume: VolumeFacts) -> bool:
    """Whether the planes of one volume have different orientations."""
    cosines = np.array([p.orientation for p in volume.planes if p.orientation is not None])
    return bool(len(cosines) > 0 and np.ptp(cosines, axis=0).max() > ORIENTATION_TOLERANCE)
