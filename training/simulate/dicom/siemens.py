"""Siemens: classic images as of syngo MR E11, and enhanced ones as of syngo MR XA30.

Image types, sequence names and private elements are those of real headers of both; phase in
4096ths of pi, b-values in group 0019 (classic) or the diffusion macro (enhanced).
"""

from dataclasses import replace

from pydicom.dataset import Dataset

from training.simulate.dicom.maker import Details, Maker, Private, Row
from training.simulate.exported import Exported, Image

_HEADER = "SIEMENS MR HEADER"
_FRAME = "SIEMENS MR SDI 02"
_ORIGINAL = ("ORIGINAL", "PRIMARY")
_DERIVED = ("DERIVED", "PRIMARY")
_DIFFUSION = ("EP",), ("SK", "SP"), ("PFP", "FS")
_DIRECTIONALITY = {Image.B0: "NONE", Image.TRACE: "ISOTROPIC"}

_CLASSIC: dict[Image, Row] = {
    Image.LOCALIZER: Row(
        1, "localizer", (*_ORIGINAL, "M", "NORM", "DIS2D"), "*fl2d1", ("GR",), ("SP", "OSP")
    ),
    Image.B0: Row(
        2,
        "ep2d_diff_3scan_trace_TRACEW",
        (*_ORIGINAL, "DIFFUSION", "TRACEW", "NORM", "DIS2D"),
        "*ep_b0",
        *_DIFFUSION,
        protocol="ep2d_diff_3scan_trace",
    ),
    Image.TRACE: Row(
        2,
        "ep2d_diff_3scan_trace_TRACEW",
        (*_ORIGINAL, "DIFFUSION", "TRACEW", "NORM", "DIS2D"),
        "*ep_b{b}t",
        *_DIFFUSION,
        protocol="ep2d_diff_3scan_trace",
    ),
    Image.ADC: Row(
        3,
        "ep2d_diff_3scan_trace_ADC",
        (*_DERIVED, "DIFFUSION", "ADC", "NORM", "DIS2D"),
        "*ep_b0_{b}",
        *_DIFFUSION,
        protocol="ep2d_diff_3scan_trace",
    ),
    Image.SWI_PHASE: Row(
        5,
        "Pha_Images",
        (*_ORIGINAL, "P", "ND"),
        "*swi3d1r",
        ("GR",),
        ("SP",),
        ("PFP",),
        protocol="t2_swi3d_tra_p2",
    ),
    Image.SWI: Row(
        7,
        "SWI_Images",
        (*_ORIGINAL, "M", "SWI", "NORM"),
        "*swi3d1r",
        ("GR",),
        ("SP",),
        ("PFP",),
        protocol="t2_swi3d_tra_p2",
    ),
    Image.T2STAR: Row(
        7, "t2_fl{d}d_tra_hemo", (*_ORIGINAL, "M", "NORM", "DIS2D"), "*fl{d}d1", ("GR",), ("SP",)
    ),
    Image.T2STAR_PHASE: Row(
        8, "t2_fl{d}d_tra_hemo", (*_ORIGINAL, "P", "ND"), "*fl{d}d1", ("GR",), ("SP",)
    ),
    Image.FLAIR: Row(
        9,
        "t2_tirm_tra_dark-fluid",
        (*_ORIGINAL, "M", "NORM", "DIS2D"),
        "*tir{d}d1_16",
        ("SE", "IR"),
        ("SK", "SP", "MP"),
    ),
    Image.TOF: Row(
        10,
        "TOF_3D_multi-slab",
        (*_ORIGINAL, "M", "NORM", "DIS2D"),
        "*fl{d}d1r_t70",
        ("GR",),
        ("SP",),
    ),
}


# XA writes four values; its trace series holds weighted images alone.
_FRAME_TYPES: dict[Image, tuple[str, ...]] = {
    Image.LOCALIZER: (*_ORIGINAL, "M", "NONE"),
    Image.B0: (*_ORIGINAL, "DIFFUSION", "NONE"),
    Image.TRACE: (*_DERIVED, "DIFFUSION", "TRACEW"),
    Image.ADC: (*_DERIVED, "DIFFUSION", "ADC"),
    Image.SWI_PHASE: (*_ORIGINAL, "P", "NONE"),
    Image.SWI: (*_ORIGINAL, "SWI", "NONE"),
    Image.T2STAR: (*_ORIGINAL, "M", "NONE"),
    Image.T2STAR_PHASE: (*_ORIGINAL, "P", "NONE"),
    Image.FLAIR: (*_ORIGINAL, "M", "NONE"),
    Image.TOF: (*_ORIGINAL, "M", "NONE"),
}


def _enhanced_row(image: Image) -> Row:
    row = replace(_CLASSIC[image], image_type=_FRAME_TYPES[image])
    if image.is_diffusion:
        row = replace(row, sequence="epse2d1_96")
    return replace(row, series=4, name=row.protocol) if image is Image.B0 else row


def _classic_details(part: Exported, _: str) -> Details:
    """Return b-value, directionality and phase-encoding bandwidth in group 0019."""
    technique = part.technique
    private = [
        Private(0x0019, 0x10, 0x08, _HEADER, "CS", "IMAGE NUM 4"),
        Private(0x0019, 0x10, 0x09, _HEADER, "LO", "1.0"),
    ]
    if technique.b_value is not None:
        private += [
            Private(0x0019, 0x10, 0x0C, _HEADER, "IS", round(technique.b_value)),
            Private(0x0019, 0x10, 0x0D, _HEADER, "CS", _DIRECTIONALITY[part.image]),
        ]
    if technique.planar_bandwidth_hz > 0:
        private.append(Private(0x0019, 0x10, 0x28, _HEADER, "FD", technique.planar_bandwidth_hz))
    text = "/".join(_CLASSIC[part.image].image_type[2:])
    private.append(Private(0x0051, 0x10, 0x16, _HEADER, "LO", text))
    return Details(private=private)


def _frame_details(part: Exported, _: str) -> Details:
    """Return the classic image type, which XA keeps in a private sequence of each frame."""
    inner = Dataset()
    Private(0x0021, 0x11, 0x75, _FRAME, "CS", list(_CLASSIC[part.image].image_type)).add_to(inner)
    if part.technique.planar_bandwidth_hz > 0:
        Private(0x0021, 0x11, 0x53, _FRAME, "FD", part.technique.planar_bandwidth_hz).add_to(inner)
    return Details(private=[Private(0x0021, 0x11, 0xFE, _FRAME, "SQ", [inner])])


SIEMENS = Maker(
    manufacturer="SIEMENS",
    model="Simulated Skyra",
    software=("syngo MR E11",),
    rows=_CLASSIC,
    details=_classic_details,
)
SIEMENS_XA = Maker(
    manufacturer="Siemens Healthineers",
    model="Simulated MAGNETOM Vida",
    software=("syngo MR XA30",),
    rows={image: _enhanced_row(image) for image in _CLASSIC},
    details=_frame_details,
)
