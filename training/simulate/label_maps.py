"""Real heads from label maps of the whole head, and the way from the atlas into them.

The ids are FreeSurfer's inside the brain, and around it those of the whole-head maps that come
with SynthSeg. What each outer id stands for was read from where it lies in the maps.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from nibabel.filebasedimages import ImageFileError
from scipy import ndimage

from service.domain.errors import InputError
from service.domain.geometry import Geometry
from training.simulate.anatomy import (
    NUCLEI,
    Anatomy,
    Place,
    closed_surface,
    paint_nuclei,
)
from training.simulate.grids import TISSUE_NAMES, Float32, axial_grid, signed_distance
from training.simulate.registration import register

Labels = npt.NDArray[np.int32]
Fractions = Mapping[str, float]

# Tissue of each id. Deep nuclei hold white matter between their cells; marrow lies between
# trabeculae of bone. Vessels become what is around them: the simulator draws its own.
GREY, WHITE, FLUID = {"grey": 1.0}, {"white": 1.0}, {"fluid": 1.0}
SOFT, BONE = {"soft": 1.0}, {"bone": 1.0}
MIXED = {"grey": 0.6, "white": 0.4}
TISSUE_OF: dict[int, Fractions] = {
    0: {},
    **dict.fromkeys((3, 42, 8, 47, 17, 53, 18, 54), GREY),  # cortex, hippocampus, amygdala
    **dict.fromkeys((11, 50, 12, 51, 26, 58), GREY),  # caudate, putamen, accumbens
    **dict.fromkeys((10, 49, 13, 52, 28, 60), MIXED),  # thalamus, pallidum
    **dict.fromkeys((2, 41, 7, 46, 85, 512), WHITE),  # also chiasm and spinal cord
    **dict.fromkeys((25, 57, 77), WHITE),  # lesions of the white matter
    16: {"grey": 0.2, "white": 0.8},  # brain stem
    **dict.fromkeys((4, 43, 5, 44, 14, 15, 72, 24), FLUID),  # ventricles, cerebrospinal fluid
    **dict.fromkeys((31, 63, 136, 137, 163, 164), FLUID),  # choroid plexus
    **dict.fromkeys((30, 62), FLUID),  # perivascular spaces
    506: FLUID,  # eyes
    **dict.fromkeys((507, 508, 509, 511, 530), SOFT),  # muscle, of the eyes, mucosa, skin, nerve
    **dict.fromkeys((502, 514), SOFT),  # arteries and veins; fluid where inside the skull
    515: BONE,
    516: {"bone": 0.4, "fat": 0.6},  # marrow
}
IRON_OF: dict[int, float] = {13: 0.13, 52: 0.13, 12: 0.04, 51: 0.04, 11: 0.04, 50: 0.04}
# Nuclei that the maps do not name come from the atlas.
UNNAMED_NUCLEI = ("substantia nigra", "red nucleus", "dentate nucleus")
OTHER_SOFT, SKIN, COMPACT_BONE = 507, 511, 515
VESSELS = (502, 514)
ORBIT = (506, 508, 530)  # eyes, their muscles and nerves
FIRST_OUTER = 500
ENDING = ".nii.gz"
BRAIN = tuple(
    label
    for label, fractions in TISSUE_OF.items()
    if label < FIRST_OUTER and fractions.keys() & {"grey", "white"}
)

COARSEST_MM, FINEST_MM = 3.0, 0.3
SMALLEST_BRAIN_MM3 = 500_000
SMALLEST_AIR_MM3 = 20
NECK_MM = 45
AIR_MARGIN = 3
BLUR_MM = 0.5
# The subcutaneous layer, the fat between eye and orbit, and how far out the dural sinuses reach.
SCALP_FAT_MM, ORBITAL_FAT_MM, DURA_MM = 5.0, 7.0, 11.0


def find_label_maps(folder: Path) -> dict[str, Path]:
    """Return every ``*.nii.gz`` of a folder by the name of its head, sorted.

    Raises
    ------
    InputError
        If there is none.
    """
    paths = sorted(folder.glob(f"*{ENDING}"))
    if not paths:
        raise InputError(f"no label maps: {folder} has no file *{ENDING}")
    return {path.name.removesuffix(ENDING): path.resolve() for path in paths}


# A head is 0.3 GB: more of them at a time would not fit beside a case.
@functools.lru_cache(maxsize=2)
def load_label_map(path: Path) -> Anatomy:
    """Load one label map: NIfTI, any orientation, voxels of 0.3 to 3 mm."""
    labels, geometry = _read(path)
    unknown = sorted(set(np.unique(labels).tolist()) - TISSUE_OF.keys())
    if unknown:
        raise InputError(f"{path}: labels without a known meaning: {unknown}")
    labels, geometry = _crop(labels, geometry)
    brain = np.isin(labels, BRAIN)
    if brain.sum() < SMALLEST_BRAIN_MM3:
        raise InputError(f"{path}: no whole brain in it, only {brain.sum()} mm3")
    surface = closed_surface(brain)
    labels = _without_specks(_without_holes(labels, surface))
    tissues = _tissues(labels, surface)
    from_mni = register(tissues["grey"] * brain, tissues["white"] * brain, geometry)
    return Anatomy(
        name=path.name.removesuffix(ENDING),
        tissues=tissues,
        iron_ppm=_iron(labels, geometry, from_mni),
        surface_mm=surface,
        geometry=geometry,
        from_mni=from_mni,
    )


def _read(path: Path) -> tuple[Labels, Geometry]:
    """Read labels onto a 1 mm axial LPS grid that just holds the head."""
    try:
        image = nib.as_closest_canonical(nib.load(path))
        values = np.asanyarray(image.dataobj)
    except (ImageFileError, OSError, EOFError) as error:
        raise InputError(f"{path}: not a NIfTI file: {error}") from error
    spacing = np.array(image.header.get_zooms(), float)
    if values.ndim != 3 or (values != np.rint(values)).any():
        raise InputError(f"{path}: not a label map: shape {values.shape}, or values not whole")
    if spacing.min() < FINEST_MM or spacing.max() > COARSEST_MM:
        raise InputError(f"{path}: voxels of {spacing.tolist()} mm; {FINEST_MM} to {COARSEST_MM}")
    labels = values.astype(np.int32)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in labels.shape])).reshape(3, -1).T
    lps = apply_affine(image.affine, corners) * [-1, -1, 1]
    low = np.floor(lps.min(axis=0))
    shape = (np.ceil(lps.max(axis=0)) - low + 1)[::-1]
    grid = axial_grid(low, (1.0, 1.0, 1.0), tuple(shape))
    to_voxel = np.linalg.inv(image.affine) @ np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    resampled = ndimage.affine_transform(
        labels, to_voxel[:3, :3], to_voxel[:3, 3], output_shape=grid.shape, order=0
    )
    return resampled, grid


def _crop(labels: Labels, grid: Geometry) -> tuple[Labels, Geometry]:
    """Keep the head down to the upper neck, in air on all sides but the lower one."""
    parts, _ = ndimage.label(labels > 0)
    sizes = np.bincount(parts.ravel())
    head = parts == 1 + int(np.argmax(sizes[1:])) if len(sizes) > 1 else parts > 0
    brain = np.argwhere((labels > 0) & (labels < FIRST_OUTER) & head)
    if not len(brain):
        return labels, grid
    kept = np.argwhere(head)
    low, high = kept.min(axis=0), kept.max(axis=0) + 1
    low[0] = max(low[0], brain[:, 0].min() - NECK_MM)
    window = tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))
    margin = ((0, AIR_MARGIN), (AIR_MARGIN, AIR_MARGIN), (AIR_MARGIN, AIR_MARGIN))
    cut = np.pad(np.where(head, labels, 0)[window], margin)
    origin = grid.to_lps(low - [0, AIR_MARGIN, AIR_MARGIN])
    return cut, axial_grid(origin, grid.spacing, cut.shape)


def _without_holes(labels: Labels, surface: Float32) -> Labels:
    """Fill what no label fills inside the brain, where there is no air, with the label beside it.

    As air, a hole of some ten cubic millimetres would be the darkest of all mimics.
    """
    parts, count = ndimage.label(labels == 0)
    depth = ndimage.median(surface, parts, np.arange(1, count + 1))
    enclosed = np.concatenate([[False], depth < 0])[parts]
    if not enclosed.any():
        return labels
    nearest = ndimage.distance_transform_edt(
        labels == 0, return_distances=False, return_indices=True
    )
    return np.where(enclosed, labels[tuple(nearest)], labels)


def _without_specks(labels: Labels) -> Labels:
    """Turn holes of a few voxels in bone, which no air cell is, into bone."""
    holes, count = ndimage.label(labels == 0)
    small = np.bincount(holes.ravel(), minlength=count + 1) < SMALLEST_AIR_MM3
    return np.where(small[holes] & (labels == 0), COMPACT_BONE, labels)


def _tissues(labels: Labels, surface: Float32) -> dict[str, Float32]:
    """Turn labels into fractions with soft borders."""
    tissues = {}
    fat = _is_fat(labels)
    inside = np.isin(labels, VESSELS) & (surface < DURA_MM)
    for tissue in TISSUE_NAMES:
        share = np.zeros(max(TISSUE_OF) + 1, np.float32)
        for label, fractions in TISSUE_OF.items():
            share[label] = fractions.get(tissue, 0.0)
        map_ = share[labels]
        map_[fat] = tissue == "fat"
        map_[inside] = tissue == "fluid"
        tissues[tissue] = ndimage.gaussian_filter(map_, BLUR_MM, truncate=3.0)
    return tissues


def _is_fat(labels: Labels) -> npt.NDArray[np.bool_]:
    """Which of the soft tissue without a name is fat: under the skin, and around the eyes."""
    under_skin = signed_distance(labels == SKIN) < SCALP_FAT_MM
    in_orbit = signed_distance(np.isin(labels, ORBIT)) < ORBITAL_FAT_MM
    return (labels == OTHER_SOFT) & (under_skin | in_orbit)


def _iron(labels: Labels, grid: Geometry, from_mni: Place) -> Float32:
    ppm = np.zeros(max(TISSUE_OF) + 1, np.float32)
    ppm[list(IRON_OF)] = list(IRON_OF.values())
    named = ndimage.gaussian_filter(ppm[labels], BLUR_MM, truncate=3.0)
    unnamed = {name: NUCLEI[name] for name in UNNAMED_NUCLEI}
    return np.maximum(named, paint_nuclei(grid, unnamed, from_mni))
