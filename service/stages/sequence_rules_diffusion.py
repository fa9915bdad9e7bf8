"""Rules about diffusion-weighted images and the maps computed from them."""

from service.domain.sequence import SequenceLabel as L
from service.stages import sequence_words as words
from service.stages.sequence_rule import (
    DERIVED,
    EPI,
    GE,
    NAMES,
    NOT_GR,
    PHILIPS,
    PHYSICS,
    SE,
    SIEMENS,
    STANDARD,
    UIH,
    VENDORS,
    between,
    lacks,
    matches,
    none_of,
    one_of,
    rule,
)

_WEIGHTED = one_of("WEIGHTED")
_UNKNOWN = one_of("UNKNOWN")
_ANY_DIFFUSION = one_of("B0", "WEIGHTED", "UNKNOWN")
_NOT_DIRECTIONAL = none_of("DIRECTIONAL")
_MAPS = ("ADC", "ADC_UNSPECIFIED", "EADC", "FA", "COLFA", "RA", "VR", "GFA")
_NO_MAP = none_of(*_MAPS)
# Many volumes of one b-value are directions; a few are averages that were kept apart.
_MANY = between(6, 100_000)
_FEW = between(1, 5)

_TENSOR_MAPS = ("FA", "COLFA", "RA", "VR", "GFA", "TENSOR", "FRACTIONAL_ANISO", "IVIM")

_DIRECTIONS = (
    rule("dwi-direction", L.DWI_DIRECTIONAL, 6, STANDARD,
         Direction=one_of("DIRECTIONAL"), Weighting=one_of("WEIGHTED", "UNKNOWN")),
    # Traces call themselves derived and TRACEW; what the scanner measured has one direction each.
    rule("dwi-raw-type", L.DWI_DIRECTIONAL, 9.5, SIEMENS,
         ImageType=one_of("ORIGINAL"), SeriesImageType=one_of("DIFFUSION"), Weighting=_UNKNOWN,
         Direction=none_of("ISOTROPIC"), Description=lacks(words.TRACE)),
    rule("dwi-many-volumes", L.DWI_DIRECTIONAL, 5, PHYSICS,
         Repeats=_MANY, Weighting=_WEIGHTED, Direction=none_of("ISOTROPIC"), ImageType=_NO_MAP),
    rule("dwi-many-unknown", L.DWI_DIRECTIONAL, 4, PHYSICS,
         Repeats=_MANY, Weighting=_UNKNOWN, Direction=none_of("ISOTROPIC"), ImageType=_NO_MAP),
    rule("tensor-words", L.DWI_DIRECTIONAL, 5, NAMES,
         Text=matches(words.TENSOR), EchoPlanar=none_of("NO"), Weighting=none_of("B0"),
         Direction=none_of("ISOTROPIC"), ImageType=_NO_MAP),
    rule("tensor-category", L.DWI_DIRECTIONAL, 2, UIH,
         Category=matches(r"DTI"), Weighting=one_of("WEIGHTED", "UNKNOWN"), ImageType=_NO_MAP),
    rule("tensor-sequence", L.DWI_DIRECTIONAL, 5, UIH,
         SequenceName=matches(r"epi_dti"), Weighting=none_of("B0"), ImageType=_NO_MAP),
)  # fmt: skip

_IMAGES = (
    rule("dwi-isotropic", L.DWI, 6, STANDARD,
         Direction=one_of("ISOTROPIC"), Weighting=one_of("WEIGHTED", "UNKNOWN"),
         ImageType=_NO_MAP),
    # GE gives its trace images a direction of zero.
    rule("dwi-no-direction", L.DWI, 4, GE,
         Direction=one_of("NONE"), Weighting=_WEIGHTED, ImageType=none_of("DERIVED", *_MAPS)),
    # A map may keep the b-value of the images that it was made of.
    rule("dwi-no-direction-derived", L.DWI, 4, GE,
         Direction=one_of("NONE"), Weighting=_WEIGHTED, ImageType=DERIVED,
         Text=matches(words.DIFFUSION)),
    rule("dwi-b0", L.DWI_B0, 6, VENDORS, Weighting=one_of("B0"), ImageType=_NO_MAP),
    rule("dwi-b0-words", L.DWI_B0, 10, NAMES,
         BValue=between(0, 50), Text=matches(f"{words.DIFFUSION}|{words.TENSOR}"),
         Weighting=one_of("NONE"), ImageType=_NO_MAP, Excitation=NOT_GR),
    rule("dwi-b0-type", L.DWI_B0, 15, SIEMENS, ImageType=one_of("TENSOR_B0")),
    rule("dwi-trace-type", L.DWI, 6, SIEMENS,
         ImageType=one_of("TRACEW", "TRACE", "ISOTROPIC", "ISODWI"), Weighting=none_of("B0")),
    rule("dwi-calculated", L.DWI, 4, SIEMENS,
         ImageType=one_of("CALC_BVALUE"), Weighting=none_of("B0")),
    # Where an archive has dropped the private elements, names are all that is left.
    rule("dwi-words", L.DWI, 4.5, NAMES,
         Text=matches(words.DIFFUSION), EchoPlanar=none_of("NO"), Direction=_NOT_DIRECTIONAL,
         Weighting=none_of("B0"), ImageType=_NO_MAP, Excitation=NOT_GR),
    rule("dwi-trace-words", L.DWI, 3, NAMES,
         Text=matches(words.TRACE), Weighting=none_of("B0"), ImageType=_NO_MAP,
         EchoPlanar=none_of("NO")),
    rule("dwi-tse-words", L.DWI, 4, NAMES,
         Text=matches(words.DIFFUSION_PLAIN), EchoPlanar=one_of("NO"), Excitation=SE,
         ImageType=_NO_MAP),
    rule("dwi-sequence", L.DWI, 3, VENDORS,
         SequenceName=matches(r"\bdwise\b|\bdwi|epi_dwi|ep2d_diff|\bre_b\d|\*?ep_b\d"),
         Weighting=_UNKNOWN, ImageType=_NO_MAP),
    rule("dwi-type", L.DWI, 3, SIEMENS,
         Weighting=_UNKNOWN, ImageType=_NO_MAP, Direction=_NOT_DIRECTIONAL,
         SeriesImageType=one_of("DIFFUSION")),
    rule("dwi-contrast", L.DWI, 2, STANDARD,
         AcquisitionContrast=one_of("DIFFUSION"), Weighting=_UNKNOWN, ImageType=_NO_MAP),
    # Spin-echo EPI with a long echo is made for little else.
    rule("dwi-physics", L.DWI, 3, PHYSICS,
         EchoTime=between(45, 150), RepetitionTime=between(1500, 30000), EchoPlanar=EPI,
         Excitation=NOT_GR, Weighting=one_of("NONE"), Repeats=_FEW, ImageType=_NO_MAP),
    rule("dwi-many-physics", L.DWI_DIRECTIONAL, 3, PHYSICS,
         EchoTime=between(45, 150), RepetitionTime=between(1500, 30000), EchoPlanar=EPI,
         Excitation=NOT_GR, Weighting=one_of("NONE"), Repeats=_MANY, ImageType=_NO_MAP),
)  # fmt: skip

_COMPUTED = (
    rule("adc-type", L.ADC, 9, VENDORS, ImageType=one_of("ADC", "ADC_UNSPECIFIED", "DADC")),
    rule("adc-words", L.ADC, 12, NAMES, Text=matches(words.ADC), ImageType=DERIVED),
    # The description ends with what the image is; the protocol before it names the whole scan.
    rule("adc-description", L.ADC, 6, SIEMENS,
         Description=matches(r"\b(d|iso|av)?adc( ?maps?)?( \w{1,3})?$"), Direction=_NOT_DIRECTIONAL,
         ImageType=none_of("TRACEW", "TRACE", "FA", "COLFA")),
    rule("trace-description", L.DWI, 6, SIEMENS,
         Description=matches(r"\btrace(w|wdfc)?( \w{1,3})?$"), Direction=_NOT_DIRECTIONAL,
         ImageType=_NO_MAP, Weighting=none_of("B0")),
    rule("anisotropy-description", L.DIFFUSION_DERIVED, 6, SIEMENS,
         Description=matches(r"\b(col ?)?fa( \w{1,3})?$"), Excitation=NOT_GR,
         EchoPlanar=none_of("NO")),
    rule("map-sequence", L.DIFFUSION_DERIVED, 2, SIEMENS,
         SequenceName=matches(r"_b\d+_\d+\b")),
    rule("map-sequence-adc", L.ADC, 2, SIEMENS, SequenceName=matches(r"_b\d+_\d+\b")),
    # A map that calls itself original, as Philips makes them, or that has lost its type.
    rule("adc-words-alone", L.ADC, 7, PHILIPS,
         Text=matches(words.ADC), ImageType=none_of("DERIVED", "TRACEW", "TRACE"),
         Direction=none_of("DIRECTIONAL"), Weighting=none_of("B0")),
    # Lesions are bright on exponential maps and dark on ADC maps: never to be mixed up.
    rule("eadc-type", L.EADC, 30, VENDORS,
         ImageType=one_of("EADC", "EXP_ADC", "EXPONENTIAL", "EXPADC")),
    rule("eadc-exp-type", L.EADC, 30, SIEMENS,
         ImageType=one_of("EXP"), SeriesImageType=one_of("DIFFUSION")),
    rule("eadc-exp-words", L.EADC, 30, NAMES,
         Description=matches(r"\bexp\b.*\b(diff|dwi)|\b(diff\w*|dwi)\b.*\bexp\b"),
         ImageType=DERIVED),
    rule("eadc-words", L.EADC, 30, NAMES, Text=matches(words.EXPONENTIAL)),
    rule("anisotropy-type", L.DIFFUSION_DERIVED, 9, SIEMENS,
         ImageType=one_of(*_TENSOR_MAPS), Weighting=_ANY_DIFFUSION),
    rule("anisotropy-type-alone", L.DIFFUSION_DERIVED, 6, SIEMENS,
         ImageType=one_of(*_TENSOR_MAPS), EchoPlanar=none_of("NO")),
    rule("anisotropy-map", L.DIFFUSION_DERIVED, 9, STANDARD,
         DiffusionAnisotropyType=matches(r".+")),
    rule("anisotropy-words", L.DIFFUSION_DERIVED, 8, NAMES,
         Text=matches(words.ANISOTROPY), ImageType=DERIVED),
    rule("colour-anisotropy-words", L.DIFFUSION_DERIVED, 8, NAMES,
         Text=matches(words.COLOUR_ANISOTROPY)),
    rule("fibres-words", L.DIFFUSION_DERIVED, 16, NAMES,
         Text=matches(words.FIBRES),
         ImageType=DERIVED, SeriesImageType=lacks(r"^(ADC|TRACEW)$")),
)  # fmt: skip

DIFFUSION_RULES = (*_DIRECTIONS, *_IMAGES, *_COMPUTED)
