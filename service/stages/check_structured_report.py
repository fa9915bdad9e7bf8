"""A structured report, read back -> the detection report that it must tell."""

from collections.abc import Iterator
from io import BytesIO

from highdicom.sr import Comprehensive3DSR, srread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from service.domain.codes import PRESENCE, THROMBUS, VOLUME
from service.domain.errors import SelfCheckError
from service.domain.report import DetectionReport
from service.stages.result_object import encode

TRACKING_UID = "112040"


def check_structured_report(
    structured_report: Dataset, report: DetectionReport, segmentation: Dataset | None
) -> None:
    """Write the object, read it back, and compare it with the report and the DICOM-SEG.

    Parameters
    ----------
    structured_report : Dataset
        As made by ``write_structured_report``.
    report : DetectionReport
        What it must tell.
    segmentation : Dataset or None
        Whose segments it must name; None if there is none.

    Raises
    ------
    SelfCheckError
        Naming what differs, or that the object cannot be read back at all.
    """
    with disable_value_validation():
        read = _read_back(structured_report)
        _check_form(read)
        _check_presence(read, report)
        _check_findings(read, report)
        _check_references(read, report, segmentation)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SelfCheckError(f"structured report: {message}")


def _read_back(structured_report: Dataset) -> Dataset:
    try:
        read = srread(BytesIO(encode(structured_report)))
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as exc:
        raise SelfCheckError(f"structured report: it cannot be read back: {exc!r}") from exc
    _require(isinstance(read, Comprehensive3DSR), f"its class is {read.SOPClassUID}")
    return read


def _check_form(read: Dataset) -> None:
    _require(read.VerificationFlag == "UNVERIFIED", f"it is {read.VerificationFlag}")
    _require(int(read.SeriesNumber) > 0, f"SeriesNumber is {read.SeriesNumber}")
    _require("RESEARCH USE ONLY" in read.SeriesDescription, "SeriesDescription lacks the notice")


def _check_presence(read: Dataset, report: DetectionReport) -> None:
    said = [
        item.ConceptCodeSequence[0].CodeValue
        for item in _items(read)
        if item.ValueType == "CODE" and _name(item) == THROMBUS.value
    ]
    wanted = PRESENCE[report.result].value
    _require(said == [wanted], f"it says {said} of a thrombus, not {wanted}")


def _check_findings(read: Dataset, report: DetectionReport) -> None:
    """One volume a finding, in order, as the report has it."""
    volumes = [
        float(item.MeasuredValueSequence[0].NumericValue)
        for item in _items(read)
        if item.ValueType == "NUM" and _name(item) == VOLUME.value
    ]
    wanted = [finding.volume_mm3 for finding in report.findings]
    same = len(volumes) == len(wanted) and all(
        abs(told - meant) < 0.001 for told, meant in zip(volumes, wanted, strict=True)
    )
    _require(same, f"volumes are {volumes} for the report's {wanted}")


def _check_references(read: Dataset, report: DetectionReport, segmentation: Dataset | None) -> None:
    """Every finding names its own segment of this segmentation, by the same tracking UID."""
    named = [
        (int(number), str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID))
        for item in _items(read)
        if item.ValueType == "IMAGE"
        for number in _numbers(item.ReferencedSOPSequence[0])
    ]
    uid = None if segmentation is None else str(segmentation.SOPInstanceUID)
    wanted = [(finding.number, uid) for finding in report.findings] if uid else []
    _require(named == wanted, f"it names segments {named} for {wanted}")
    if segmentation is None:
        return
    tracked = {
        str(item.UID) for item in _items(read) if item.ValueType == "UIDREF" and _tracks(item)
    }
    # A label map describes its background as well, which nothing tracks.
    items = [item for item in segmentation.SegmentSequence if item.SegmentNumber]
    segments = {str(item.TrackingUID) for item in items}
    _require(segments <= tracked, f"{len(segments - tracked)} segments have no group")


def _numbers(reference: Dataset) -> list[int]:
    value = reference.ReferencedSegmentNumber
    return [value] if isinstance(value, int) else list(value)


def _tracks(item: Dataset) -> bool:
    return _name(item) == TRACKING_UID


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def _items(item: Dataset) -> Iterator[Dataset]:
    for nested in item.get("ContentSequence", []):
        yield nested
        yield from _items(nested)
