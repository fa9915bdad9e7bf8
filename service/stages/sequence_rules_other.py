"""Rules about what the network has no use for, and must not get by mistake."""

from service.domain.sequence import SequenceLabel as L
from service.stages.sequence_rule import (
    GRADIENT_ECHO,
    MAGNITUDE,
    NAMES,
    PHILIPS,
    PHYSICS,
    SIEMENS,
    STANDARD,
    VENDORS,
    Rule,
    between,
    matches,
    one_of,
)

_NOT_EPI = ("EchoPlanar", one_of("NO"))
_EPI = ("EchoPlanar", one_of("YES"))

_BOLD_WORDS = r"\b(bold|fmri|func\w*|rest\w*)\b|rsfmri"
_PERFUSION_MAPS = ("TTP", "MTT", "RCBV", "RCBF", "PBP", "GBP", "TMAX", "PERFUSION")
_FIELDMAP_WORDS = r"\bfield ?map\w*|\bgre field\b|\bb0 ?map\w*"
_LOCALIZER_WORDS = (
    r"\b(locali[sz]er\w*|lokali\w*|localizador|loc|reperage|topogram\w*)\b"
    r"|\b(scout\w*|aahscout|aahead\w*|survey\w*|pilot\w*|3 ?plane|three plane)\b"
)
# Labels that only a magnitude image can have.
_MAGNITUDE_LABELS = (
    *(L.SWI, L.SWI_MINIP, L.T2STAR, L.T1, L.T2, L.PD, L.FLAIR, L.TOF, L.BOLD, L.DWI),
    L.DWI_DIRECTIONAL,
)

FUNCTION_RULES = (
    Rule(
        "bold-physics",
        L.BOLD,
        5,
        PHYSICS,
        (
            ("EchoTime", between(10, 70)),
            _EPI,
            ("Excitation", one_of("GR")),
            ("Weighting", one_of("NONE")),
            MAGNITUDE,
        ),
    ),
    Rule("bold-type", L.BOLD, 6, SIEMENS, (("ImageType", one_of("FMRI")),)),
    Rule("bold-words", L.BOLD, 4, NAMES, (("Text", matches(_BOLD_WORDS)), _EPI)),
    Rule("asl-type", L.ASL, 18, SIEMENS, (("ImageType", one_of("ASL")),)),
    Rule("asl-label", L.ASL, 18, STANDARD, (("AslLabel", matches(r".+")),)),
    Rule(
        "asl-words",
        L.ASL,
        18,
        NAMES,
        (("Text", matches(r"\b(p|pc|c)?asl\b|\barterial spin")),),
    ),
    Rule("dsc-words", L.DSC, 8, NAMES, (("Text", matches(r"\b(dsc|perf\w*|pwi)\b")),)),
    Rule("dsc-contrast", L.DSC, 6, STANDARD, (("AcquisitionContrast", one_of("PERFUSION")),)),
    Rule("dsc-maps", L.DSC, 9, VENDORS, (("ImageType", one_of(*_PERFUSION_MAPS)),)),
    Rule(
        "fieldmap-sequence",
        L.FIELDMAP,
        18,
        SIEMENS,
        (("SequenceName", matches(r"\bfm[23]d")),),
    ),
    Rule(
        "fieldmap-words",
        L.FIELDMAP,
        12,
        NAMES,
        (("Text", matches(_FIELDMAP_WORDS)), _NOT_EPI),
    ),
    Rule(
        "fieldmap-type",
        L.FIELDMAP,
        18,
        PHILIPS,
        (("SeriesImageType", one_of("FIELD_MAP", "FIELDMAP", "B0 MAP", "B0")), _NOT_EPI),
    ),
    # Two echoes so near to each other are made for a phase difference.
    Rule(
        "fieldmap-echoes",
        L.FIELDMAP,
        7,
        PHYSICS,
        (("EchoStep", between(0.8, 3.2)), ("LongestEchoTime", between(3, 13)), *GRADIENT_ECHO),
    ),
)

OTHER_RULES = (
    Rule("localizer-type", L.LOCALIZER, 18, STANDARD, (("ImageType", one_of("LOCALIZER")),)),
    Rule("localizer-words", L.LOCALIZER, 18, NAMES, (("Text", matches(_LOCALIZER_WORDS)),)),
    Rule("localizer-planes", L.LOCALIZER, 7, PHYSICS, (("Orientations", between(3, 3)),)),
    *(
        Rule(
            f"not-magnitude-{label.value.lower()}",
            label,
            -6,
            STANDARD,
            (("Component", one_of("PHASE", "REAL", "IMAGINARY")),),
        )
        for label in _MAGNITUDE_LABELS
    ),
    Rule(
        "real-or-imaginary",
        L.OTHER_MR,
        3,
        STANDARD,
        (("Component", one_of("REAL", "IMAGINARY")),),
    ),
    Rule(
        "phase-of-epi",
        L.OTHER_MR,
        5,
        PHYSICS,
        (("Component", one_of("PHASE")), _EPI),
    ),
)
