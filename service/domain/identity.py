"""Identifiers of results, derived from what was analysed and how, never drawn at random."""

import hashlib
from dataclasses import dataclass

# Bits of RFC 9562: version 8 is a UUID whose other bits are the maker's own, here of SHA-256.
_VERSION_MASK = ~(0xF << 76)
_VERSION_8 = 8 << 76
_VARIANT_MASK = ~(0x3 << 62)
_VARIANT_RFC = 0x2 << 62


def derive_uid(*parts: str) -> str:
    """Return the DICOM UID that belongs to these parts: the same parts, the same UID.

    Parameters
    ----------
    *parts : str
        At least one; ``("ab", "c")`` and ``("a", "bc")`` give different UIDs.

    Returns
    -------
    str
        ``2.25.`` and a UUID as a decimal number (PS3.5 B.2), at most 44 characters.

    Raises
    ------
    ValueError
        If there is nothing to derive from.
    """
    if not parts:
        raise ValueError("a UID is derived from at least one part")
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(f"{len(encoded)}:".encode())
        digest.update(encoded)
    number = int.from_bytes(digest.digest()[:16], "big")
    number = number & _VERSION_MASK | _VERSION_8
    return f"2.25.{number & _VARIANT_MASK | _VARIANT_RFC}"


@dataclass(frozen=True)
class ResultIdentity:
    """Who made the results of one analysis, and what their UIDs derive from.

    Attributes
    ----------
    analysis_digest : str
        SHA-256 over input, model and parameters, as in ``DetectionReport``.
    software_version : str
        Version of the service.
    manufacturer, product : str
        Manufacturer and ManufacturerModelName of the equipment that made the result.
    installation_id : str
        Stable name of this installation; becomes DeviceSerialNumber.
    """

    analysis_digest: str
    software_version: str
    manufacturer: str = "Thrombolens"
    product: str = "Thrombolens"
    installation_id: str = "research-installation"

    def uid(self, *purpose: str) -> str:
        """Return the UID of one object of this analysis, such as ``("segmentation", "series")``."""
        return derive_uid(self.analysis_digest, *purpose)

    def tracking_uid(self, finding_number: int) -> str:
        """Return the UID that names one finding in every object of this analysis."""
        return self.uid("finding", str(finding_number))

    @property
    def structured_report_uid(self) -> str:
        """SOP Instance UID of the structured report, which every analysis has."""
        return self.uid("structured report", "instance")
