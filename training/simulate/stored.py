"""How each maker stores the values of an image as whole numbers, and how they are read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.volume import Volume
from training.simulate.formats import Style
from training.simulate.site import Vendor

# Magnitudes are scaled so that the median of the head is stored as this.
GREY_LEVEL = 400.0
# Air is darker than this share of the brightest tissue.
AIR_SHARE = 0.1
TWELVE_BITS = 4095


@dataclass(frozen=True, eq=False)
class Stored:
    """Whole numbers as they go into pixel data, and how they become values again.

    Attributes
    ----------
    voxels : int16 or uint16 array (slice, row, column)
    geometry : Geometry
    slope, intercept : float
        A value is ``voxel * slope + intercept`` (Rescale Slope and Intercept, PS3.3 C.11.1).
    """

    voxels: npt.NDArray[np.int16] | npt.NDArray[np.uint16]
    geometry: Geometry
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def signed(self) -> bool:
        """Whether numbers below zero can be stored."""
        return bool(self.voxels.dtype == np.int16)

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Values in the maker's unit, (slice, row, column)."""
        return np.asarray(self.voxels, np.float64) * self.slope + self.intercept


@dataclass(frozen=True)
class _Scale:
    """A value is a physical one times ``factor``; stored is ``(value - intercept) / slope``."""

    factor: float = 1.0
    slope: float = 1.0
    intercept: float = 0.0
    low: int = 0
    high: int = TWELVE_BITS
    signed: bool = False

    def apply(self, volume: Volume) -> Stored:
        numbers = (volume.voxels * self.factor - self.intercept) / self.slope
        whole = np.clip(np.rint(numbers), self.low, self.high)
        voxels = whole.astype(np.int16) if self.signed else whole.astype(np.uint16)
        return Stored(voxels, volume.geometry, self.slope, self.intercept)


_SIEMENS = _Scale()
_GE = _Scale(signed=True)
_MILLIRADIAN = 1000.0
# Phase: Siemens in 4096ths of pi, the others in thousandths of a radian.
_PHASE: Mapping[Vendor, _Scale] = {
    Vendor.SIEMENS: _Scale(factor=4096 / np.pi, slope=2.0, intercept=-4096.0),
    Vendor.GE: _Scale(factor=_MILLIRADIAN, low=-3142, high=3142, signed=True),
    Vendor.PHILIPS: _Scale(factor=_MILLIRADIAN, slope=1.534554334, intercept=-3142.0),
}
# ADC: 1e-6 mm2/s, but 1e-3 mm2/s in the enhanced objects of Philips; both are met in practice.
_ADC_FACTOR: Mapping[Style, float] = {Style.PHILIPS_ENHANCED: 1e-3}


def stored(role: Role, volume: Volume, style: Style, *, together: Sequence[Volume] = ()) -> Stored:
    """Turn the values of a simulated image into the whole numbers that a scanner would store.

    Parameters
    ----------
    role : Role
    volume : Volume
        As in ``Case.volumes``: phase in radians, ADC in 1e-6 mm2/s, magnitudes in arbitrary units.
    style : Style
    together : sequence of Volume
        All magnitudes that share one scale, such as those of a diffusion series; the first decides
        how bright they are. Without it the image is alone.

    Returns
    -------
    Stored
        Phase in the maker's unit (Siemens -4096..4094, others -3142..3142, for -pi..pi), ADC in
        ``adc_unit``, magnitudes with the head at some hundreds.
    """
    if role is Role.PHASE:
        return _PHASE[style.vendor].apply(volume)
    images = together or (volume,)
    factor = _ADC_FACTOR.get(style, 1.0) if role is Role.ADC else _brightness(images[0])
    return _plain(style, images, factor).apply(volume)


def adc_unit(style: Style) -> str:
    """Return the unit of stored ADC values, as people write it."""
    return "10^-3 mm2/s" if style in _ADC_FACTOR else "10^-6 mm2/s"


def _plain(style: Style, images: Sequence[Volume], factor: float) -> _Scale:
    """Return the scale of values that start at zero.

    Philips spreads each series over all twelve bits and says so in a fractional slope; the others
    store the values themselves.
    """
    if style.vendor is Vendor.SIEMENS:
        return replace(_SIEMENS, factor=factor)
    if style.vendor is Vendor.GE:
        return replace(_GE, factor=factor)
    top = max(float(image.voxels.max()) for image in images) * factor
    # Ten digits fit into a decimal string (PS3.5 6.2).
    slope = float(f"{top / TWELVE_BITS:.10g}") if top > 0 else 1.0
    return _Scale(factor=factor, slope=slope)


def _brightness(volume: Volume) -> float:
    """Return the factor that brings the median of the head to ``GREY_LEVEL``."""
    bright = float(np.percentile(volume.voxels, 99.5))
    head = volume.voxels[volume.voxels > AIR_SHARE * bright]
    return GREY_LEVEL / float(np.median(head)) if bright > 0 else 1.0
