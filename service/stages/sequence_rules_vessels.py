"""Rules about susceptibility-weighted images, their phase, and angiography."""

from service.domain.sequence import SequenceLabel as L
from service.stages.sequence_rule import (
    GE,
    GRADIENT_ECHO,
    MAGNITUDE,
    MAYBE_GRADIENT_ECHO,
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

_PHASE = ("Component", one_of("PHASE"))
_DERIVED = ("ImageType", one_of("DERIVED"))

_SWI_WORDS = r"\b(swi|swip|swan|fsbb|venobold|suszept\w*|susc\w*)\b|swi3d"
# The processed image and its projection are named after the sequence, and so is the magnitude.
_SWI_MAGNITUDE_WORDS = r"\bmag( images?)?\b|\bmagnitude\b"
_MINIP_WORDS = r"\bmin ?ip\b|\bmip images sw\b|\bmip sw"
_T2STAR_WORDS = (
    r"\bt2 ?\*|\bt2 ?(star|stern|etoile|estrella|stella)\b|\bhemo\w*|\bqsm\b|\bgre t2\b|\bt2 gre\b"
)
_PHASE_WORDS = _SWI_WORDS + r"|\bpha images?\b|\bqsm\b"
_TOF_WORDS = r"\btof\w*|\btime of flight\b|\bangio\w*\b|\bmra\b"
# Projections of the brightest voxel; `min ip` and `mip` of SWI are something else.
_NO_SWI_WORDS = r"^(?!.*(\bsw|\bmin ?ip)).*"
_MIP_WORDS = r"^(?!.*(\bsw|\bmin ?ip)).*(\bmip\b|\bcollapse\w*|\bpjn\b|\bproj\w*)"
_MIP_TYPES = r"^(MIP|MAX(IMUM)?[ _].*|PROJECTION IMAGE|VOLUME RENDERING)$"
_CE_ANGIO_WORDS = r"\b(ce ?(mra|angio)\w*|twist|tricks|keyhole|bolus)\b"
_FLOW_WORDS = r"\b(pca|phase contrast|venc\w*|flow(?! ?comp)|pc3d|inhance)\b"

SUSCEPTIBILITY_RULES = (
    Rule("swi-type", L.SWI, 9, SIEMENS, (("ImageType", one_of("SWI")), MAGNITUDE)),
    Rule(
        "swi-words",
        L.SWI,
        6,
        NAMES,
        (("Text", matches(_SWI_WORDS)), *MAYBE_GRADIENT_ECHO, MAGNITUDE),
    ),
    Rule(
        "swi-sequence",
        L.SWI,
        3,
        VENDORS,
        (("SequenceName", matches(r"swi|swan")), MAGNITUDE),
    ),
    # Siemens calls these minimum projections ORIGINAL\PRIMARY.
    Rule(
        "minip-type",
        L.SWI_MINIP,
        18,
        SIEMENS,
        (("ImageType", one_of("MNIP", "MINIP", "MIN IP")),),
    ),
    Rule("minip-words", L.SWI_MINIP, 18, NAMES, (("Text", matches(_MINIP_WORDS)),)),
    Rule(
        "swi-magnitude-type",
        L.T2STAR,
        12,
        PHILIPS,
        (("ImageType", one_of("SW_M", "SW_M_FFE")),),
    ),
    Rule(
        "swi-magnitude-words",
        L.T2STAR,
        9,
        SIEMENS,
        (("Text", matches(_SWI_MAGNITUDE_WORDS)), *GRADIENT_ECHO, MAGNITUDE),
    ),
    Rule(
        "t2star-physics",
        L.T2STAR,
        4.5,
        PHYSICS,
        (("LongestEchoTime", between(11, 80)), *GRADIENT_ECHO, MAGNITUDE),
    ),
    Rule(
        "t2star-contrast",
        L.T2STAR,
        3,
        STANDARD,
        (("AcquisitionContrast", one_of("T2_STAR")), ("EchoPlanar", one_of("NO"))),
    ),
    Rule(
        "t2star-words",
        L.T2STAR,
        4,
        NAMES,
        (("Text", matches(_T2STAR_WORDS)), *MAYBE_GRADIENT_ECHO, MAGNITUDE),
    ),
    Rule(
        "phase-physics",
        L.PHASE,
        6,
        PHYSICS,
        (_PHASE, *GRADIENT_ECHO, ("LongestEchoTime", between(10, 80))),
    ),
    Rule("phase-type", L.PHASE, 9, PHILIPS, (("ImageType", one_of("SW_P", "SW_P_FFE")),)),
    Rule("phase-words", L.PHASE, 4, SIEMENS, (("Text", matches(_PHASE_WORDS)), _PHASE)),
    Rule("phase-filtered", L.PHASE, 12, GE, (("Text", matches(r"\bfilt pha\b")),)),
)

VESSEL_RULES = (
    Rule(
        "tof-physics",
        L.TOF,
        3,
        PHYSICS,
        (
            ("LongestEchoTime", between(2, 9.5)),
            ("RepetitionTime", between(14, 50)),
            ("FlipAngle", between(12, 40)),
            ("MRAcquisitionType", one_of("3D")),
            *GRADIENT_ECHO,
            MAGNITUDE,
        ),
    ),
    Rule(
        "tof-words",
        L.TOF,
        5,
        NAMES,
        (("Text", matches(_TOF_WORDS)), *MAYBE_GRADIENT_ECHO, MAGNITUDE),
    ),
    Rule("tof-option", L.TOF, 7, GE, (("ScanOptions", one_of("VASCTOF_GEMS", "TOF_GEMS")),)),
    Rule("tof-variant", L.TOF, 7, STANDARD, (("SequenceVariant", one_of("TOF")),)),
    Rule("tof-flag", L.TOF, 1.5, STANDARD, (("AngioFlag", one_of("Y")),)),
    Rule(
        "mip-type",
        L.TOF_MIP,
        18,
        VENDORS,
        (("ImageType", matches(_MIP_TYPES)), ("Text", matches(_NO_SWI_WORDS))),
    ),
    Rule("mip-words", L.TOF_MIP, 18, NAMES, (("Text", matches(_MIP_WORDS)), _DERIVED)),
    Rule("mip-rotating", L.TOF_MIP, 4, PHYSICS, (("Rotating", one_of("YES")), _DERIVED)),
    Rule(
        "flow-contrast",
        L.OTHER_MR,
        7,
        STANDARD,
        (("AcquisitionContrast", one_of("FLOW_ENCODED")),),
    ),
    Rule("flow-words", L.OTHER_MR, 9, NAMES, (("Text", matches(_FLOW_WORDS)),)),
    # With a contrast agent there is no inflow effect to see.
    Rule("contrast-angio-words", L.OTHER_MR, 9, NAMES, (("Text", matches(_CE_ANGIO_WORDS)),)),
    Rule(
        "contrast-angio-physics",
        L.TOF,
        -6,
        PHYSICS,
        (("RepetitionTime", between(0.5, 9)), *GRADIENT_ECHO),
    ),
)
