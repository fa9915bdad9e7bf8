"""A simulated case as a folder of DICOM files; the truth is never among them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydicom.dataset import Dataset

from training.simulate.case import Case
from training.simulate.dicom.classic import classic_images
from training.simulate.dicom.enhanced import enhanced_image
from training.simulate.dicom.ge import GE
from training.simulate.dicom.maker import Maker
from training.simulate.dicom.modules import Study
from training.simulate.dicom.philips import PHILIPS, PHILIPS_ENHANCED
from training.simulate.dicom.series import Series, arranged
from training.simulate.dicom.siemens import SIEMENS, SIEMENS_XA
from training.simulate.exported import exported, localizers
from training.simulate.formats import Style

_MAKERS: Mapping[Style, Maker] = {
    Style.SIEMENS: SIEMENS,
    Style.SIEMENS_XA: SIEMENS_XA,
    Style.GE: GE,
    Style.PHILIPS: PHILIPS,
    Style.PHILIPS_ENHANCED: PHILIPS_ENHANCED,
}
_ENHANCED = frozenset({Style.SIEMENS_XA, Style.PHILIPS_ENHANCED})


def write_dicom(case: Case, folder: Path, style: Style) -> list[Path]:
    """Write all sequences of a case, and localizers, as a scanner of the given kind would.

    Parameters
    ----------
    case : Case
        Any site can be written in any style: sequences get the names of the maker's nearest
        product.
    folder : Path
        Gets one folder a series; created if it is not there.
    style : Style

    Returns
    -------
    list of Path
        Every file written, in order; the same case gives the same bytes.
    """
    study = Study(case, _MAKERS[style], _identity(case, style))
    images = [*localizers(case, style), *exported(case, style)]
    written = []
    for series in arranged(images, study.maker):
        target = folder / f"{series.number:04d}"
        target.mkdir(parents=True, exist_ok=True)
        for number, dataset in enumerate(_objects(study, series, style), 1):
            path = target / f"{number:04d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            written.append(path)
    return written


def _objects(study: Study, series: Series, style: Style) -> Iterator[Dataset]:
    if style in _ENHANCED:
        yield enhanced_image(study, series)
    else:
        yield from classic_images(study, series)


def _identity(case: Case, style: Style) -> tuple[str, ...]:
    """Return words that no other content shares, so that a UID never stands for two images."""
    digest = hashlib.sha256(json.dumps(case.parameters, sort_keys=True, default=str).encode())
    for role, volume in sorted(case.volumes.items()):
        digest.update(f"{role} {volume.geometry.affine.tolist()}".encode())
        digest.update(volume.voxels.tobytes())
    return ("thrombolens simulated study", case.name, style, digest.hexdigest())
