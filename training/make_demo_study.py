"""Make the demonstration study: ``python -m training.make_demo_study --seed N --out FILE.zip``.

A simulated multi-sequence examination as zipped DICOM, and its truth as NIfTI beside the zip,
never inside it. The same arguments give the same bytes.
"""

import gzip
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import nibabel as nib
import numpy as np
import typer

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.volume import Volume
from training.dicom_study import write_dicom_study
from training.simulate.anatomy import Float64, axial_grid
from training.simulate.case import Case, simulate_case

# Seeds of cohorts are multiples of a million and small numbers; these are far from all of them.
FIRST_SEED = 900_000_000
ZIP_DATE = (2026, 1, 1, 0, 0, 0)
LIMIT_BYTES = 8_000_000
# Height (mm) kept around the clot, so that the archive stays small.
KEPT_MM = 76.0
KEPT_TOF_MM = 33.0
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def crop_around_clot(case: Case) -> Case:
    """Keep the slices around the clot; every sequence stays on its own grid."""
    grid = case.lumen.geometry
    middle = float(grid.to_lps(np.argwhere(case.lumen.voxels).mean(axis=0))[2])
    volumes = {
        role: crop_slices(volume, middle, KEPT_TOF_MM if role is Role.TOF else KEPT_MM)
        for role, volume in case.volumes.items()
    }
    lumen, svs = (crop_slices(label, middle, KEPT_MM) for label in (case.lumen, case.svs))
    return replace(case, volumes=volumes, lumen=lumen, svs=svs)


def crop_slices(volume: Volume, middle_z: float, height_mm: float) -> Volume:
    """Keep the axial slices whose centre lies within half a height of ``middle_z``."""
    grid = volume.geometry
    heights = grid.origin[2] + grid.spacing[0] * np.arange(grid.shape[0])
    kept = np.flatnonzero(np.abs(heights - middle_z) <= height_mm / 2)
    first, last = int(kept[0]), int(kept[-1])
    origin = grid.to_lps((first, 0, 0))
    smaller = axial_grid(origin, grid.spacing, (last - first + 1, *grid.shape[1:]))
    return Volume(volume.voxels[first : last + 1], smaller)


def zip_study(folder: Path, archive: Path) -> None:
    """Zip all files of a folder with fixed dates, so that equal files give equal archives."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for path in sorted(folder.rglob("*.dcm")):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, path.read_bytes(), compresslevel=9)


def write_truth(case: Case, file: Path) -> None:
    """Write the labels as NIfTI: 1 where the clot is visible on SUSC, 2 its lumen, 3 both."""
    labels = case.svs.voxels.astype(np.uint8) + 2 * case.lumen.voxels.astype(np.uint8)
    image = nib.Nifti1Image(labels.transpose(2, 1, 0), _nifti_affine(case.lumen.geometry))
    image.header["descrip"] = b"simulated: 1 visible clot, 2 lumen, 3 both"
    file.write_bytes(gzip.compress(image.to_bytes(), mtime=0))


def _nifti_affine(geometry: Geometry) -> Float64:
    """Affine of (column, row, slice) indices to RAS mm."""
    return LPS_TO_RAS @ geometry.affine[:, [2, 1, 0, 3]]


def main(
    seed: Annotated[int, typer.Option(min=0)],
    out: Annotated[Path, typer.Option(help="Zip file; the truth is written beside it.")],
    site: Annotated[str, typer.Option()] = "C",
) -> None:
    """Simulate one case with a clot and write it."""
    case = crop_around_clot(simulate_case(FIRST_SEED + seed, site, with_clot=True))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_dicom_study(case, Path(folder), seed=FIRST_SEED + seed)
        zip_study(Path(folder), out)
    if out.stat().st_size > LIMIT_BYTES:
        raise typer.BadParameter(f"{out} has {out.stat().st_size} bytes, more than {LIMIT_BYTES}")
    truth = out.with_name("demo-truth.nii.gz")
    write_truth(case, truth)
    known = {name: case.parameters[name] for name in ("occlusion", "lumen_mm3", "svs_mm3")}
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB; {truth}: {known}")


if __name__ == "__main__":
    typer.run(main)
