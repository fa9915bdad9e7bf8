"""The files that an analysis leaves, as bytes by name."""

import tempfile
from pathlib import Path

import SimpleITK as sitk

from service.adapters.report_json import report_to_json
from service.application.analyse_study import Analysis
from service.domain.result_file import ResultFile
from service.domain.volume import Volume
from service.stages.resample import to_image
from service.stages.result_object import encode


def analysis_files(analysis: Analysis) -> dict[str, bytes]:
    """Return what is to be written; a file is absent where the analysis has nothing for it."""
    files: dict[str, bytes] = {
        ResultFile.REPORT: report_to_json(analysis.report),
        ResultFile.STRUCTURED_REPORT: encode(analysis.structured_report),
    }
    if analysis.mask is not None:
        files[ResultFile.MASK] = mask_to_nifti(analysis.mask)
    if analysis.segmentation is not None:
        files[ResultFile.SEGMENTATION] = encode(analysis.segmentation)
    if analysis.preview_png is not None:
        files[ResultFile.PREVIEW] = analysis.preview_png
    if analysis.key_image is not None:
        files[ResultFile.KEY_IMAGE] = encode(analysis.key_image)
    return files


def mask_to_nifti(mask: Volume) -> bytes:
    """Return a compressed NIfTI file of 0 and finding numbers, uint16, on the mask's grid."""
    image = sitk.Cast(to_image(mask), sitk.sitkUInt16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ResultFile.MASK
        sitk.WriteImage(image, path, useCompression=True)
        return path.read_bytes()
