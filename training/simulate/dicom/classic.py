"""Classic MR Image Storage (PS3.3 A.4): one file a slice."""

from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from training.simulate.dicom.maker import Details
from training.simulate.dicom.modules import (
    STUDY_DATE,
    Study,
    decimal,
    location,
    measures,
    orientation,
    pixel_data,
    pixels,
    position,
    rescaling,
    window,
)
from training.simulate.dicom.series import Part, Series
from training.simulate.exported import Image
from training.simulate.tissue import GAMMA_BAR_MHZ_PER_T


def classic_images(study: Study, series: Series) -> Iterator[Dataset]:
    """Yield the images of a series: its volumes in turn, each in slice order."""
    number = 0
    for turn, part in enumerate(series.parts, 1):
        details = study.maker.details(part.exported, part.sequence)
        common = technique_attributes(study, part) | dict(details.attributes)
        if part.exported.image is Image.LOCALIZER:
            common["AcquisitionNumber"] = turn
        for index in range(len(part.exported.stored.voxels)):
            number += 1
            dataset = study.header(series, MRImageStorage, number)
            dataset.AcquisitionDate, dataset.AcquisitionTime = STUDY_DATE, series.time
            yield _finished(dataset, part, index, common, details)


def _finished(
    dataset: Dataset, part: Part, index: int, common: dict[str, Any], details: Details
) -> Dataset:
    stored = part.exported.stored
    plane = {
        "ImagePositionPatient": position(stored.geometry, index),
        "ImageOrientationPatient": orientation(stored.geometry),
        "SliceLocation": location(stored.geometry, index),
        "PixelData": pixel_data(stored.voxels[index]),
    }
    for keyword, value in (common | plane).items():
        setattr(dataset, keyword, value)
    for element in details.private:
        element.add_to(dataset)
    return dataset


def technique_attributes(study: Study, part: Part) -> dict[str, Any]:
    """Return the MR Image module (PS3.3 C.8.3.1), plane size and pixel description of a volume."""
    row, stored, technique = part.row, part.exported.stored, part.exported.technique
    rows, columns = stored.voxels.shape[1:]
    planar = technique.planar_bandwidth_hz > 0
    attributes: dict[str, Any] = {
        "ImageType": list(row.image_type),
        "ScanningSequence": list(row.scanning),
        "SequenceVariant": list(row.variant),
        "ScanOptions": list(row.options),
        "MRAcquisitionType": "3D" if technique.volumetric else "2D",
        "AngioFlag": "Y" if part.exported.image is Image.TOF else "N",
        "RepetitionTime": decimal(technique.repetition_ms),
        "EchoTime": decimal(technique.echo_ms),
        "EchoNumbers": 1,
        "EchoTrainLength": technique.train,
        "FlipAngle": decimal(technique.flip_deg),
        "VariableFlipAngleFlag": "N",
        "NumberOfAverages": "1",
        "ImagingFrequency": f"{technique.field_t * GAMMA_BAR_MHZ_PER_T:.6f}",
        "ImagedNucleus": "1H",
        "PixelBandwidth": decimal(technique.bandwidth_hz),
        "NumberOfPhaseEncodingSteps": rows if planar else columns,
        "PercentSampling": "100",
        "PercentPhaseFieldOfView": "100",
        # Frequency rows, frequency columns, phase rows, phase columns (PS3.3 C.8.3.1).
        "AcquisitionMatrix": [columns, 0, 0, rows] if planar else [0, rows, columns, 0],
        "InPlanePhaseEncodingDirection": "COL" if planar else "ROW",
        "ReceiveCoilName": "Head",
        "TransmitCoilName": "Body",
        "AcquisitionNumber": 1,
    }
    if part.sequence:
        attributes["SequenceName"] = part.sequence
    if technique.inversion_ms > 0:
        attributes["InversionTime"] = decimal(technique.inversion_ms)
    if study.maker.rescale_type is not None:
        attributes |= rescaling(stored, study.maker.rescale_type)
    return attributes | measures(stored.geometry, technique) | pixels(stored) | window(stored)
