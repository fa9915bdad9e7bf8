"""Philips: classic images as of release 5.3, and enhanced ones as of release 11.

Slopes are fractional; besides display values (Rescale Slope) there is a private scale slope
(2005,100E) to floating-point ones: display value / (rescale slope x scale slope). Magnitude and
phase share a series, as do b0 and trace. Enhanced frames keep the header of the corresponding
classic image in (2005,140F).
"""

from dataclasses import replace
from typing import Any

from pydicom.dataset import Dataset

from training.simulate.dicom.maker import Details, Maker, Private, Row
from training.simulate.dicom.modules import item, rescaling
from training.simulate.exported import Exported, Image

_IMAGING = "Philips Imaging DD 001"
_MR = "Philips MR Imaging DD 001"
_MR_FRAME = "Philips MR Imaging DD 005"
_ORIGINAL = ("ORIGINAL", "PRIMARY")
_MILLIRADIAN = 1000.0
_GRADIENT = ("GR",), ("SP",)
_DIFFUSION = ("SE",), ("SK",), ("FS",)

_CLASSIC: dict[Image, Row] = {
    Image.LOCALIZER: Row(101, "Survey", (*_ORIGINAL, "M_FFE", "M", "FFE"), "FFE", *_GRADIENT),
    Image.B0: Row(201, "DWI_SSh", (*_ORIGINAL, "M_SE", "M", "SE"), "DwiSE", *_DIFFUSION),
    Image.TRACE: Row(201, "DWI_SSh", (*_ORIGINAL, "M_SE", "M", "SE"), "DwiSE", *_DIFFUSION),
    Image.ADC: Row(
        202,
        "dDWI_SSh ADC",
        (*_ORIGINAL, "ADC_UNSPECIFIED", "ADC", "UNSPECIFIED"),
        "DwiSE",
        *_DIFFUSION,
    ),
    Image.SWI: Row(
        301, "SWIp", (*_ORIGINAL, "SW_M_FFE", "SW_M", "FFE"), "T1FFE", *_GRADIENT, ("FC",)
    ),
    Image.SWI_PHASE: Row(
        301, "SWIp", (*_ORIGINAL, "SW_P_FFE", "SW_P", "FFE"), "T1FFE", *_GRADIENT, ("FC",)
    ),
    Image.T2STAR: Row(301, "T2W_FFE", (*_ORIGINAL, "M_FFE", "M", "FFE"), "T2FFE", *_GRADIENT),
    Image.T2STAR_PHASE: Row(
        301, "T2W_FFE", (*_ORIGINAL, "PHASE MAP", "P", "FFE"), "T2FFE", *_GRADIENT
    ),
    Image.FLAIR: Row(
        401, "T2W_FLAIR", (*_ORIGINAL, "M_IR", "M", "IR"), "TIR", ("IR",), ("SK",), ("FS",)
    ),
    Image.TOF: Row(501, "s3DI_MC_HR", (*_ORIGINAL, "M_FFE", "M", "FFE"), "T1FFE", *_GRADIENT),
}
# Contrast and value 4 of the frame type (PS3.3 C.8.13.3.1).
_FRAME_TYPES: dict[Image, tuple[str, ...]] = {
    Image.LOCALIZER: (*_ORIGINAL, "LOCALIZER", "NONE"),
    Image.B0: (*_ORIGINAL, "DIFFUSION", "NONE"),
    Image.TRACE: (*_ORIGINAL, "DIFFUSION", "NONE"),
    Image.ADC: ("DERIVED", "PRIMARY", "DIFFUSION", "ADC"),
    Image.SWI: (*_ORIGINAL, "T2_STAR", "M"),
    Image.SWI_PHASE: (*_ORIGINAL, "T2_STAR", "P"),
    Image.T2STAR: (*_ORIGINAL, "T2_STAR", "M"),
    Image.T2STAR_PHASE: (*_ORIGINAL, "T2_STAR", "P"),
    Image.FLAIR: (*_ORIGINAL, "FLUID_ATTENUATED", "NONE"),
    Image.TOF: (*_ORIGINAL, "TOF", "NONE"),
}


def _private(part: Exported, sequence: str) -> list[Private]:
    """Return b-value, technique and the scale to floating-point values."""
    stored, b_value = part.stored, part.technique.b_value
    # Radians for phase, display values for all others.
    per_value = _MILLIRADIAN if part.image.is_phase else 1.0
    elements: list[tuple[int, str, int, str, Any]] = [
        (0x2001, _IMAGING, 0x20, "LO", sequence),
        (0x2005, _MR, 0x0D, "FL", -stored.intercept / stored.slope),
        (0x2005, _MR, 0x0E, "FL", per_value / stored.slope),
        (0x2005, _MR, 0x11, "CS", "P" if part.image.is_phase else "M"),
    ]
    if b_value is not None:
        elements += [
            (0x2001, _IMAGING, 0x03, "FL", b_value),
            # I for isotropic, and for no direction at all.
            (0x2001, _IMAGING, 0x04, "CS", "I"),
            *((0x2005, _MR, place, "FL", 0.0) for place in (0xB0, 0xB1, 0xB2)),
        ]
    return [
        Private(group, 0x10, element, creator, vr, value)
        for group, creator, element, vr, value in elements
    ]


def _classic_details(part: Exported, sequence: str) -> Details:
    b_value = part.technique.b_value
    standard = {} if b_value is None else {"DiffusionBValue": b_value}
    return Details(standard, _private(part, sequence))


def _frame_details(part: Exported, sequence: str) -> Details:
    row = _CLASSIC[part.image]
    header: Dataset = item(
        rescaling(part.stored, "normalized").items(),
        ImageType=list(row.image_type),
        ScanningSequence=list(row.scanning),
        SequenceVariant=list(row.variant),
    )
    for element in _private(part, sequence):
        element.add_to(header)
    return Details(private=[Private(0x2005, 0x14, 0x0F, _MR_FRAME, "SQ", [header])])


def _rows(types: dict[Image, tuple[str, ...]]) -> dict[Image, Row]:
    return {
        image: replace(row, image_type=types[image], protocol="WIP {name}")
        for image, row in _CLASSIC.items()
    }


PHILIPS = Maker(
    manufacturer="Philips Medical Systems",
    model="Simulated Achieva dStream",
    software=("5.3.0", "5.3.0.3"),
    rows=_rows({image: row.image_type for image, row in _CLASSIC.items()}),
    details=_classic_details,
    rescale_type="normalized",
)
PHILIPS_ENHANCED = Maker(
    manufacturer="Philips",
    model="Simulated Ingenia Elition X",
    software=("11.0.0", "11.0.0.0"),
    rows=_rows(_FRAME_TYPES),
    details=_frame_details,
)
