"""What the rules of sequence detection look at: traits of a volume and of its series."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from service.domain.study import PlaneFacts, VolumeFacts
from service.stages.plane_traits import (
    B0_LIMIT,
    Direction,
    b_value,
    component,
    direction,
    echo_planar,
    folded_words,
    image_type,
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
GAUSS_PER_TESLA = 10_000.0

# ImageComments are left out: people write about patients there.
_FREE_TEXT = ("SeriesDescription", "DerivationDescription")
_CODED = ("SequenceVariant", "ScanOptions")
_WORDS = ("AcquisitionContrast", "MRAcquisitionType", "AngioFlag", "DiffusionAnisotropyType")
_NUMBERS = {
    "RepetitionTime": ("RepetitionTime",),
    "EchoTime": ("EchoTime", "EffectiveEchoTime"),
    "InversionTime": ("InversionTime", "InversionTimes"),
    "FlipAngle": ("FlipAngle",),
    "EchoTrainLength": ("EchoTrainLength",),
}
_GRADIENT_ECHO_NAMES = re.compile(
    r"\b(fl|fm|tfl|fi|tfi|ci|fid|epfid\w*|ffe|tfe|gre|spgr|fspgr|efgre\w*|fgre\w*|t1ffe|t1tfe"
    r"|t2ffe|feepi|swan\w*|swi|epirt|medic)(?=[\d_ ]|$)"
)
_SPIN_ECHO_NAMES = re.compile(
    r"\b(se|tse|tser|tseb|spc|spcr|spcir|spcb|tir|tirb|tirm|fse|frfse\w*|epse\w*|dwise|seepi|irtse"
    r"|cube\w*|ssfse|hast\w*|tgse\w*|propeller)(?=[\d_ -]|$)"
)

# Pulse sequences that make nothing but diffusion-weighted images.
_DIFFUSION_NAMES = re.compile(
    r"\bdwise\b|\bepi_d[wt]i|\bdwi|\bre_b\d|\bep_b\d|ep2d_diff|\bep_calc_b"
)


def series_traits(volumes: Sequence[VolumeFacts]) -> dict[str, Trait]:
    """Return what the volumes of a series have in common, computed once for all of them.

    Parameters
    ----------
    volumes : sequence of VolumeFacts
        All volumes of the series, each with planes that agree in what is read here.
    """
    planes = [volume.planes[0] for volume in volumes]
    weightings = [b_value(plane) for plane in planes]
    types = (token for plane in planes for token in image_type(plane))
    alike = Counter(
        (component(plane), weighting, number(plane, "EchoTime", "EffectiveEchoTime"))
        for plane, weighting in zip(planes, weightings, strict=True)
    )
    traits: dict[str, Trait] = {
        "SeriesImageType": tuple(dict.fromkeys(types)),
        "Orientations": float(len({volume.split.get("orientation") for volume in volumes})),
        "StrongestBValue": max((value for value in weightings if value is not None), default=0.0),
        "Repeats": float(max(alike.values())),
    }
    echoes = sorted({time for _, _, time in alike if time is not None})
    if echoes:
        traits |= {"LongestEchoTime": echoes[-1], "Echoes": float(len(echoes))}
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
        "Description": folded_words([plane.attributes.get("SeriesDescription")]),
        "SequenceName": sequence_name(plane),
        "Category": _word(plane, "0065,102B"),
        "AslLabel": _asl_label(plane),
        "Component": component(plane).value,
        "EchoPlanar": echo_planar(plane),
        "Excitation": _excitation(plane),
        "BValue": b_value(plane),
        "Weighting": _weighting(plane, of_series["StrongestBValue"]),
        "Direction": direction(plane).value,
        "SeriesPlane": number(plane, "0019,1017"),
        "Rotating": "YES" if _is_rotating(volume) else "NO",
        "Slices": float(len(volume.planes)),
        "SliceGap": _slice_gap(plane),
        "FieldEcho": _field_echo(plane),
    }
    coded = {name: tokens_of(plane.attributes.get(name)) for name in _CODED}
    words = {name: _word(plane, name) for name in _WORDS}
    numbers = {name: number(plane, *keywords) for name, keywords in _NUMBERS.items()}
    known = {**traits, **coded, **words, **numbers}
    return {name: value for name, value in known.items() if value is not None}


def _slice_gap(plane: PlaneFacts) -> float | None:
    """Return the distance of slices as a multiple of their thickness, 1 where they touch."""
    distance = number(plane, "SpacingBetweenSlices")
    thickness = number(plane, "SliceThickness")
    return abs(distance) / thickness if distance and thickness else None


def _field_echo(plane: PlaneFacts) -> float | None:
    """Return echo time times field (ms T), with which the contrast of veins and clots grows."""
    echo, field = number(plane, "EchoTime", "EffectiveEchoTime"), _field_strength(plane)
    return echo * field if echo and field else None


def _field_strength(plane: PlaneFacts) -> float | None:
    """Return the field in tesla; some headers give it in gauss."""
    field = number(plane, "MagneticFieldStrength")
    return None if field is None else field / GAUSS_PER_TESLA if field > 100 else field


def _asl_label(plane: PlaneFacts) -> str | None:
    return (
        _word(plane, "ASLContext")
        or _word(plane, "ASLTechniqueDescription")
        or _word(plane, "2005,1429")
    )


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
        bool({"DIFFUSION", "TRACEW", "CALC_BVALUE"} & set(image_type(plane)))
        or plane.attributes.get("AcquisitionContrast") == "DIFFUSION"
        or direction(plane) is not Direction.NONE
        or _DIFFUSION_NAMES.search(sequence_name(plane)) is not None
    )
    if not says_diffusion:
        return "NONE"
    return "UNKNOWN" if own is None else "B0"


def _is_rotating(volume: VolumeFacts) -> bool:
    """Whether the planes of one volume have different orientations."""
    cosines = np.array([p.orientation for p in volume.planes if p.orientation is not None])
    return bool(len(cosines) > 0 and np.ptp(cosines, axis=0).max() > ORIENTATION_TOLERANCE)
