"""The DICOM JSON Model (PS3.18 annex F), as far as its answers are read and written here."""

from collections.abc import Mapping

MEDIA_TYPE = "application/dicom+json"
MODALITY = "00080060"
SOP_INSTANCE_UID = "00080018"
SERIES_INSTANCE_UID = "0020000E"
REFERENCED_SOP_CLASS_UID = "00081150"
REFERENCED_SOP_INSTANCE_UID = "00081155"
RETRIEVE_URL = "00081190"
WARNING_REASON = "00081196"
FAILURE_REASON = "00081197"
FAILED_SOP_SEQUENCE = "00081198"
REFERENCED_SOP_SEQUENCE = "00081199"
OTHER_FAILURES_SEQUENCE = "0008119A"


def values(item: object, tag: str) -> list[object]:
    """Return the values of an element of a data set, none of what is no data set."""
    element = item.get(tag) if isinstance(item, Mapping) else None
    found = element.get("Value") if isinstance(element, Mapping) else None
    return found if isinstance(found, list) else []


def first(item: object, tag: str) -> object:
    """Return the first value of an element, or None."""
    return next(iter(values(item, tag)), None)
