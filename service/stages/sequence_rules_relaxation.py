"""Rules about FLAIR, T2, proton density and T1."""

from service.domain.sequence import SequenceLabel as L
from service.stages import sequence_words as words
from service.stages.sequence_rule import (
    GE,
    GR,
    MAGNITUDE,
    NAMES,
    NOT_EPI,
    NOT_GR,
    NOT_SE,
    PHILIPS,
    PHYSICS,
    SE,
    SIEMENS,
    STANDARD,
    between,
    matches,
    none_of,
    one_of,
    rule,
)

_LONG_ECHO = between(50, 700)
_SHORT_ECHO = between(0.5, 45)
_LONG_REPETITION = between(1800, 20000)
_FLAIR_REPETITION = between(4000, 20000)


_FLAIR = (
    rule("flair-physics", L.FLAIR, 6, PHYSICS,
         InversionTime=between(1500, 3000), EchoTime=between(60, 700),
         RepetitionTime=_FLAIR_REPETITION, EchoPlanar=NOT_EPI, Excitation=NOT_GR),
    rule("flair-words", L.FLAIR, 5, NAMES,
         Text=matches(words.FLAIR), EchoTime=_LONG_ECHO, Excitation=NOT_GR),
    # A name is worth less where the echo time is not known: it may be T1-weighted.
    rule("flair-words-alone", L.FLAIR, 4, NAMES,
         Text=matches(words.FLAIR_PLAIN), Excitation=NOT_GR,
         EchoPlanar=NOT_EPI, ImageType=none_of("DIFFUSION")),
    rule("flair-type", L.FLAIR, 6, GE, ImageType=one_of("T2FLAIR")),
    rule("t1-flair-type", L.T1, 6, GE, ImageType=one_of("T1FLAIR")),
    rule("flair-contrast", L.FLAIR, 5, STANDARD,
         AcquisitionContrast=one_of("FLUID_ATTENUATED"), EchoTime=_LONG_ECHO),
    rule("flair-option", L.FLAIR, 6, GE, ScanOptions=one_of("T2FLAIR_GEMS", "FLAIR_GEMS")),
    rule("flair-sequence", L.FLAIR, 2, SIEMENS,
         SequenceName=matches(r"\b(tir|spcir)|flair"), EchoTime=_LONG_ECHO),
    rule("flair-inversion", L.FLAIR, 3, PHYSICS,
         InversionTime=between(1500, 3000), RepetitionTime=_FLAIR_REPETITION,
         EchoPlanar=NOT_EPI, Excitation=NOT_GR, EchoTime=_LONG_ECHO),
    rule("t1-flair-option", L.T1, 9, GE, ScanOptions=one_of("T1FLAIR_GEMS")),
    rule("t1-flair-words", L.T1, 8, NAMES,
         Text=matches(words.T1_FLAIR), EchoTime=_SHORT_ECHO),
    rule("not-flair-short-echo", L.FLAIR, -6, PHYSICS, EchoTime=between(0.5, 45)),
    # A short inversion time nulls fat (STIR), two null fluid and white matter.
    rule("stir-physics", L.FLAIR, -9, PHYSICS, InversionTime=between(60, 300)),
    rule("stir-inversion", L.OTHER_MR, 5, PHYSICS,
         InversionTime=between(100, 260), Excitation=NOT_GR, EchoPlanar=NOT_EPI,
         EchoTime=between(8, 130)),
    rule("stir-words", L.OTHER_MR, 9, NAMES, Text=matches(words.STIR)),
    rule("double-inversion-words", L.OTHER_MR, 12, NAMES,
         Text=matches(words.DOUBLE_INVERSION), EchoPlanar=NOT_EPI),
)  # fmt: skip

_SPIN_ECHO = (
    rule("t2-physics", L.T2, 4.5, PHYSICS,
         EchoTime=between(65, 250), RepetitionTime=_LONG_REPETITION, Excitation=SE,
         EchoPlanar=NOT_EPI, Component=MAGNITUDE),
    rule("t2-3d-physics", L.T2, 4, PHYSICS,
         EchoTime=between(150, 600), RepetitionTime=between(1500, 5000), Excitation=SE,
         EchoPlanar=NOT_EPI, MRAcquisitionType=one_of("3D")),
    rule("t2-words", L.T2, 3, NAMES,
         Text=matches(words.T2), Excitation=NOT_GR, EchoPlanar=NOT_EPI,
         EchoTime=between(40, 700)),
    rule("t2-words-alone", L.T2, 3, NAMES,
         Text=matches(words.T2), Excitation=NOT_GR, EchoPlanar=NOT_EPI,
         ImageType=none_of("DIFFUSION")),
    rule("t2-contrast", L.T2, 2, STANDARD,
         AcquisitionContrast=one_of("T2"), Excitation=SE, EchoPlanar=NOT_EPI),
    # An inversion pulse makes another contrast of the same echo.
    rule("not-t2-inversion", L.T2, -6, PHYSICS,
         InversionTime=between(60, 3500), Excitation=NOT_GR, EchoPlanar=NOT_EPI),
    rule("pd-physics", L.PD, 4.5, PHYSICS,
         EchoTime=between(5, 45), RepetitionTime=_LONG_REPETITION, Excitation=SE,
         EchoPlanar=NOT_EPI, Component=MAGNITUDE),
    rule("pd-words", L.PD, 3, NAMES,
         Text=matches(words.PROTON_DENSITY), EchoPlanar=NOT_EPI,
         EchoTime=between(1, 50)),
    # An MPRAGE without its pulse is named after both.
    rule("not-t1-proton-words", L.T1, -9, NAMES,
         Text=matches(words.without(words.PROTON_DENSITY, r"\bt1", "mp2rage"))),
    rule("not-pd-inversion", L.PD, -6, PHYSICS, InversionTime=between(60, 3500)),
    rule("t1-spin-echo", L.T1, 4.5, PHYSICS,
         RepetitionTime=between(100, 1200), EchoTime=between(1, 40), Excitation=SE,
         EchoPlanar=NOT_EPI),
    rule("t1-flair-physics", L.T1, 6.5, PHYSICS,
         InversionTime=between(400, 1400), EchoTime=between(5, 45),
         RepetitionTime=between(1200, 3800), Excitation=NOT_GR, EchoPlanar=NOT_EPI),
)  # fmt: skip

_GRADIENT_ECHO = (
    rule("t1-inversion", L.T1, 5.5, PHYSICS,
         InversionTime=between(250, 3000), EchoTime=between(1, 12), Excitation=NOT_SE,
         EchoPlanar=NOT_EPI),
    rule("t1-gradient-echo", L.T1, 4, PHYSICS,
         FlipAngle=between(45, 110), RepetitionTime=between(60, 700),
         LongestEchoTime=between(1, 8), Excitation=GR, EchoPlanar=NOT_EPI, Component=MAGNITUDE),
    rule("t1-fast-physics", L.T1, 3, PHYSICS,
         RepetitionTime=between(5.0, 12.5), LongestEchoTime=between(1.5, 6.5),
         FlipAngle=between(5, 25), MRAcquisitionType=one_of("3D"), Slices=between(20, 512),
         Excitation=GR, EchoPlanar=NOT_EPI, Component=MAGNITUDE),
    rule("t1-volume-physics", L.T1, 3, PHYSICS,
         RepetitionTime=between(1400, 3500), LongestEchoTime=between(1, 8),
         FlipAngle=between(4, 15), MRAcquisitionType=one_of("3D"), Excitation=GR,
         EchoPlanar=NOT_EPI, Component=MAGNITUDE),
    rule("t1-words", L.T1, 5, NAMES, Text=matches(words.T1), EchoTime=_SHORT_ECHO,
         EchoPlanar=NOT_EPI),
    rule("t1-words-alone", L.T1, 2.5, NAMES, Text=matches(words.T1), EchoPlanar=NOT_EPI),
    rule("t1-sequence", L.T1, 3.5, SIEMENS,
         SequenceName=matches(r"\btfl|\bspgr|\btfe|\bt1tfe|\bbravo|mp-?rage|\bfl3d_vibe|\bt1ffe"),
         EchoTime=between(0.5, 12), Component=MAGNITUDE),
    rule("t1-mp2rage", L.T1, 6, SIEMENS,
         ImageType=one_of("UNI", "INV1", "INV2", "T1 MAP UNI", "UNI-DEN")),
    *(
        rule(f"{label.value.lower()}-type", label, 2.5, STANDARD,
             ImageType=one_of(label.value), EchoPlanar=NOT_EPI)
        for label in (L.T1, L.T2, L.PD)
    ),
    rule("t1-contrast", L.T1, 2.5, STANDARD, AcquisitionContrast=one_of("T1")),
    rule("relaxation-map-words", L.OTHER_MR, 9, NAMES, Text=matches(words.RELAXATION_MAP)),
    rule("relaxation-map-type", L.OTHER_MR, 12, PHILIPS,
         ImageType=matches(r"^(MULTI_QMAP|QMAP|(T1|T2|R2)(_STAR)?[ _]?MAP)$")),
    rule("steady-state-words", L.OTHER_MR, 7, NAMES,
         Text=matches(words.STEADY_STATE), Excitation=NOT_SE),
    rule("steady-state-sequence", L.OTHER_MR, 5, SIEMENS,
         SequenceName=matches(r"\b\*?(ci3d|tfi[23]d)")),
)  # fmt: skip

RELAXATION_RULES = (*_FLAIR, *_SPIN_ECHO, *_GRADIENT_ECHO)
