"""Rules about what the pixels show: tie-breaks, and vetoes against what must not be mixed up.

They hang on traits that were tuned on the real and simulated images named in `pixel_traits`.
"""

from service.domain.sequence import SequenceLabel as L
from service.stages.sequence_rule import (
    GR,
    NOT_EPI,
    NOT_GR,
    NOT_SE,
    between,
    matches,
    one_of,
    rule,
)

PIXELS = "measured on images; pixel_traits"
_BRIGHT, _DARK = one_of("BRIGHT"), one_of("DARK")
_NO_PHASE_LABELS = (L.SWI, L.T2STAR, L.TOF, L.FLAIR, L.T1, L.T2, L.DWI, L.DWI_DIRECTIONAL, L.ADC)
_DARK_FLUID_LABELS = (L.FLAIR, L.DWI, L.DWI_DIRECTIONAL, L.EADC, L.T1)
_BRIGHT_FLUID_LABELS = (L.ADC, L.T2, L.DWI_B0)

PIXEL_RULES = (
    rule("pixels-phase", L.PHASE, 4, PIXELS,
         PixelPhaseLike=one_of("YES"), EchoPlanar=NOT_EPI, Excitation=NOT_SE),
    rule("pixels-no-phase", L.PHASE, -6, PIXELS, PixelPhaseLike=one_of("NO")),
    *(
        rule(f"pixels-phase-not-{label.value.lower()}", label, -6, PIXELS,
             PixelPhaseLike=one_of("YES"))
        for label in _NO_PHASE_LABELS
    ),
    rule("pixels-adc-unit", L.ADC, 1.5, PIXELS,
         PixelAdcUnit=matches("^1e-"), ImageType=one_of("DERIVED", "ADC")),
    rule("pixels-no-adc", L.ADC, -5, PIXELS, PixelAdcUnit=one_of("NONE")),
    rule("pixels-no-adc-fluid", L.ADC, -7, PIXELS, PixelFluid=_DARK),
    *(
        rule(f"pixels-fluid-not-{label.value.lower()}", label, -6, PIXELS, PixelFluid=_BRIGHT)
        for label in _DARK_FLUID_LABELS
    ),
    *(
        rule(f"pixels-fluid-{label.value.lower()}", label, 2, PIXELS, PixelFluid=_BRIGHT)
        for label in _BRIGHT_FLUID_LABELS
    ),
    rule("pixels-dark-fluid-not-t2", L.T2, -6, PIXELS, PixelFluid=_DARK),
    rule("pixels-dark-fluid-not-b0", L.DWI_B0, -6, PIXELS, PixelFluid=_DARK),
    rule("pixels-dark-fluid", L.FLAIR, 3, PIXELS,
         PixelFluid=_DARK, EchoTime=between(50, 700), Excitation=NOT_GR, EchoPlanar=NOT_EPI),
    rule("pixels-vessels", L.TOF, 4, PIXELS,
         PixelVessels=_BRIGHT, Excitation=NOT_SE, EchoPlanar=NOT_EPI),
    rule("pixels-vessels-not-swi", L.SWI, -3, PIXELS, PixelVessels=_BRIGHT),
    rule("pixels-decay", L.T2STAR, 2, PIXELS,
         PixelEchoDecay=between(0.2, 0.98), Excitation=GR, EchoPlanar=NOT_EPI),
    rule("pixels-no-decay", L.T2STAR, -3, PIXELS, PixelEchoDecay=between(1.05, 100)),
)  # fmt: skip
