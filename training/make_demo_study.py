"""Make the demonstration study: ``python -m training.make_demo_study --seed N --out FILE.zip``.

A simulated multi-sequence examination as zipped DICOM, and its truth as NIfTI beside the zip,
never inside it. The same arguments give the same bytes.
"""

import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.volume import Volume
from training.simulate.case import Case
from training.simulate.dicom.study import write_dicom
from training.simulate.examine import Options, simulate_case
from training.simulate.formats import Style
from training.simulate.nifti import nifti_bytes
from training.simulate.site import Site, SiteError, load_sites
from training.simulate.stored import Stored

# Seeds of cohorts are multiples of a million and small numbers; these are far from all of them.
FIRST_SEED = 900_000_000
ZIP_DATE = (2026, 1, 1, 0, 0, 0)
LIMIT_BYTES = 8_000_000
# Height (mm) kept around the clot, so that the archive stays small.
KEPT_MM = 52.0
KEPT_TOF_MM = 20.0
# Share of a slice by which rounding may move the border of what is kept.
SLACK = 1e-6

Float64 = npt.NDArray[np.float64]


def crop_around_clot(case: Case) -> Case:
    """Keep the slices around the clot; every sequence stays on its own grid."""
    grid = case.lumen.geometry
    middle = grid.to_lps(np.argwhere(case.lumen.voxels).mean(axis=0))
    volumes = {
        role: crop_slices(volume, middle, KEPT_TOF_MM if role is Role.TOF else KEPT_MM)
        for role, volume in case.volumes.items()
    }
    return replace(
        case,
        volumes=volumes,
        b0=None if case.b0 is None else crop_slices(case.b0, middle, KEPT_MM),
        lumen=crop_slices(case.lumen, middle, KEPT_MM),
        svs=crop_slices(case.svs, middle, KEPT_MM),
        microbleeds=crop_slices(case.microbleeds, middle, KEPT_MM),
    )


def crop_slices(volume: Volume, middle: Float64, height_mm: float) -> Volume:
    """Keep the slices within half a height of a point, however they are inclined.

    Parameters
    ----------
    volume : Volume
    middle : array (3,)
        LPS mm; where it lies beyond the stack, the slices nearest to it are kept.
    height_mm : float
        Along the slice axis.
    """
    grid = volume.geometry
    last_slice = grid.shape[0] - 1
    centre = float(np.clip(grid.to_index(middle)[0], 0, last_slice))
    half = height_mm / 2 / grid.spacing[0] + SLACK
    first, last = max(0, int(np.ceil(centre - half))), min(last_slice, int(centre + half))
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_lps((first, 0, 0))
    shape = (last - first + 1, *grid.shape[1:])
    smaller = Geometry(affine, shape, grid.frame_of_reference_uid)
    return Volume(volume.voxels[first : last + 1], smaller)


def zip_study(folder: Path, archive: Path) -> None:
    """Zip all files of a folder with fixed dates, so that equal files give equal archives."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for path in sorted(folder.rglob("*.dcm")):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, path.read_bytes(), compresslevel=9)


def write_labels(case: Case, file: Path) -> None:
    """Write the labels as NIfTI: 1 where the clot is visible on SUSC, 2 its lumen, 3 both."""
    labels = case.svs.voxels.astype(np.uint16) + 2 * case.lumen.voxels.astype(np.uint16)
    file.write_bytes(nifti_bytes([Stored(labels, case.lumen.geometry)]))


def find_site(name: str) -> Site:
    """Return the site of a name; refuse what is not one site."""
    try:
        found = load_sites().select(name)
    except SiteError as exc:
        raise typer.BadParameter(str(exc)) from exc
    if len(found) != 1:
        raise typer.BadParameter(f"the study is of one site, {name!r} are {len(found)}")
    return found[0]


def main(
    seed: Annotated[int, typer.Option(min=0)],
    out: Annotated[Path, typer.Option(help="Zip file; the truth is written beside it.")],
    site: Annotated[str, typer.Option()] = "C",
) -> None:
    """Simulate one case with a clot and all sequences, and write it."""
    hospital = find_site(site)
    options = Options(with_clot=True, complete=True)
    case = crop_around_clot(simulate_case(FIRST_SEED + seed, hospital, options))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_dicom(case, Path(folder), Style.of(hospital.vendor))
        zip_study(Path(folder), out)
    if out.stat().st_size > LIMIT_BYTES:
        raise typer.BadParameter(f"{out} has {out.stat().st_size} bytes, more than {LIMIT_BYTES}")
    truth = out.with_name("demo-truth.nii.gz")
    write_labels(case, truth)
    voxels = f"{int(case.lumen.voxels.sum())} voxels of clot"
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB; {truth}: {voxels}")


if __name__ == "__main__":
    typer.run(main)
