"""In which forms a case can be written."""

from enum import StrEnum

from training.simulate.site import Vendor


class Format(StrEnum):
    """Kind of files."""

    NIFTI = "nifti"
    DICOM = "dicom"


class Style(StrEnum):
    """Kind of headers and scaling: maker, and classic or enhanced multi-frame objects."""

    SIEMENS = "siemens"
    SIEMENS_XA = "siemens-xa"
    GE = "ge"
    PHILIPS = "philips"
    PHILIPS_ENHANCED = "philips-enhanced"

    @property
    def vendor(self) -> Vendor:
        """Maker whose headers these are."""
        return Vendor(self.value.partition("-")[0])

    @classmethod
    def of(cls, vendor: Vendor) -> "Style":
        """Return the classic style of a maker."""
        return cls(vendor.value)
