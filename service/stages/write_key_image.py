"""The preview -> a secondary capture (PS3.3 A.8.1), for systems that show nothing else of ours.

The same preview, source and identity give the same bytes.
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from highdicom.sc import SCImage
from PIL import Image
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from service.domain.identity import ResultIdentity
from service.stages.result_object import ResultSeries, copy_names, forget_clock, plain
from service.stages.source_headers import study_header

SERIES = ResultSeries("key image", 9003, "key image", "Thrombus key image")


def write_key_image(
    preview_png: bytes, source_datasets: Sequence[Dataset], identity: ResultIdentity
) -> Dataset:
    """Write the picture as one colour image of the study.

    It is a page with several panels, so it has neither pixel spacing nor one orientation: scale
    bars and letters are drawn in it. No identity is.

    Parameters
    ----------
    preview_png : bytes
        As made by ``draw_preview``.
    source_datasets : sequence of Dataset
        Instances of the reference series: patient, study and time are theirs. Not changed.
    identity : ResultIdentity
        What the UIDs derive from, and the equipment.

    Returns
    -------
    Dataset
        Secondary Capture Image Storage, RGB, Explicit VR Little Endian, ready to be saved.

    Raises
    ------
    GeometryError
        If the source has no study UID.
    """
    with disable_value_validation():
        written = SCImage.from_ref_dataset(
            ref_dataset=study_header(source_datasets[0]),
            pixel_array=pixels_of(preview_png),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            # The writer insists on one; it is taken out below.
            patient_orientation=("L", "P"),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **SERIES.attributes(identity, source_datasets),
        )
        copy_names(written, source_datasets[0])
        if not written.get("BodyPartExamined"):
            # Of a body part that may be paired: required, and may be empty (type 2C).
            written.Laterality = None
        # Of a page with several panels: the same.
        written.PatientOrientation = None
        written.ConversionType = "WSD"
        written.BurnedInAnnotation = "NO"
        del written.DateOfSecondaryCapture, written.TimeOfSecondaryCapture
        forget_clock(written)
    return plain(written)


def pixels_of(preview_png: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the picture as uint8 (row, column, colour)."""
    with Image.open(BytesIO(preview_png)) as picture:
        return np.asarray(picture.convert("RGB"), np.uint8)
