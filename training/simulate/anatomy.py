"""A head as maps of tissue: the MNI152 atlas's brain with the rest of a head built around it.

The template is the MNI152 2009a symmetric atlas at 1 mm inside the nilearn package. Its T1 image
is already stripped of the skull; `training.simulate.surroundings` puts one back.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import nilearn.datasets
import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from scipy import ndimage

from service.domain.geometry import Geometry
from training.simulate.grids import (
    Float32,
    Float64,
    axial_grid,
    ellipsoid,
    ras_to_lps,
    resample_axial,
    signed_distance,
)
from training.simulate.surroundings import surround

Place = Callable[[npt.ArrayLike], Float64]

# Box of the atlas's head in MNI mm (z, y, x), LPS: first and last voxel.
MNI_BOX_MM = ((-114, -108, -98), (104, 130, 98))
# Sulci and cisterns narrower than twice this count as inside the brain's surface.
CLOSING_MM = 6.0
DEBLUR_MM, DEBLUR = 3.0, 2.0

# Iron-rich nuclei: centre and radii in MNI mm (right, anterior, superior) on the right side,
# mirrored to the left. Positions read from the atlas; radii are approximate. Susceptibility in
# ppm relative to the tissue around, after the tissue table of qsm-forward.
NUCLEI: dict[str, tuple[tuple[float, float, float], tuple[float, float, float], float]] = {
    "globus pallidus": ((19, -4, -1), (4.5, 8, 5), 0.13),
    "putamen": ((26, 4, 1), (4, 12, 8), 0.04),
    "caudate head": ((12, 13, 8), (4.5, 8, 7), 0.04),
    "substantia nigra": ((10, -18, -11), (3, 6, 3.5), 0.11),
    "red nucleus": ((5, -20, -9), (3, 3, 3), 0.10),
    "dentate nucleus": ((15, -58, -34), (5, 8, 4), 0.15),
}


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Tissue of one head on a 1 mm axial grid, arrays (slice, row, column).

    Attributes
    ----------
    name : str
    tissues : mapping of str to float32 array
        Fraction 0..1 of each of TISSUE_NAMES; what is left of 1 is air. Vitreous is fluid;
        muscle, skin and dura are soft; fat is that of scalp, orbits and marrow.
    iron_ppm : float32 array
        Susceptibility that deep nuclei have beyond that of their tissue.
    surface_mm : float32 array
        Signed distance to the surface of the brain with its sulci closed, negative inside.
    geometry : Geometry
    from_mni : callable
        Turns (..., 3) LPS points of the MNI atlas into LPS points of this head, mm.
    """

    name: str
    tissues: Mapping[str, Float32]
    iron_ppm: Float32
    surface_mm: Float32
    geometry: Geometry
    from_mni: Place


MNI = "MNI152"


@functools.cache
def load_mni() -> Anatomy:
    """Read the atlas from the installed nilearn package and build a head around it."""
    folder = Path(nilearn.datasets.__file__).parent / "data"
    low, high = np.array(MNI_BOX_MM)
    geometry = axial_grid(low[::-1], (1.0, 1.0, 1.0), tuple(high - low + 1))
    t1, grey, white = (
        _read_atlas(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz", geometry)
        for name in ("t1", "gm", "wm")
    )
    surface = closed_surface(t1 > 0)
    grey, white = _deblurred(grey / np.float32(255), white / np.float32(255))
    return Anatomy(
        name=MNI,
        tissues=surround(grey, white, surface, geometry),
        iron_ppm=paint_nuclei(geometry, NUCLEI, np.asarray),
        surface_mm=surface,
        geometry=geometry,
        from_mni=functools.partial(np.asarray, dtype=np.float64),
    )


def _read_atlas(path: Path, geometry: Geometry) -> Float32:
    """Bring a map of the atlas onto an axial LPS grid at whole millimetres."""
    image = nib.load(path)
    array = np.asarray(image.dataobj).transpose(2, 1, 0)[:, ::-1, ::-1]
    # Flipping both in-plane axes puts the last RAS sample first.
    last = apply_affine(image.affine, np.array(image.shape) - 1)
    origin = np.array([-last[0], -last[1], image.affine[2, 3]])
    source = axial_grid(origin, (1.0, 1.0, 1.0), array.shape)
    return resample_axial(array.astype(np.float32), source, geometry)


def _deblurred(grey: Float32, white: Float32) -> tuple[Float32, Float32]:
    """Open the sulci again, which are half filled in a mean of many brains."""
    matter = grey + white
    contrast = matter - ndimage.gaussian_filter(matter, DEBLUR_MM, truncate=2.5)
    sharp = np.clip(matter + np.float32(DEBLUR) * contrast, 0, 1)
    ratio = np.minimum(sharp / np.maximum(matter, np.float32(0.05)), 1 / np.maximum(matter, 1e-6))
    return grey * ratio, white * ratio


def closed_surface(brain: npt.NDArray[np.bool_], closing_mm: float = CLOSING_MM) -> Float32:
    """Return the signed distance in mm (1 mm voxels) to a mask's surface after closing it."""
    grown = signed_distance(signed_distance(brain) < closing_mm)
    return signed_distance(grown < -closing_mm)


def paint_nuclei(
    grid: Geometry,
    nuclei: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float], float]],
    place: Place,
) -> Float32:
    """Return the susceptibility in ppm of nuclei given in MNI mm, put where ``place`` says."""
    iron = np.zeros(grid.shape, np.float32)
    for centre, radii, ppm in nuclei.values():
        for side in (1, -1):
            mirrored = ras_to_lps(np.array(centre) * [side, 1, 1])
            iron = np.maximum(iron, ppm * ellipsoid(grid, place(mirrored), radii))
    return iron
