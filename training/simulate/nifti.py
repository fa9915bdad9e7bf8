"""A simulated case as NIfTI with the names of the Brain Imaging Data Structure (BIDS 1.10).

Values are those that the scanner would store, scaled by ``scl_slope`` and ``scl_inter``: what a
converter makes of the DICOM study of the same case.
"""

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from service.domain.geometry import Geometry
from service.domain.volume import Volume
from training.simulate.case import SIMULATOR_VERSION, Case
from training.simulate.exported import SIMULATED, Exported, Image, exported
from training.simulate.formats import Style
from training.simulate.site import Vendor
from training.simulate.stored import Stored, adc_unit

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
MANUFACTURERS = {Vendor.SIEMENS: "Siemens", Vendor.GE: "GE", Vendor.PHILIPS: "Philips"}
_SCANNER_SPACE = 1
# Folder and the end of the file name (schema rules/files/raw of the specification).
_PLACES: Mapping[Image, tuple[str, str]] = {
    Image.SWI: ("anat", "part-mag_T2starw"),
    Image.SWI_PHASE: ("anat", "part-phase_T2starw"),
    Image.T2STAR: ("anat", "part-mag_T2starw"),
    Image.T2STAR_PHASE: ("anat", "part-phase_T2starw"),
    Image.FLAIR: ("anat", "FLAIR"),
    Image.TOF: ("anat", "angio"),
    # Alone, without b0; with it both are one series `dwi`.
    Image.TRACE: ("dwi", "trace"),
    Image.ADC: ("dwi", "ADC"),
}
_DESCRIPTION: Mapping[str, Any] = {
    "Name": SIMULATED,
    "BIDSVersion": "1.10.0",
    "DatasetType": "raw",
    "License": "n/a",
    "GeneratedBy": [{"Name": "thrombolens simulate", "Version": SIMULATOR_VERSION}],
}


def subject(name: str) -> str:
    """Return ``sub-`` and the name of a case without what BIDS forbids in labels."""
    return "sub-" + re.sub(r"[^0-9A-Za-z]", "", name)


def write_bids(case: Case, folder: Path, style: Style | None = None) -> list[Path]:
    """Write all sequences of a case, and its truth under ``derivatives``, into a BIDS data set.

    Parameters
    ----------
    case : Case
    folder : Path
        Root of the data set, which may hold other cases; created if it is not there.
    style : Style, optional
        Whose scaling values get; that of the site's scanner if not given.

    Returns
    -------
    list of Path
        Every file written; the same case gives the same bytes.
    """
    style = style or Style.of(case.site.vendor)
    written = [*_write_descriptions(folder), *_write_images(case, folder, style)]
    truth = folder / "derivatives" / "truth" / subject(case.name)
    labels = {
        f"anat/{subject(case.name)}_desc-lumen_mask": case.lumen,
        f"anat/{subject(case.name)}_desc-svs_mask": case.svs,
        f"anat/{subject(case.name)}_desc-microbleed_mask": case.microbleeds,
    }
    for name, label in labels.items():
        written.append(_write_label(label, truth / f"{name}.nii.gz"))
    written.append(write_parameters(case, truth / f"{subject(case.name)}_case.json"))
    return written


def write_truth(case: Case, folder: Path) -> list[Path]:
    """Write labels (NIfTI, on the grid of SUSC) and what was drawn (JSON) into a folder."""
    return [
        _write_label(case.lumen, folder / "lumen.nii.gz"),
        _write_label(case.svs, folder / "svs.nii.gz"),
        _write_label(case.microbleeds, folder / "microbleed.nii.gz"),
        write_parameters(case, folder / "case.json"),
    ]


def write_parameters(case: Case, path: Path) -> Path:
    """Write everything that was drawn of a case as JSON."""
    return _write_json(path, {"name": case.name, "parameters": dict(case.parameters)})


def nifti_affine(geometry: Geometry) -> npt.NDArray[np.float64]:
    """Affine of (column, row, slice) indices to RAS mm."""
    return LPS_TO_RAS @ geometry.affine[:, [2, 1, 0, 3]]


def nifti_bytes(stored: Sequence[Stored]) -> bytes:
    """Return one volume, or several on one grid with one scale, as compressed NIfTI.

    Raises
    ------
    ValueError
        If grids or scales differ.
    """
    first = stored[0]
    for each in stored[1:]:
        if (each.slope, each.intercept) != (first.slope, first.intercept):
            raise ValueError("volumes of one file need one scale")
        if not each.geometry.same_grid(first.geometry):
            raise ValueError("volumes of one file need one grid")
    voxels = np.stack([each.voxels.transpose(2, 1, 0) for each in stored], axis=-1)
    # Twelve bits fit into int16, which every reader knows.
    whole = voxels[..., 0] if len(stored) == 1 else voxels
    image = nib.Nifti1Image(whole.astype(np.int16), None)
    affine = nifti_affine(first.geometry)
    image.set_sform(affine, code=_SCANNER_SPACE)
    image.set_qform(affine, code=_SCANNER_SPACE)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_slope_inter(first.slope, first.intercept)
    image.header["descrip"] = b"simulated, no patient"
    return gzip.compress(image.to_bytes(), mtime=0)


def _write_label(label: Volume, path: Path) -> Path:
    numbers = Stored(label.voxels.astype(np.uint16), label.geometry)
    return _write(path, nifti_bytes([numbers]))


def _write_images(case: Case, folder: Path, style: Style) -> list[Path]:
    images = exported(case, style)
    weighted = [each for each in images if each.image in (Image.B0, Image.TRACE)]
    series = len(weighted) > 1
    written = []
    for each in images:
        if each in weighted and series:
            continue
        kind, name = _PLACES[each.image]
        stem = folder / subject(case.name) / kind / f"{subject(case.name)}_{name}"
        written += _write_image([each], stem, case, style)
    if series:
        stem = folder / subject(case.name) / "dwi" / f"{subject(case.name)}_dwi"
        written += _write_image(weighted, stem, case, style)
        written += _write_gradients(weighted, stem)
    return written


def _write_image(parts: Sequence[Exported], stem: Path, case: Case, style: Style) -> list[Path]:
    return [
        _write(stem.with_name(f"{stem.name}.nii.gz"), nifti_bytes([each.stored for each in parts])),
        _write_json(stem.with_name(f"{stem.name}.json"), sidecar(parts[-1], case, style)),
    ]


def _write_gradients(parts: Sequence[Exported], stem: Path) -> list[Path]:
    """Write b-values and directions as FSL has them; trace images have no direction."""
    values = " ".join(f"{each.technique.b_value or 0:g}" for each in parts)
    directions = "\n".join([" ".join("0" for _ in parts)] * 3)
    return [
        _write(stem.with_name(f"{stem.name}.bval"), f"{values}\n".encode()),
        _write(stem.with_name(f"{stem.name}.bvec"), f"{directions}\n".encode()),
    ]


def sidecar(part: Exported, case: Case, style: Style) -> dict[str, Any]:
    """Return what the JSON file beside an image says; times in seconds."""
    technique, site = part.technique, case.site
    known: dict[str, Any] = {
        "Simulated": True,
        "Notice": SIMULATED,
        "Modality": "MR",
        "Manufacturer": MANUFACTURERS[style.vendor],
        "MagneticFieldStrength": site.field_strength_t,
        "MRAcquisitionType": "3D" if technique.volumetric else "2D",
        "EchoTime": round(technique.echo_ms / 1000, 9),
        "RepetitionTime": round(technique.repetition_ms / 1000, 9),
        "FlipAngle": technique.flip_deg,
        "SliceThickness": technique.thickness_mm,
        "SpacingBetweenSlices": round(part.stored.geometry.spacing[0], 6),
    }
    if technique.inversion_ms > 0:
        known["InversionTime"] = round(technique.inversion_ms / 1000, 9)
    if technique.planar_bandwidth_hz > 0:
        known["BandwidthPerPixelPhaseEncode"] = technique.planar_bandwidth_hz
    if technique.b_value:
        known["DiffusionBValue"] = technique.b_value
    if part.image is Image.ADC:
        known["Units"] = adc_unit(style)
    if part.image.is_phase:
        known["Units"] = "arbitrary"
    if part.image in (Image.SWI, Image.T2STAR):
        known["SusceptibilityComposition"] = str(site.susceptibility.composition)
    return known


def _write_descriptions(folder: Path) -> list[Path]:
    derivative = {**_DESCRIPTION, "Name": f"Truth: {SIMULATED}", "DatasetType": "derivative"}
    return [
        _write_json(folder / "dataset_description.json", _DESCRIPTION),
        _write_json(folder / "derivatives" / "truth" / "dataset_description.json", derivative),
    ]


def _write_json(path: Path, content: Mapping[str, Any]) -> Path:
    return _write(path, (json.dumps(content, indent=2, default=_plain) + "\n").encode())


def _plain(value: object) -> object:
    """Return what JSON can hold of a NumPy value."""
    if isinstance(value, np.generic | np.ndarray):
        plain: object = value.tolist()
        return plain
    raise TypeError(f"{value!r} has no place in JSON")


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
