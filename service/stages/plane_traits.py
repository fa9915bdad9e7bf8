"""What one image plane is, read from wherever its vendor wrote it.

Sources of the vendor facts: the public notes and issues of dcm2niix, checked on real series; each
table names the vendor. Standard attributes come first, private ones after.
"""

import math
import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum

from service.domain.study import FactValue, PlaneFacts

# b-values up to this count as b0: scanners apply small ones for imaging gradients (s/mm2).
B0_LIMIT = 50.0
# Shortest train of gradient echoes, and smallest flip angle, of an echo-planar image.
EPI_TRAIN = 15.0
EPI_FLIP_ANGLE = 40.0

_DIRECTION_KEYS = ("DiffusionGradientOrientation", "0019,100E", "0065,1037")
_DIRECTION_PARTS = (
    ("0019,10BB", "0019,10BC", "0019,10BD"),  # GE: frequency, phase, slice
    ("2005,10B0", "2005,10B1", "2005,10B2"),  # Philips: RL, AP, FH
)
_B_VALUE_KEYS = ("DiffusionBValue", "0019,100C", "2001,1003", "0065,100A", "0065,1009")
_GE_B_VALUE_KEY = "0043,1039"
# GE adds this to b-values to mark how they were set.
_GE_B_VALUE_BIAS = 1_000_000_000
_GE_COMPONENT_KEY = "0043,102F"
_TOKEN_KEYS = ("2005,140F", "0021,1175")
# Siemens names maps after two b-values, such as `ep_b0_1000`: they have none.
_B_IN_NAME = re.compile(r"_b(\d+)(?![\d_])")
_B_IN_COMMENT = re.compile(r"\bb=(\d+)", re.IGNORECASE)
_DIFFUSION_WORD = re.compile(r"dwi|\bdw\b|diff|difu|\bdti|trac|isotrop")
_B_IN_DESCRIPTION = re.compile(r"\bb ?=? ?(\d{1,4})\b|\b(\d{3,4}) ?b\b")
# Siemens appends `t` to the name of a trace, `#n` to that of a direction.
_TRACE_NAME = re.compile(r"_b\d+t")
_DIRECTION_NAME = re.compile(r"_b\d+#\d")
_EPI_NAMES = re.compile(r"\bdwise\b|\b(ss|fe|se)?epi|^\*?ep[_2fs]|^\*?re_b\d|\bep2d")
_NAME_KEYS = (
    "SequenceName",
    "PulseSequenceName",
    "0019,109C",
    "0019,109E",
    "0065,102D",
    "2001,1020",
)


class Direction(StrEnum):
    """Directionality of one diffusion-weighted plane."""

    NONE = "NONE"
    DIRECTIONAL = "DIRECTIONAL"
    ISOTROPIC = "ISOTROPIC"


class Component(StrEnum):
    """Part of the complex signal (PS3.3 C.8.13.3.1.1)."""

    MAGNITUDE = "MAGNITUDE"
    PHASE = "PHASE"
    REAL = "REAL"
    IMAGINARY = "IMAGINARY"


_COMPONENT_TOKENS = {
    **dict.fromkeys(
        ("P", "PHASE", "PHASE MAP", "SW_P", "SW_P_FFE", "P_FFE", "FILT_PHA"), Component.PHASE
    ),
    **dict.fromkeys(("R", "REAL", "R_FFE"), Component.REAL),
    **dict.fromkeys(("I", "IMAGINARY", "I_FFE"), Component.IMAGINARY),
}
_GE_COMPONENTS = {1: Component.PHASE, 2: Component.REAL, 3: Component.IMAGINARY}


def number(plane: PlaneFacts, *keywords: str) -> float | None:
    """Return the first of these facts that is a number, or the first item of a tuple of numbers."""
    for keyword in keywords:
        value = plane.attributes.get(keyword)
        if isinstance(value, tuple) and value:
            value = value[0]
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return None


def tokens_of(value: FactValue | None) -> tuple[str, ...]:
    """Return the words of a coded, possibly multi-valued element, upper case."""
    if value is None:
        return ()
    items = value if isinstance(value, tuple) else (value,)
    return tuple(str(item).strip().upper() for item in items if str(item).strip())


def image_type(plane: PlaneFacts) -> tuple[str, ...]:
    """Return the image type of this plane: FrameType where there is one, and the private ones."""
    own = tokens_of(plane.attributes.get("FrameType")) or tokens_of(
        plane.attributes.get("ImageType")
    )
    private = (token for key in _TOKEN_KEYS for token in tokens_of(plane.attributes.get(key)))
    return tuple(dict.fromkeys((*own, *private)))


def echo_planar(plane: PlaneFacts) -> str:
    """Return YES or NO, UNKNOWN where no element says how the signal is read out.

    The names of pulse sequences are those of Siemens, Philips, GE and UIH. A long echo train of
    gradient echoes after a large flip angle is echo-planar; Philips does not write EP.
    """
    declared = plane.attributes.get("EchoPlanarPulseSequence")
    if declared in ("YES", "NO"):
        return str(declared)
    scanning = tokens_of(plane.attributes.get("ScanningSequence"))
    options = tokens_of(plane.attributes.get("ScanOptions"))
    if "EP" in scanning or "EPI_GEMS" in options or _EPI_NAMES.search(sequence_name(plane)):
        return "YES"
    if "GR" in scanning and _is_long_train(plane):
        return "YES"
    if "SE" in scanning and _is_philips(plane):
        return "UNKNOWN"
    return "NO" if scanning else "UNKNOWN"


def _is_philips(plane: PlaneFacts) -> bool:
    return str(plane.attributes.get("Manufacturer", "")).upper().startswith("PHILIPS")


def _is_long_train(plane: PlaneFacts) -> bool:
    train = number(plane, "EchoTrainLength") or 0.0
    flip_angle = number(plane, "FlipAngle") or 0.0
    return train >= EPI_TRAIN and flip_angle >= EPI_FLIP_ANGLE


def sequence_name(plane: PlaneFacts) -> str:
    """Return all names of the pulse sequence, lower case."""
    names = (plane.attributes.get(key) for key in _NAME_KEYS)
    return " ".join(str(name).lower() for name in names if isinstance(name, str))


def b_value(plane: PlaneFacts) -> float | None:
    """Return the diffusion weighting in s/mm2, None where the plane does not say.

    GE writes its private element into every image, so it counts in echo-planar ones alone.
    """
    direct = number(plane, *_B_VALUE_KEYS)
    if direct is not None and direct >= 0:
        return direct
    biased = number(plane, _GE_B_VALUE_KEY)
    if biased is not None and echo_planar(plane) == "YES":
        return biased % _GE_B_VALUE_BIAS
    for pattern, key in ((_B_IN_NAME, "SequenceName"), (_B_IN_COMMENT, "ImageComments")):
        found = pattern.search(str(plane.attributes.get(key, "")))
        if found:
            return float(found[1])
    return _b_value_in_name(plane)


def _b_value_in_name(plane: PlaneFacts) -> float | None:
    """Return the b-value that a diffusion series is named after, None if it names several."""
    text = folded_words([plane.attributes.get("SeriesDescription")])
    if not _DIFFUSION_WORD.search(text):
        return None
    named = {float(first or second) for first, second in _B_IN_DESCRIPTION.findall(text)}
    return named.pop() if len(named) == 1 else None


def direction_vector(plane: PlaneFacts) -> tuple[float, ...] | None:
    """Return the diffusion gradient direction, rounded; None without one, or if it is zero."""
    for key in _DIRECTION_KEYS:
        value = plane.attributes.get(key)
        if isinstance(value, tuple) and len(value) == 3:
            numbers = tuple(part for part in value if not isinstance(part, str))
            return _rounded_direction(numbers) if len(numbers) == len(value) else None
    for keys in _DIRECTION_PARTS:
        parts = tuple(part for key in keys if (part := number(plane, key)) is not None)
        if len(parts) == len(keys) and any(parts):
            return _rounded_direction(parts)
    return None


def _rounded_direction(vector: tuple[float, ...]) -> tuple[float, ...] | None:
    rounded = tuple(round(float(part), 3) + 0.0 for part in vector)
    return rounded if any(rounded) else None


def direction(plane: PlaneFacts) -> Direction:
    """Return whether the plane is weighted along one direction, or is a mean over directions."""
    declared = tokens_of(plane.attributes.get("DiffusionDirectionality"))
    siemens = tokens_of(plane.attributes.get("0019,100D"))
    philips = tokens_of(plane.attributes.get("2001,1004"))
    name = str(plane.attributes.get("SequenceName", ""))
    if "ISOTROPIC" in declared or "ISOTROPIC" in siemens or "I" in philips:
        return Direction.ISOTROPIC
    if _TRACE_NAME.search(name) or {"TRACEW", "TRACE"} & set(image_type(plane)):
        return Direction.ISOTROPIC
    if direction_vector(plane) is not None and (b_value(plane) or 0.0) > B0_LIMIT:
        return Direction.DIRECTIONAL
    if {"DIRECTIONAL", "BMATRIX"} & {*declared, *siemens} or _DIRECTION_NAME.search(name):
        return Direction.DIRECTIONAL
    return Direction.NONE


def component(plane: PlaneFacts) -> Component:
    """Return which part of the complex signal the plane shows; magnitude unless it says other."""
    declared = plane.attributes.get("ComplexImageComponent")
    if isinstance(declared, str) and declared in Component.__members__:
        return Component(declared)
    for token in image_type(plane):
        if token in _COMPONENT_TOKENS:
            return _COMPONENT_TOKENS[token]
    ge = plane.attributes.get(_GE_COMPONENT_KEY)
    if "GE" in str(plane.attributes.get("Manufacturer", "")).upper() and isinstance(ge, int):
        return _GE_COMPONENTS.get(ge, Component.MAGNITUDE)
    return Component.MAGNITUDE


def folded_words(texts: Iterable[FactValue | None]) -> str:
    """Return free text in lower case, without accents, with single spaces for separators."""
    text = " ".join(str(each) for each in texts if each is not None)
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-z0-9*=#]+", " ", plain.lower()).strip()


_HEAD_WORDS = re.compile(
    r"\b(head|brain|kopf|schadel|cranio|cerebr\w*|encephal\w*|encefal\w*|enceph|hersen\w*|tete"
    r"|cabeza|testa|cabeca|hoofd|neuro\w*|willis|cow|gehirn|hirn\w*|cerveau|cerebro|cervello)\b"
)
_OTHER_WORDS = re.compile(
    r"\b(spine|spinal\w*|[ctl] ?spine|hws|bws|lws|cervical\w*|lumb\w*|dors\w*spine|rachis|colonna"
    r"|columna|coluna|wervel\w*|neck|hals\w*|karot\w*|tsa|supra ?aort\w*|epi ?aort\w*"
    r"|cou|cuello|collo|pescoco|carot\w*|knee|knie|genou|rodilla"
    r"|ginocchio|joelho|shoulder|schulter|epaule|hombro|spalla|ombro|liver|leber|foie|higado|fegato"
    r"|figado|abdom\w*|pelvi\w*|becken|bassin|prosta\w*|breast|brust|sein|mama|cardiac|heart|herz"
    r"|coeur|corazon|cuore|hip|hufte|hanche|cadera|anca|wrist|ankle)\b"
)


def other_anatomy(plane: PlaneFacts) -> str | None:
    """Return the part of the body, other than the head, that the series is named after.

    BodyPartExamined is often left at what the last protocol had, so it counts for nothing.
    """
    text = folded_words(plane.attributes.get(key) for key in ("SeriesDescription", "ProtocolName"))
    found = _OTHER_WORDS.search(text)
    return None if found is None or _HEAD_WORDS.search(text) else found[0]
