"""What all DICOM objects of a result have in common: series, equipment, names, time, encoding."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

from highdicom import ContributingEquipment
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from service.domain.codes import ClinicalCode
from service.domain.identity import ResultIdentity
from service.stages.source_headers import latest_acquisition

# What de-identifiers write for "no date"; ContentDate must not be empty.
UNDATED = datetime(1900, 1, 1)  # noqa: DTZ001 - DICOM's wall clock carries no time zone
RESEARCH_ONLY = "RESEARCH USE ONLY"
_COPIED_KEYWORDS = ("PatientName", "StudyDescription", "BodyPartExamined", "TimezoneOffsetFromUTC")


def coded(code: ClinicalCode) -> Code:
    """Return a code as the writing library takes it."""
    return Code(*code)


@dataclass(frozen=True)
class ResultSeries:
    """One kind of result objects, each of which is alone in a series of its own.

    Attributes
    ----------
    purpose : str
        What the UIDs of series and object derive from.
    number : int
        SeriesNumber.
    name : str
        In the descriptions, which add that it is for research only.
    contribution : str
        What this service did, in the item about it.
    """

    purpose: str
    number: int
    name: str
    contribution: str

    def attributes(
        self, identity: ResultIdentity, source_datasets: Sequence[Dataset]
    ) -> dict[str, Any]:
        """Return series, equipment and times as all classes of the writing library take them.

        Times are those of the source images, never the clock's.
        """
        created = latest_acquisition(source_datasets) or UNDATED
        date, time = f"{created:%Y%m%d}", f"{created:%H%M%S.%f}"
        return {
            "series_instance_uid": identity.uid(self.purpose, "series"),
            "series_number": self.number,
            "series_description": f"AI thrombus {self.name} - {RESEARCH_ONLY}",
            "series_date": date,
            "series_time": time,
            "sop_instance_uid": identity.uid(self.purpose, "instance"),
            "instance_number": 1,
            "content_date": date,
            "content_time": time,
            "manufacturer": identity.manufacturer,
            "manufacturer_model_name": identity.product,
            "software_versions": identity.software_version,
            "device_serial_number": identity.installation_id,
            "contributing_equipment": [_equipment(identity, self.contribution)],
        }


def _equipment(identity: ResultIdentity, contribution: str) -> ContributingEquipment:
    """Return the item that names this service (PS3.3 C.12.1)."""
    return ContributingEquipment(
        manufacturer=identity.manufacturer,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=identity.product,
        software_versions=identity.software_version,
        device_serial_number=identity.installation_id,
        contribution_description=f"{contribution} - {RESEARCH_ONLY}",
    )


def copy_names(written: Dataset, source: Dataset) -> None:
    """Copy what the writer leaves out or, as for the patient's name, would quote in a warning."""
    for keyword in _COPIED_KEYWORDS:
        if source.get(keyword):
            written[keyword] = source[keyword]


def forget_clock(written: Dataset) -> None:
    """Delete when the writing library ran; that is not part of the result.

    Its own item is the last of the contributing equipment.
    """
    del written.InstanceCreationDate, written.InstanceCreationTime
    del written.ContributingEquipmentSequence[-1].ContributionDateTime


def plain(written: Dataset) -> Dataset:
    """Return the bare data set: the writer's class keeps tables of what was changed since."""
    bare = Dataset()
    bare.update(written)
    bare.preamble = written.preamble
    bare.file_meta = written.file_meta
    return bare


def encode(written: Dataset) -> bytes:
    """Return the object as a DICOM file (PS3.10)."""
    buffer = BytesIO()
    with disable_value_validation():
        written.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
