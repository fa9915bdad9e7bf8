"""The files that an analysis leaves, as bytes by name."""

import tempfile
from pathlib import Path

import SimpleITK as sitk

from service.adapters.report_json import report_to_json
from service.application.analyse_study import Analysis
from service.domain.volume import Volume
from service.stages.resample import to_image
from service.stages.result_object import encode

REPORT = "report.json"
SEGMENTATION = "segmentation.dcm"
STRUCTURED_REPORT = "structured_report.dcm"
MASK = "mask.nii.gz"
PREVIEW = "preview.png"
KEY_IMAGE = "key_image.dcm"
FILE_NAMES = (REPORT, STRUCTURED_REPORT, SEGMENTATION, MASK, PREVIEW, KEY_IMAGE)


def analysis_files(analysis: Analysis) -> dict[str, bytes]:
    """Return what is to be written; a file is absent where the analysis has nothing for it."""
    files = {
        REPORT: report_to_json(analysis.report),
        STRUCTURED_REPORT: encode(analysis.structured_report),
    }
    if analysis.mask is not None:
        files[MASK] = mask_to_nifti(analysis.mask)
    if analysis.segmentation is not None:
        files[SEGMENTATION] = encode(analysis.segmentation)
    if analysis.preview_png is not None:
        files[PREVIEW] = analysis.preview_png
    if analysis.key_image is not None:
        files[KEY_IMAGE] = encode(analysis.key_image)
    return files


def mask_to_nifti(mask: Volume) -> bytes:
    """Return a compressed NIfTI file of 0 and finding numbers, uint16, on the mask's grid."""
    image = sitk.Cast(to_image(mask), sitk.sitkUInt16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MASK
        sitk.WriteImage(image, path, useCompression=True)
        return path.read_bytes()
