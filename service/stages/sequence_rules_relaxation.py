"""Rules about FLAIR, T2, proton density and T1."""

from service.domain.sequence import SequenceLabel as L
from service.stages.sequence_rule import (
    GE,
    GRADIENT_ECHO,
    MAGNITUDE,
    NAMES,
    PHYSICS,
    SIEMENS,
    SPIN_ECHO,
    STANDARD,
    Rule,
    between,
    matches,
    one_of,
)

_LONG_ECHO = ("EchoTime", between(50, 700))
_LONG_REPETITION = ("RepetitionTime", between(1800, 20000))
_NOT_EPI = ("EchoPlanar", one_of("NO"))

_FLAIR_WORDS = r"\b(t2 ?)?flair\b|\bdark ?fluid\b|\btirm\b"
_T2_WORDS = r"\bt2w?\b(?! ?(\*|star|flair|gre))"
_T1_WORDS = r"\bt1w?\b|\bmp ?rage\b|\bbravo\b|\bspgr\b"

RELAXATION_RULES = (
    Rule(
        "flair-physics",
        L.FLAIR,
        6,
        PHYSICS,
        (
            ("InversionTime", between(1500, 3000)),
            ("EchoTime", between(60, 700)),
            ("RepetitionTime", between(4000, 20000)),
            _NOT_EPI,
        ),
    ),
    Rule("flair-words", L.FLAIR, 5, NAMES, (("Text", matches(_FLAIR_WORDS)), _LONG_ECHO)),
    Rule(
        "flair-contrast",
        L.FLAIR,
        5,
        STANDARD,
        (("AcquisitionContrast", one_of("FLUID_ATTENUATED")), _LONG_ECHO),
    ),
    Rule("flair-option", L.FLAIR, 6, GE, (("ScanOptions", one_of("T2FLAIR_GEMS")),)),
    Rule(
        "flair-sequence",
        L.FLAIR,
        2,
        SIEMENS,
        (("SequenceName", matches(r"\b(tir|spcir)")), _LONG_ECHO),
    ),
    Rule("t1-flair-option", L.T1, 7, GE, (("ScanOptions", one_of("T1FLAIR_GEMS")),)),
    Rule(
        "t1-flair-words",
        L.T1,
        8,
        NAMES,
        (("Text", matches(r"\bt1 ?\w* ?flair\b")), ("EchoTime", between(1, 45))),
    ),
    # A short inversion time nulls fat (STIR), two null fluid and white matter.
    Rule("stir-physics", L.FLAIR, -9, PHYSICS, (("InversionTime", between(60, 300)),)),
    Rule("stir-words", L.OTHER_MR, 9, NAMES, (("Text", matches(r"\bstir\b")),)),
    Rule(
        "double-inversion-words",
        L.OTHER_MR,
        12,
        NAMES,
        (("Text", matches(r"\bdir\b|\bdouble inversion\b")), _NOT_EPI),
    ),
    Rule(
        "t2-physics",
        L.T2,
        4.5,
        PHYSICS,
        (("EchoTime", between(65, 250)), _LONG_REPETITION, *SPIN_ECHO, MAGNITUDE),
    ),
    Rule("t2-words", L.T2, 2, NAMES, (("Text", matches(_T2_WORDS)), *SPIN_ECHO, _LONG_ECHO)),
    Rule("t2-contrast", L.T2, 2, STANDARD, (("AcquisitionContrast", one_of("T2")), *SPIN_ECHO)),
    Rule(
        "pd-physics",
        L.PD,
        4.5,
        PHYSICS,
        (("EchoTime", between(5, 45)), _LONG_REPETITION, *SPIN_ECHO, MAGNITUDE),
    ),
    Rule("pd-words", L.PD, 3, NAMES, (("Text", matches(r"\bpdw?\b|\bproton\b")),)),
    Rule(
        "t1-spin-echo",
        L.T1,
        4.5,
        PHYSICS,
        (("RepetitionTime", between(100, 1200)), ("EchoTime", between(1, 40)), *SPIN_ECHO),
    ),
    Rule(
        "t1-inversion",
        L.T1,
        5.5,
        PHYSICS,
        (("InversionTime", between(250, 1300)), ("EchoTime", between(1, 12)), _NOT_EPI),
    ),
    Rule(
        "t1-gradient-echo",
        L.T1,
        4,
        PHYSICS,
        (
            ("FlipAngle", between(45, 110)),
            ("RepetitionTime", between(60, 700)),
            ("LongestEchoTime", between(1, 8)),
            *GRADIENT_ECHO,
            MAGNITUDE,
        ),
    ),
    Rule(
        "t1-words",
        L.T1,
        4,
        NAMES,
        (("Text", matches(_T1_WORDS)), ("EchoTime", between(0.5, 45))),
    ),
    Rule(
        "t1-sequence",
        L.T1,
        3.5,
        SIEMENS,
        (
            ("SequenceName", matches(r"\btfl|\bspgr|\btfe")),
            ("EchoTime", between(0.5, 12)),
            MAGNITUDE,
        ),
    ),
    Rule("t1-contrast", L.T1, 2.5, STANDARD, (("AcquisitionContrast", one_of("T1")),)),
)
