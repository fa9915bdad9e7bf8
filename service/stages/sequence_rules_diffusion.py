"""Rules about diffusion-weighted images and the maps computed from them."""

from service.domain.sequence import SequenceLabel as L
from service.stages.sequence_rule import (
    GE,
    NAMES,
    SIEMENS,
    STANDARD,
    VENDORS,
    Rule,
    matches,
    none_of,
    one_of,
)

_WEIGHTED = ("Weighting", one_of("WEIGHTED"))
_MAYBE_WEIGHTED = ("Weighting", one_of("WEIGHTED", "UNKNOWN"))
_ANY_DIFFUSION = ("Weighting", one_of("B0", "WEIGHTED", "UNKNOWN"))
_DERIVED = ("ImageType", one_of("DERIVED"))
_MAPS = ("ADC", "EADC", "FA", "COLFA", "RA", "VR", "GFA")

_WORDS = r"\b(dwi|diff\w*|difu\w*|trace\w*|isotrop\w*)\b|\bb ?[= ]?(800|1000)\b"
_TENSOR_WORDS = r"\b(dti|tensor|mddw|dir ?\d+)\b"
_ADC_WORDS = r"\b(adc|dadc|avdc)\b|\bapparent\w* diff\w*|\baverage dc\b"
_EADC_WORDS = r"\beadc\b|\bexp(onential)? ?(adc|apparent)|\badc exp"
_ANISOTROPY_WORDS = r"\b(fa|colfa|fractional|anisotrop\w*)\b"

DIFFUSION_RULES = (
    Rule(
        "dwi-direction",
        L.DWI_DIRECTIONAL,
        6,
        STANDARD,
        (("Direction", one_of("DIRECTIONAL")), _WEIGHTED),
    ),
    Rule(
        "dwi-isotropic",
        L.DWI,
        6,
        STANDARD,
        (("Direction", one_of("ISOTROPIC")), _WEIGHTED),
    ),
    # GE gives its trace images a direction of zero.
    Rule("dwi-no-direction", L.DWI, 4, GE, (("Direction", one_of("NONE")), _WEIGHTED)),
    Rule("dwi-b0", L.DWI_B0, 6, VENDORS, (("Weighting", one_of("B0")),)),
    Rule("dwi-b0-type", L.DWI_B0, 6, SIEMENS, (("ImageType", one_of("TENSOR_B0")),)),
    Rule(
        "dwi-trace-type",
        L.DWI,
        6,
        SIEMENS,
        (("ImageType", one_of("TRACEW", "TRACE", "ISOTROPIC")), _MAYBE_WEIGHTED),
    ),
    Rule("dwi-calculated", L.DWI, 4, SIEMENS, (("ImageType", one_of("CALC_BVALUE")),)),
    # Where an archive has dropped the private elements, names are all that is left.
    Rule(
        "dwi-words",
        L.DWI,
        4.5,
        NAMES,
        (
            ("Text", matches(_WORDS)),
            ("EchoPlanar", one_of("YES")),
            ("Direction", none_of("DIRECTIONAL")),
            ("Weighting", none_of("B0")),
            ("ImageType", none_of(*_MAPS)),
        ),
    ),
    Rule(
        "tensor-words",
        L.DWI_DIRECTIONAL,
        2,
        NAMES,
        (("Text", matches(_TENSOR_WORDS)), ("Weighting", one_of("WEIGHTED"))),
    ),
    Rule("adc-type", L.ADC, 9, VENDORS, (("ImageType", one_of("ADC", "ADC_UNSPECIFIED")),)),
    Rule("adc-words", L.ADC, 12, NAMES, (("Text", matches(_ADC_WORDS)), _DERIVED)),
    # Lesions are bright on exponential maps and dark on ADC maps: never to be mixed up.
    Rule(
        "eadc-type",
        L.EADC,
        30,
        VENDORS,
        (("ImageType", one_of("EADC", "EXP_ADC", "EXPONENTIAL")),),
    ),
    Rule("eadc-words", L.EADC, 30, NAMES, (("Text", matches(_EADC_WORDS)),)),
    Rule(
        "anisotropy-type",
        L.DIFFUSION_DERIVED,
        9,
        SIEMENS,
        (("ImageType", one_of("FA", "COLFA", "RA", "VR", "GFA")), _ANY_DIFFUSION),
    ),
    Rule(
        "anisotropy-map",
        L.DIFFUSION_DERIVED,
        9,
        STANDARD,
        (("DiffusionAnisotropyType", matches(r".+")),),
    ),
    Rule(
        "anisotropy-words",
        L.DIFFUSION_DERIVED,
        8,
        NAMES,
        (("Text", matches(_ANISOTROPY_WORDS)), _DERIVED),
    ),
)
