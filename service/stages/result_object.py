"""What every DICOM object of a result has in common: codes, equipment, names, time."""

from collections.abc import Sequence
from datetime import datetime

from highdicom import ContributingEquipment
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from service.domain.codes import ClinicalCode
from service.domain.identity import ResultIdentity
from service.stages.source_headers import latest_acquisition

# What de-identifiers write for "no date"; ContentDate must not be empty.
UNDATED = datetime(1900, 1, 1)  # noqa: DTZ001 - DICOM's wall clock carries no time zone
_COPIED_KEYWORDS = ("PatientName", "StudyDescription", "BodyPartExamined", "TimezoneOffsetFromUTC")


def coded(code: ClinicalCode) -> Code:
    """Return a code as the writing library takes it."""
    return Code(*code)


def created_at(source_datasets: Sequence[Dataset]) -> tuple[str, str]:
    """Return date and time of an object made from these images: theirs, never the clock's."""
    created = latest_acquisition(source_datasets) or UNDATED
    return f"{created:%Y%m%d}", f"{created:%H%M%S.%f}"


def processing_equipment(identity: ResultIdentity, contribution: str) -> ContributingEquipment:
    """Return the item that names this service (PS3.3 C.12.1)."""
    return ContributingEquipment(
        manufacturer=identity.manufacturer,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=identity.product,
        software_versions=identity.software_version,
        device_serial_number=identity.installation_id,
        contribution_description=f"{contribution} - RESEARCH USE ONLY",
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
