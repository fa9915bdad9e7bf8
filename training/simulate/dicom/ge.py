"""GE: classic images as of DV 29.

b-values stand in (0043,1039) with a bias of 1e9, real and phase images are told apart by
(0043,102F), and pulse sequences are named in group 0019; images have no rescaling.
"""

from dataclasses import replace

from training.simulate.dicom.maker import Details, Maker, Private, Row
from training.simulate.exported import Exported, Image

_ACQUISITION = "GEMS_ACQU_01"
_RELATION = "GEMS_RELA_01"
_PARAMETERS = "GEMS_PARM_01"
# How GE marks that a b-value was set as such.
_B_VALUE_BIAS = 1_000_000_000
_LOCALIZER_PLANE = 256
_AXIAL_PLANE = 2
_PLAIN = ("ORIGINAL", "PRIMARY", "OTHER")
_GRADIENT = ("GR",), ("SS", "SP")
_PLANAR = ("EP", "SE"), ("NONE",), ("FAST_GEMS", "EPI_GEMS", "PFF", "FS")
_PROTOCOL = "Stroke simulated"

_ROWS: dict[Image, Row] = {
    Image.LOCALIZER: Row(
        1, "3-Plane Localizer", _PLAIN, "fgre", *_GRADIENT, ("FAST_GEMS", "SEQ_GEMS")
    ),
    Image.B0: Row(2, "Ax DWI b{b}", _PLAIN, "epi2", *_PLANAR),
    Image.TRACE: Row(2, "Ax DWI b{b}", _PLAIN, "epi2", *_PLANAR),
    Image.ADC: Row(
        250,
        "Apparent Diffusion Coefficient (mm2/s)",
        ("DERIVED", "SECONDARY", "DIFFUSION", "ADC"),
        "epi2",
        *_PLANAR,
    ),
    Image.SWI: Row(3, "Ax 3D SWAN", _PLAIN, "swan", *_GRADIENT, ("FAST_GEMS", "FC", "EDR_GEMS")),
    Image.SWI_PHASE: Row(
        301, "FILT_PHA: Ax 3D SWAN", _PLAIN, "swan", *_GRADIENT, ("FAST_GEMS", "FC", "EDR_GEMS")
    ),
    Image.T2STAR: Row(3, "Ax T2* GRE", _PLAIN, "gre", *_GRADIENT, ("FC", "EDR_GEMS")),
    Image.T2STAR_PHASE: Row(301, "Ax T2* GRE Phase", _PLAIN, "gre", *_GRADIENT, ("FC", "EDR_GEMS")),
    Image.FLAIR: Row(
        4,
        "Ax T2 FLAIR",
        _PLAIN,
        "fse-xl",
        ("SE", "IR"),
        ("SK",),
        ("FAST_GEMS", "EDR_GEMS", "FS", "T2FLAIR_GEMS"),
    ),
    Image.TOF: Row(
        5, "Ax 3D TOF", _PLAIN, "efgre3d", *_GRADIENT, ("FAST_GEMS", "VASCTOF_GEMS", "FC")
    ),
}


def _details(part: Exported, sequence: str) -> Details:
    technique = part.technique
    is_localizer = part.image is Image.LOCALIZER
    plane = _LOCALIZER_PLANE if is_localizer else _AXIAL_PLANE
    count = len(part.stored.voxels)
    private = [
        Private(0x0019, 0x10, 0x17, _ACQUISITION, "SS", plane),
        Private(0x0019, 0x10, 0x7E, _ACQUISITION, "SS", technique.echoes),
        Private(0x0019, 0x10, 0x9C, _ACQUISITION, "LO", sequence),
        Private(0x0019, 0x10, 0x9E, _ACQUISITION, "LO", sequence.upper()),
        Private(0x0021, 0x10, 0x4F, _RELATION, "SS", count),
        Private(0x0043, 0x10, 0x2F, _PARAMETERS, "SS", int(part.image.is_phase)),
    ]
    # Frequency, phase and slice component of the direction: zero for trace images.
    private += [
        Private(0x0019, 0x10, element, _ACQUISITION, "DS", "0") for element in (0xBB, 0xBC, 0xBD)
    ]
    if technique.b_value is not None:
        biased = round(technique.b_value) + (_B_VALUE_BIAS if technique.b_value > 0 else 0)
        private.append(Private(0x0043, 0x10, 0x39, _PARAMETERS, "IS", [biased, 8, 0, 0]))
    return Details({"ImagesInAcquisition": count}, private)


GE = Maker(
    manufacturer="GE MEDICAL SYSTEMS",
    model="Simulated SIGNA Premier",
    software=("29", "LX", "MR29.1 simulated"),
    rows={image: replace(row, protocol=_PROTOCOL) for image, row in _ROWS.items()},
    details=_details,
    rescale_type=None,
)
