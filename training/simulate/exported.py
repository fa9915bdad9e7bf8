"""What of a case goes into an archive: every image as stored, with the technique behind it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.stages.resample import resample_linear
from training.simulate.case import Case
from training.simulate.formats import Style
from training.simulate.site import Composition
from training.simulate.stored import Stored, stored

SIMULATED = "Simulated images, no patient: research and demonstration only"


class Image(StrEnum):
    """What an image of the archive is; decides how its maker heads it."""

    LOCALIZER = "localizer"
    SWI = "swi"
    SWI_PHASE = "swi phase"
    T2STAR = "t2star"
    T2STAR_PHASE = "t2star phase"
    B0 = "b0"
    TRACE = "trace"
    ADC = "adc"
    FLAIR = "flair"
    TOF = "tof"

    @property
    def is_diffusion(self) -> bool:
        """Whether the image is echo-planar and part of diffusion-weighted imaging."""
        return self in (Image.B0, Image.TRACE, Image.ADC)

    @property
    def is_phase(self) -> bool:
        """Whether the values are angles."""
        return self in (Image.SWI_PHASE, Image.T2STAR_PHASE)


@dataclass(frozen=True)
class Technique:
    """How an image was acquired.

    Attributes
    ----------
    echo_ms : float
        Mean of all echoes: the effective echo time of an image that is made of several.
    echoes : int
        Number of gradient echoes that the image is made of.
    inversion_ms : float
        0 without an inversion pulse.
    train : int
        Echo train length.
    bandwidth_hz : float
        Per pixel, along the readout.
    planar_bandwidth_hz : float
        Per pixel, along the phase encoding of echo-planar imaging; 0 for other sequences.
    strongest_b : float
        Strongest diffusion weighting of the sequence in s/mm2; 0 for other sequences.
    b_value : float or None
        That of this image; None where it has none, as ADC maps.
    """

    field_t: float
    volumetric: bool
    echo_ms: float
    echoes: int
    repetition_ms: float
    inversion_ms: float
    flip_deg: float
    train: int
    bandwidth_hz: float
    thickness_mm: float
    planar_bandwidth_hz: float = 0.0
    strongest_b: float = 0.0
    b_value: float | None = None


@dataclass(frozen=True, eq=False)
class Exported:
    """One volume of the archive."""

    image: Image
    stored: Stored
    technique: Technique


# Usual readout bandwidth in hertz per pixel, and echo train, of sequences that the physics leaves
# open.
_READOUT: dict[Role, tuple[float, int]] = {
    Role.SUSC: (140.0, 1),
    Role.PHASE: (140.0, 1),
    Role.DWI: (1500.0, 64),
    Role.ADC: (1500.0, 64),
    Role.FLAIR: (190.0, 16),
    Role.TOF: (180.0, 1),
}
LOCALIZER_MM = (7.0, 2.0, 2.0)
LOCALIZER_SLICES = 3
LOCALIZER_GAP_MM = 13.0
LOCALIZER_FIELD_MM = 240.0
# Axes (slice, row, column) of an axial, a coronal and a sagittal plane, LPS.
_PLANES = (
    ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
    ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
)


def exported(case: Case, style: Style) -> list[Exported]:
    """Return the images of all sequences that the case has, without localizers.

    Parameters
    ----------
    case : Case
    style : Style
        Decides how values are stored.
    """
    diffusion = [image for image in (case.b0, case.volumes.get(Role.DWI)) if image is not None]
    images = []
    if Role.DWI in case.volumes and case.b0 is not None:
        numbers = stored(Role.DWI, case.b0, style, together=diffusion)
        images.append(Exported(Image.B0, numbers, _technique(case, Role.DWI, b_value=0.0)))
    for role, volume in case.volumes.items():
        is_trace = role is Role.DWI
        numbers = stored(role, volume, style, together=diffusion if is_trace else ())
        weighting = case.scans[role].b_value if is_trace else None
        technique = _technique(case, role, b_value=weighting)
        images.append(Exported(_image(case, role), numbers, technique))
    return images


def _image(case: Case, role: Role) -> Image:
    plain = case.site.susceptibility.composition is Composition.MAGNITUDE
    return {
        Role.SUSC: Image.T2STAR if plain else Image.SWI,
        Role.PHASE: Image.T2STAR_PHASE if plain else Image.SWI_PHASE,
        Role.DWI: Image.TRACE,
        Role.ADC: Image.ADC,
        Role.FLAIR: Image.FLAIR,
        Role.TOF: Image.TOF,
    }[role]


def _technique(case: Case, role: Role, *, b_value: float | None = None) -> Technique:
    scan = case.scans[role]
    bandwidth, train = _READOUT[role]
    protocol = scan.protocol
    echoes = len(protocol.echo_times_ms)
    return Technique(
        field_t=case.site.field_strength_t,
        volumetric=protocol.volumetric,
        echo_ms=float(np.mean(protocol.echo_times_ms)),
        echoes=echoes,
        repetition_ms=protocol.repetition_ms,
        inversion_ms=protocol.inversion_ms,
        flip_deg=protocol.flip_deg,
        train=max(train, echoes),
        bandwidth_hz=bandwidth,
        thickness_mm=scan.thickness_mm,
        planar_bandwidth_hz=protocol.bandwidth_hz_per_px,
        strongest_b=scan.b_value,
        b_value=b_value,
    )


def localizers(case: Case, style: Style) -> Iterator[Exported]:
    """Yield a few slices in each plane through the middle of the head.

    They are reformats of the first magnitude that the case has; a case without any has none.
    """
    sources = [role for role in case.volumes if role not in (Role.PHASE, Role.ADC)]
    if not sources:
        return
    source = case.volumes[sources[0]]
    middle = source.geometry.to_lps((np.array(source.geometry.shape) - 1) / 2)
    technique = Technique(
        field_t=case.site.field_strength_t,
        volumetric=False,
        echo_ms=3.8,
        echoes=1,
        repetition_ms=8.6,
        inversion_ms=0.0,
        flip_deg=20.0,
        train=1,
        bandwidth_hz=320.0,
        thickness_mm=LOCALIZER_MM[0],
    )
    for axes in _PLANES:
        plane = resample_linear(source, _stack(middle, np.array(axes, float)), outside=0.0)
        numbers = stored(sources[0], plane, style, together=(source, plane))
        yield Exported(Image.LOCALIZER, numbers, technique)


def _stack(middle: npt.NDArray[np.float64], axes: npt.NDArray[np.float64]) -> Geometry:
    """Return a few square slices around a point (LPS mm)."""
    count = int(LOCALIZER_FIELD_MM / LOCALIZER_MM[1])
    spacing = (LOCALIZER_MM[0] + LOCALIZER_GAP_MM, *LOCALIZER_MM[1:])
    shape = (LOCALIZER_SLICES, count, count)
    corner = middle - (np.array(spacing) * (np.array(shape) - 1) / 2) @ axes
    return Geometry.from_components(origin=corner, axes=axes, spacing=spacing, shape=shape)
