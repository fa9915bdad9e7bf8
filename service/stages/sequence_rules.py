"""The rules of sequence detection, as data.

A rule votes for or against one label when all its tests hold. Weights are log-odds, set by hand:
3 is a hint, 6 settles the matter unless something stronger speaks against it, 9 overrules.
Physics ranges are domain knowledge, not from a source.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from service.domain.sequence import SequenceLabel
from service.stages.volume_traits import Trait, Traits

Test = Callable[[Trait], bool]
L = SequenceLabel


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes
    ----------
    rule_id : str
        Stable identifier, shown as evidence.
    label : SequenceLabel
        What the rule votes about.
    weight : float
        Log-odds; negative is a vote against the label.
    tests : tuple of (trait, test)
        The rule holds if every trait is known and passes. The first is shown as evidence.
    source : str
        Where the fact comes from.
    """

    rule_id: str
    label: SequenceLabel
    weight: float
    tests: tuple[tuple[str, Test], ...]
    source: str

    def holds(self, traits: Traits) -> bool:
        """Whether the rule applies to a volume of these traits."""
        return all(trait in traits and test(traits[trait]) for trait, test in self.tests)


def one_of(*words: str) -> Test:
    """Pass if the trait is, or contains, one of these words."""
    wanted = set(words)
    return lambda trait: bool(wanted & set(trait if isinstance(trait, tuple) else (trait,)))


def none_of(*words: str) -> Test:
    """Pass if the trait neither is nor contains any of these words."""
    unwanted = one_of(*words)
    return lambda trait: not unwanted(trait)


def matches(pattern: str) -> Test:
    """Pass if the regular expression is found in the trait, or in one of its words."""
    compiled = re.compile(pattern)
    return lambda trait: any(
        compiled.search(str(word)) for word in (trait if isinstance(trait, tuple) else (trait,))
    )


def between(low: float, high: float) -> Test:
    """Pass if the trait is a number in this closed range."""
    return lambda trait: isinstance(trait, float) and low <= trait <= high


STANDARD = "PS3.3 C.8.3.1, C.8.13"
SIEMENS = "dcm2niix notes on Siemens"
GE = "dcm2niix notes on GE"
PHILIPS = "dcm2niix notes on Philips"
VENDORS = "dcm2niix vendor notes"
PHYSICS = "domain knowledge"
NAMES = "usual names, several languages"

_GRADIENT_ECHO = (("Excitation", one_of("GR")), ("EchoPlanar", one_of("NO")))
_SPIN_ECHO = (("Excitation", one_of("SE")), ("EchoPlanar", one_of("NO")))
_MAGNITUDE = ("Component", one_of("MAGNITUDE"))
_DIFFUSION = ("Weighting", one_of("B0", "WEIGHTED", "UNKNOWN"))
_SWI_WORDS = r"\b(swi|swip|swan|fsbb|venobold|suszept\w*|suscept\w*|susceptib\w*)\b|swi3d"
_MINIP_WORDS = r"\bmin ?ip\b|\bmip images sw\b|\bmip sw"

DIFFUSION_RULES = (
    Rule(
        "dwi-direction",
        L.DWI_DIRECTIONAL,
        6,
        (("Direction", one_of("DIRECTIONAL")), ("Weighting", one_of("WEIGHTED"))),
        STANDARD,
    ),
    Rule(
        "dwi-isotropic",
        L.DWI,
        6,
        (("Direction", one_of("ISOTROPIC")), ("Weighting", one_of("WEIGHTED"))),
        STANDARD,
    ),
    Rule(
        "dwi-no-direction",
        L.DWI,
        4,
        (("Direction", one_of("NONE")), ("Weighting", one_of("WEIGHTED"))),
        GE,
    ),
    Rule("dwi-b0", L.DWI_B0, 6, (("Weighting", one_of("B0")),), VENDORS),
    Rule(
        "dwi-trace-type",
        L.DWI,
        6,
        (
            ("ImageType", one_of("TRACEW", "TRACE", "ISOTROPIC")),
            ("Weighting", one_of("WEIGHTED", "UNKNOWN")),
        ),
        SIEMENS,
    ),
    Rule("dwi-calculated", L.DWI, 4, (("ImageType", one_of("CALC_BVALUE")),), SIEMENS),
    Rule("dwi-b0-type", L.DWI_B0, 6, (("ImageType", one_of("TENSOR_B0")),), SIEMENS),
    Rule(
        "dwi-words",
        L.DWI,
        2.5,
        (
            (
                "Text",
                matches(r"\b(dwi|diff\w*|difu\w*|trace\w*|isotrop\w*)\b|\bb ?[= ]?(800|1000)\b"),
            ),
            ("Weighting", one_of("WEIGHTED", "UNKNOWN")),
        ),
        NAMES,
    ),
    Rule(
        "dwi-words-epi",
        L.DWI,
        4,
        (
            ("Text", matches(r"\b(dwi|diff\w*|difu\w*|trace\w*)\b")),
            ("EchoPlanar", one_of("YES")),
            ("ImageType", none_of("ADC", "EADC", "FA")),
        ),
        NAMES,
    ),
    Rule(
        "dti-words",
        L.DWI_DIRECTIONAL,
        1.5,
        (
            ("Text", matches(r"\b(dti|tensor|mddw|dir ?\d+)\b|\bdir\d+")),
            ("Weighting", one_of("WEIGHTED")),
        ),
        NAMES,
    ),
    Rule(
        "adc-type", L.ADC, 9, (("ImageType", one_of("ADC", "ADC_UNSPECIFIED", "ADC MAP")),), VENDORS
    ),
    Rule(
        "adc-words",
        L.ADC,
        6,
        (
            (
                "Text",
                matches(
                    r"(?<!exp )(?<!exponential )\b(adc|dadc|apparent diffusion\w*|apparente?r? diff\w*)\b"
                ),
            ),
            ("ImageType", one_of("DERIVED")),
        ),
        NAMES,
    ),
    Rule(
        "eadc-type", L.EADC, 12, (("ImageType", one_of("EADC", "EXP_ADC", "EXPONENTIAL")),), VENDORS
    ),
    Rule(
        "eadc-words",
        L.EADC,
        12,
        (("Text", matches(r"\beadc\b|\bexp(onential)? ?(adc|apparent)|\badc exp")),),
        NAMES,
    ),
    Rule(
        "anisotropy-type",
        L.DIFFUSION_DERIVED,
        9,
        (("ImageType", one_of("FA", "COLFA", "RA", "VR", "GFA")), _DIFFUSION),
        SIEMENS,
    ),
    Rule("anisotropy-map", L.DIFFUSION_DERIVED, 9, (("AnisotropyMap", matches(r".")),), STANDARD),
    Rule(
        "anisotropy-words",
        L.DIFFUSION_DERIVED,
        5,
        (
            ("Text", matches(r"\b(fa|colfa|fractional|anisotrop\w*)\b")),
            ("ImageType", one_of("DERIVED")),
        ),
        NAMES,
    ),
)

SUSCEPTIBILITY_RULES = (
    Rule("swi-type", L.SWI, 8, (("ImageType", one_of("SWI")), _MAGNITUDE), SIEMENS),
    Rule("swi-words", L.SWI, 5, (("Text", matches(_SWI_WORDS)), _MAGNITUDE), NAMES),
    Rule("swi-sequence", L.SWI, 3, (("SequenceName", matches(r"swi|swan")), _MAGNITUDE), VENDORS),
    Rule(
        "swi-minip-type",
        L.SWI_MINIP,
        10,
        (("ImageType", one_of("MNIP", "MINIP", "MIN IP", "MINIMUM INTENSITY PROJECTION")),),
        SIEMENS,
    ),
    Rule("swi-minip-words", L.SWI_MINIP, 12, (("Text", matches(_MINIP_WORDS)),), VENDORS),
    Rule("swi-magnitude-type", L.T2STAR, 9, (("ImageType", one_of("SW_M", "SW_M_FFE")),), PHILIPS),
    Rule(
        "swi-magnitude-words",
        L.T2STAR,
        8,
        (("Text", matches(r"\bmag( images?)?\b|\bmagnitude\b")), *_GRADIENT_ECHO, _MAGNITUDE),
        SIEMENS,
    ),
    Rule(
        "t2star-physics",
        L.T2STAR,
        4.5,
        (("LongestEchoTime", between(11, 80)), *_GRADIENT_ECHO, _MAGNITUDE),
        PHYSICS,
    ),
    Rule(
        "t2star-contrast",
        L.T2STAR,
        3,
        (("AcquisitionContrast", one_of("T2_STAR")), ("EchoPlanar", one_of("NO"))),
        STANDARD,
    ),
    Rule(
        "t2star-words",
        L.T2STAR,
        4,
        (
            (
                "Text",
                matches(
                    r"\bt2 ?\*|\bt2 ?(star|stern|etoile|estrella|stella)\b|\bhemo\w*|\bqsm\b|\bgre t2\b|\bt2 gre\b"
                ),
            ),
            _MAGNITUDE,
        ),
        NAMES,
    ),
    Rule(
        "phase-physics",
        L.PHASE,
        6,
        (("Component", one_of("PHASE")), *_GRADIENT_ECHO, ("LongestEchoTime", between(10, 80))),
        PHYSICS,
    ),
    Rule("phase-type", L.PHASE, 9, (("ImageType", one_of("SW_P", "SW_P_FFE")),), PHILIPS),
    Rule(
        "phase-words",
        L.PHASE,
        4,
        (
            ("Text", matches(_SWI_WORDS + r"|\bpha images?\b|\bqsm\b")),
            ("Component", one_of("PHASE")),
        ),
        SIEMENS,
    ),
    Rule("phase-filtered-words", L.PHASE, 10, (("Text", matches(r"\bfilt pha\b")),), GE),
)

FLUID_AND_RELAXATION_RULES = (
    Rule(
        "flair-physics",
        L.FLAIR,
        6,
        (
            ("InversionTime", between(1500, 3000)),
            ("EchoTime", between(60, 700)),
            ("RepetitionTime", between(4000, 20000)),
            ("EchoPlanar", one_of("NO")),
        ),
        PHYSICS,
    ),
    Rule(
        "flair-words",
        L.FLAIR,
        4.5,
        (
            ("Text", matches(r"\bflair\b|dark ?fluid|\btirm\b|\bt2 ?flair")),
            ("EchoTime", between(50, 700)),
        ),
        NAMES,
    ),
    Rule(
        "flair-contrast",
        L.FLAIR,
        5,
        (("AcquisitionContrast", one_of("FLUID_ATTENUATED")), ("EchoTime", between(50, 700))),
        STANDARD,
    ),
    Rule("flair-option", L.FLAIR, 6, (("ScanOptions", one_of("T2FLAIR_GEMS")),), GE),
    Rule(
        "flair-sequence",
        L.FLAIR,
        2,
        (("SequenceName", matches(r"\b(tir|spcir)")), ("EchoTime", between(60, 700))),
        SIEMENS,
    ),
    Rule("t1-flair", L.T1, 7, (("ScanOptions", one_of("T1FLAIR_GEMS")),), GE),
    Rule(
        "t1-flair-words",
        L.T1,
        8,
        (("Text", matches(r"\bt1 ?\w* ?flair\b")), ("EchoTime", between(1, 45))),
        NAMES,
    ),
    Rule(
        "t2-physics",
        L.T2,
        4.5,
        (
            ("EchoTime", between(65, 250)),
            ("RepetitionTime", between(1800, 20000)),
            *_SPIN_ECHO,
            _MAGNITUDE,
        ),
        PHYSICS,
    ),
    Rule(
        "t2-words",
        L.T2,
        2.5,
        (
            ("Text", matches(r"\bt2w?\b(?! ?(\*|star|flair|gre))")),
            *_SPIN_ECHO,
            ("EchoTime", between(50, 700)),
        ),
        NAMES,
    ),
    Rule("t2-contrast", L.T2, 2, (("AcquisitionContrast", one_of("T2")), *_SPIN_ECHO), STANDARD),
    Rule(
        "pd-physics",
        L.PD,
        4.5,
        (
            ("EchoTime", between(5, 45)),
            ("RepetitionTime", between(1800, 20000)),
            *_SPIN_ECHO,
            _MAGNITUDE,
        ),
        PHYSICS,
    ),
    Rule("pd-words", L.PD, 3, (("Text", matches(r"\bpdw?\b|\bproton\b")),), NAMES),
    Rule(
        "t1-spin-echo",
        L.T1,
        4.5,
        (("RepetitionTime", between(100, 1200)), ("EchoTime", between(1, 40)), *_SPIN_ECHO),
        PHYSICS,
    ),
    Rule(
        "t1-inversion",
        L.T1,
        5.5,
        (
            ("InversionTime", between(250, 1300)),
            ("EchoTime", between(1, 12)),
            ("EchoPlanar", one_of("NO")),
        ),
        PHYSICS,
    ),
    Rule(
        "t1-gradient-echo",
        L.T1,
        4,
        (
            ("FlipAngle", between(45, 110)),
            ("RepetitionTime", between(60, 700)),
            ("LongestEchoTime", between(1, 8)),
            *_GRADIENT_ECHO,
            _MAGNITUDE,
        ),
        PHYSICS,
    ),
    Rule(
        "t1-words",
        L.T1,
        3.5,
        (
            ("Text", matches(r"\bt1w?\b|\bmp ?rage\b|\bbravo\b|\bspgr\b|\bmpr\b|\bt1 ")),
            ("EchoTime", between(0.5, 45)),
        ),
        NAMES,
    ),
    Rule(
        "t1-sequence",
        L.T1,
        3.5,
        (
            ("SequenceName", matches(r"\btfl|\bspgr|\btfe")),
            ("EchoTime", between(0.5, 12)),
            _MAGNITUDE,
        ),
        SIEMENS,
    ),
    Rule("t1-contrast", L.T1, 2.5, (("AcquisitionContrast", one_of("T1")),), STANDARD),
)

VESSEL_RULES = (
    Rule(
        "tof-physics",
        L.TOF,
        3,
        (
            ("EchoTime", between(2, 9.5)),
            ("RepetitionTime", between(14, 50)),
            ("FlipAngle", between(12, 40)),
            ("MRAcquisitionType", one_of("3D")),
            ("LongestEchoTime", between(2, 9.5)),
            *_GRADIENT_ECHO,
            _MAGNITUDE,
        ),
        PHYSICS,
    ),
    Rule(
        "tof-words",
        L.TOF,
        5,
        (
            ("Text", matches(r"\btof\b|time of flight|\bangio\w*\b|\bmra\b|\btof ?3d\b|\btof\w*")),
            _MAGNITUDE,
        ),
        NAMES,
    ),
    Rule("tof-option", L.TOF, 7, (("ScanOptions", one_of("VASCTOF_GEMS", "TOF_GEMS")),), GE),
    Rule("tof-variant", L.TOF, 7, (("SequenceVariant", one_of("TOF")),), STANDARD),
    Rule("tof-flag", L.TOF, 1.5, (("AngioFlag", one_of("Y")),), STANDARD),
    Rule(
        "mip-type",
        L.TOF_MIP,
        9,
        (
            ("ImageType", matches(r"^(MIP|MAX(IMUM)?[ _].*|PROJECTION IMAGE|VOLUME RENDERING)$")),
            ("Text", matches(r"^(?!.*(\bsw|\bmin ?ip))")),
        ),
        VENDORS,
    ),
    Rule(
        "mip-words",
        L.TOF_MIP,
        8,
        (
            ("Text", matches(r"(\bmip\b|\bcollapse|\bpjn\b|\bproj\w*)(?!.*\bsw)")),
            ("ImageType", one_of("DERIVED")),
        ),
        NAMES,
    ),
    Rule(
        "mip-rotating",
        L.TOF_MIP,
        4,
        (("Rotating", one_of("YES")), ("ImageType", one_of("DERIVED"))),
        PHYSICS,
    ),
    Rule("flow", L.OTHER_MR, 7, (("AcquisitionContrast", one_of("FLOW_ENCODED")),), STANDARD),
    Rule(
        "flow-words",
        L.OTHER_MR,
        6,
        (("Text", matches(r"\b(pca|phase contrast|venc\w*|flow|pc3d|inhance)\b")),),
        NAMES,
    ),
)

FUNCTION_RULES = (
    Rule(
        "bold-physics",
        L.BOLD,
        5,
        (
            ("EchoPlanar", one_of("YES")),
            ("Excitation", one_of("GR")),
            ("EchoTime", between(10, 70)),
            _MAGNITUDE,
        ),
        PHYSICS,
    ),
    Rule("bold-type", L.BOLD, 6, (("ImageType", one_of("FMRI")),), SIEMENS),
    Rule(
        "bold-words",
        L.BOLD,
        4,
        (
            ("Text", matches(r"\b(bold|fmri|func\w*|rs ?fmri|rest\w*)\b|rsfmri")),
            ("EchoPlanar", one_of("YES")),
        ),
        NAMES,
    ),
    Rule("asl-type", L.ASL, 12, (("ImageType", one_of("ASL")),), SIEMENS),
    Rule("asl-label", L.ASL, 12, (("AslLabel", matches(r".")),), STANDARD),
    Rule("asl-words", L.ASL, 12, (("Text", matches(r"\b(p|pc|c)?asl\b|\barterial spin")),), NAMES),
    Rule("dsc-words", L.DSC, 8, (("Text", matches(r"\b(dsc|perf\w*|pwi)\b")),), NAMES),
    Rule("dsc-contrast", L.DSC, 5, (("AcquisitionContrast", one_of("PERFUSION")),), STANDARD),
    Rule(
        "dsc-maps",
        L.DSC,
        9,
        (("ImageType", one_of("TTP", "MTT", "RCBV", "RCBF", "PBP", "GBP", "TMAX", "PERFUSION")),),
        VENDORS,
    ),
    Rule(
        "fieldmap-sequence", L.FIELDMAP, 12, (("SequenceName", matches(r"\bfm2d|\bfm3d")),), SIEMENS
    ),
    Rule(
        "fieldmap-words",
        L.FIELDMAP,
        9,
        (
            ("Text", matches(r"\bfield ?map\w*|\bgre field\b|\bb0 ?map\w*")),
            ("EchoPlanar", one_of("NO")),
        ),
        NAMES,
    ),
    Rule(
        "fieldmap-type",
        L.FIELDMAP,
        14,
        (
            ("SeriesImageType", one_of("FIELD_MAP", "FIELDMAP", "B0 MAP", "B0")),
            ("EchoPlanar", one_of("NO")),
        ),
        PHILIPS,
    ),
    Rule(
        "fieldmap-echoes",
        L.FIELDMAP,
        6,
        (("EchoStep", between(0.8, 3.2)), ("LongestEchoTime", between(3, 13)), *_GRADIENT_ECHO),
        PHYSICS,
    ),
)

OTHER_RULES = (
    Rule("localizer-type", L.LOCALIZER, 14, (("ImageType", one_of("LOCALIZER")),), STANDARD),
    Rule(
        "localizer-words",
        L.LOCALIZER,
        14,
        (
            (
                "Text",
                matches(
                    r"\b(locali[sz]er\w*|lokali\w*|localizador|scout\w*|aahscout|aahead\w*|survey\w*|pilot\w*|loc|3 ?plane|three plane|topogram\w*|reperage)\b"
                ),
            ),
        ),
        NAMES,
    ),
    Rule("localizer-orientations", L.LOCALIZER, 6, (("Orientations", between(3, 3)),), PHYSICS),
    *(
        Rule(
            f"not-magnitude-{label.value.lower()}",
            label,
            -6,
            (("Component", one_of("PHASE", "REAL", "IMAGINARY")),),
            STANDARD,
        )
        for label in (
            L.SWI,
            L.SWI_MINIP,
            L.T2STAR,
            L.T1,
            L.T2,
            L.PD,
            L.FLAIR,
            L.TOF,
            L.BOLD,
            L.DWI,
            L.DWI_DIRECTIONAL,
        )
    ),
    Rule("not-phase", L.OTHER_MR, 2, (("Component", one_of("REAL", "IMAGINARY")),), STANDARD),
    Rule(
        "phase-epi",
        L.OTHER_MR,
        5,
        (("Component", one_of("PHASE")), ("EchoPlanar", one_of("YES"))),
        PHYSICS,
    ),
)

RULES = (
    *DIFFUSION_RULES,
    *SUSCEPTIBILITY_RULES,
    *FLUID_AND_RELAXATION_RULES,
    *VESSEL_RULES,
    *FUNCTION_RULES,
    *OTHER_RULES,
)

# Log-odds before any rule: without evidence a volume is some other MR image.
PRIOR = {label: 0.0 for label in SequenceLabel} | {L.OTHER_MR: 1.5}
