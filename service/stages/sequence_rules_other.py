"""Rules about what the network has no use for, and must not get by mistake."""

from service.domain.sequence import SequenceLabel as L
from service.stages import sequence_words as words
from service.stages.sequence_rule import (
    DERIVED,
    EPI,
    GE,
    GR,
    MAGNITUDE,
    NAMES,
    NOT_EPI,
    NOT_GR,
    NOT_SE,
    PHASE,
    PHILIPS,
    PHYSICS,
    SE,
    SIEMENS,
    STANDARD,
    VENDORS,
    between,
    matches,
    none_of,
    one_of,
    rule,
)

_PERFUSION_MAPS = r"^(REL|R|CORREL)?(CBV|CBF|MTT|TTP|TMAX)(_REL)?$|^[PG]BP$|^PERFUSION_MAP$"
# Labels that only a magnitude image can have.
_MAGNITUDE_LABELS = (
    *(L.SWI, L.SWI_MINIP, L.T2STAR, L.T1, L.T2, L.PD, L.FLAIR, L.TOF, L.BOLD, L.DWI),
    *(L.DWI_DIRECTIONAL, L.DWI_B0, L.ADC),
)

_DYNAMIC = (
    rule("bold-physics", L.BOLD, 5, PHYSICS,
         EchoTime=between(7, 70), EchoPlanar=EPI, Excitation=GR, Weighting=one_of("NONE"),
         Component=MAGNITUDE),
    rule("bold-dynamic", L.BOLD, 4, PHYSICS,
         Repeats=between(13, 100_000), Excitation=GR, LongestEchoTime=between(15, 70),
         Weighting=one_of("NONE"), Component=MAGNITUDE),
    rule("bold-type", L.BOLD, 6, SIEMENS, ImageType=one_of("FMRI")),
    rule("bold-words", L.BOLD, 4, NAMES,
         Text=matches(words.FUNCTIONAL), EchoPlanar=EPI, Weighting=one_of("NONE")),
    rule("bold-words-alone", L.BOLD, 5, NAMES,
         Text=matches(words.FUNCTIONAL_PLAIN),
         EchoPlanar=none_of("NO"), ImageType=none_of("SW_M", "SWI")),
    rule("bold-sequence", L.BOLD, 3, GE,
         SequenceName=matches(r"\bepirt\w*|epfid2d|_bold|epi_fid|\bepi2d_bold")),
    rule("bold-contrast", L.BOLD, 2, STANDARD,
         AcquisitionContrast=one_of("T2_STAR"), EchoPlanar=EPI),
    rule("asl-type", L.ASL, 18, SIEMENS, ImageType=one_of("ASL", "ASL_SUB", "ASL_CBF")),
    rule("asl-label", L.ASL, 18, STANDARD, AslLabel=matches(r".+")),
    rule("asl-words", L.ASL, 18, NAMES, Text=matches(words.SPIN_LABELLING)),
    rule("asl-sequence", L.ASL, 12, VENDORS,
         SequenceName=matches(r"asl|tgse3d|\btgse")),
    rule("asl-grase", L.ASL, 5, SIEMENS, SequenceName=matches(r"\bgrs3d")),
    rule("asl-physics", L.ASL, 6.5, PHYSICS,
         EchoTime=between(7, 22), RepetitionTime=between(3000, 12000), EchoPlanar=EPI,
         Excitation=GR, Echoes=between(1, 1), Component=MAGNITUDE, Weighting=one_of("NONE")),
    rule("asl-3d-physics", L.ASL, 4, PHYSICS,
         EchoTime=between(7, 35), RepetitionTime=between(3000, 12000),
         SequenceName=matches(r"tgse|3dasl")),
    rule("asl-perfusion-type", L.ASL, 6, PHILIPS,
         ImageType=one_of("PERFUSION_FFE", "PERFUSION_SE")),
    rule("dsc-words", L.DSC, 12, NAMES, Text=matches(words.PERFUSION)),
    rule("dsc-map-words", L.DSC, 9, NAMES, Text=matches(words.PERFUSION_MAP)),
    rule("dsc-contrast", L.DSC, 6, STANDARD, AcquisitionContrast=one_of("PERFUSION")),
    rule("dsc-maps", L.DSC, 12, VENDORS, ImageType=matches(_PERFUSION_MAPS)),
    rule("dsc-type", L.DSC, 3, VENDORS, ImageType=one_of("PERFUSION")),
)  # fmt: skip

_FIELD = (
    rule("fieldmap-sequence", L.FIELDMAP, 18, SIEMENS, SequenceName=matches(r"\bfm[23]d")),
    rule("fieldmap-words", L.FIELDMAP, 14, NAMES,
         Text=matches(words.FIELD_MAP), EchoPlanar=NOT_EPI),
    rule("fieldmap-b0-words", L.FIELDMAP, 6, NAMES,
         Text=matches(words.B0), EchoPlanar=NOT_EPI, Excitation=NOT_SE,
         EchoTime=between(0.8, 13), Weighting=one_of("NONE")),
    rule("fieldmap-b0-words-alone", L.FIELDMAP, 4, NAMES,
         Text=matches(words.B0), EchoPlanar=NOT_EPI, Excitation=NOT_SE,
         Weighting=one_of("NONE")),
    rule("fieldmap-blip-words", L.FIELDMAP, 8, NAMES,
         Text=matches(words.BLIP_REVERSED), EchoPlanar=EPI, Excitation=NOT_GR,
         Weighting=one_of("NONE")),
    rule("fieldmap-type", L.FIELDMAP, 18, PHILIPS,
         SeriesImageType=one_of("FIELD_MAP", "FIELDMAP", "B0 MAP", "B0", "B1 MAP", "B1",
                                "PHASE DIFFERENCE"),
         EchoPlanar=NOT_EPI),
    # Two echoes so near to each other are made for a phase difference.
    rule("fieldmap-echoes", L.FIELDMAP, 7, PHYSICS,
         EchoStep=between(0.8, 3.2), LongestEchoTime=between(3, 13), Excitation=GR,
         EchoPlanar=NOT_EPI),
    rule("fieldmap-phase-physics", L.FIELDMAP, 3, PHYSICS,
         LongestEchoTime=between(2, 9.9), Component=PHASE, Excitation=GR, EchoPlanar=NOT_EPI),
)  # fmt: skip

FUNCTION_RULES = (*_DYNAMIC, *_FIELD)

OTHER_RULES = (
    rule("localizer-type", L.LOCALIZER, 18, STANDARD, ImageType=one_of("LOCALIZER")),
    rule("localizer-ge", L.LOCALIZER, 18, GE, SeriesPlane=between(256, 256)),
    # Functional studies look for regions with localizers of their own, which are echo-planar.
    rule("localizer-words", L.LOCALIZER, 18, NAMES,
         Text=matches(words.LOCALIZER), EchoPlanar=NOT_EPI),
    rule("localizer-planes", L.LOCALIZER, 7, PHYSICS,
         Orientations=between(3, 3), Slices=between(1, 30)),
    rule("localizer-physics", L.LOCALIZER, 5, PHYSICS,
         RepetitionTime=between(2, 25), LongestEchoTime=between(0.8, 6), Slices=between(1, 7),
         MRAcquisitionType=one_of("2D"), Excitation=GR, EchoPlanar=NOT_EPI),
    rule("localizer-scout", L.LOCALIZER, 3, PHYSICS,
         RepetitionTime=between(1.5, 4), LongestEchoTime=between(0.8, 1.8),
         FlipAngle=between(3, 12), MRAcquisitionType=one_of("3D"), Excitation=GR,
         EchoPlanar=NOT_EPI),
    rule("localizer-gap", L.LOCALIZER, 3, PHYSICS,
         SliceGap=between(1.8, 50), Slices=between(1, 15), Excitation=GR, EchoPlanar=NOT_EPI),
    rule("processed-words", L.OTHER_MR, 30, NAMES, Description=matches(words.PROCESSED)),
    rule("processed-derived-words", L.OTHER_MR, 30, NAMES,
         Description=matches(words.PROCESSED_IF_DERIVED), ImageType=DERIVED),
    rule("processed-type", L.OTHER_MR, 30, VENDORS,
         ImageType=one_of("SUBTRACTION", "NOISE", "MASK", "FUSION")),
    rule("exchange-words", L.OTHER_MR, 9, NAMES, Text=matches(words.EXCHANGE), Component=MAGNITUDE),
    rule("exchange-type", L.OTHER_MR, 9, PHILIPS,
         ImageType=one_of("APTW", "APTW_SE", "MTR", "MTC")),
    rule("setup-words", L.OTHER_MR, 9, NAMES, Text=matches(words.SETUP)),
    rule("report-type", L.NON_IMAGE, 18, VENDORS,
         ImageType=one_of("CSA REPORT", "SCREEN SAVE", "SCREENSAVE", "REPORT", "PROT", "EVIDENCE")),
    rule("spectrum-words", L.NON_IMAGE, 9, NAMES,
         Text=matches(words.SPECTRUM)),
    *(
        rule(f"not-magnitude-{label.value.lower()}", label, -20, STANDARD,
             Component=one_of("PHASE", "REAL", "IMAGINARY"))
        for label in _MAGNITUDE_LABELS
    ),
    rule("real-or-imaginary", L.OTHER_MR, 3, STANDARD, Component=one_of("REAL", "IMAGINARY")),
    rule("phase-of-spin-echo", L.OTHER_MR, 5, PHYSICS, Component=PHASE, Excitation=SE),
    rule("phase-of-epi", L.OTHER_MR, 5, PHYSICS, Component=PHASE, EchoPlanar=EPI),
)  # fmt: skip
