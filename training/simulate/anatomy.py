"""A head: MNI152 tissue maps, bent by a random affine map and a smooth warp.

The template is the MNI152 2009a symmetric atlas at 1 mm inside the nilearn package. Its T1 image
is already stripped of the skull, so skull and scalp are shells at a distance from the brain.
Points are LPS millimetres (x to the patient's left, y to the back, z up) and arrays have axes
(slice, row, column) = (z, y, x).
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import nilearn.datasets
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from service.domain.geometry import Geometry
from service.stages.preprocess import CANONICAL_AXES

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# Shells around the brain, as distance from its surface in mm (usual adult values).
SUBARACHNOID_MM = 2.5
SKULL_MM = 8.5
SCALP_MM = 14.0
WARP_STEP_MM = 4
NEAR_MM, FAR_MM = 28.0, 60.0
HEAD_BOX_MM = ((-70.0, -114.0, -94.0), (98.0, 132.0, 94.0))  # (z, y, x): low, high

# Iron-rich nuclei and air spaces: centre and radii in MNI mm (right, anterior, superior) on the
# right side, mirrored to the left. Positions read from the atlas; radii are approximate.
# Susceptibility in ppm after the tissue table of qsm-forward; air against water +9.2.
NUCLEI: tuple[tuple[tuple[float, float, float], tuple[float, float, float], float], ...] = (
    ((19, -4, -1), (4.5, 8, 5), 0.13),  # globus pallidus
    ((26, 4, 1), (4, 12, 8), 0.04),  # putamen
    ((12, 13, 8), (4.5, 8, 7), 0.04),  # caudate head
    ((10, -18, -11), (3, 6, 3.5), 0.11),  # substantia nigra
    ((5, -20, -9), (3, 3, 3), 0.10),  # red nucleus
    ((15, -58, -34), (5, 8, 4), 0.15),  # dentate nucleus
)
AIR_SPACES: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
    ((6, 24, -42), (6, 11, 9)),  # sphenoid sinus
    ((11, 70, -32), (9, 6, 12)),  # frontal sinus
    ((48, -34, -46), (7, 10, 9)),  # mastoid cells
    ((7, 44, -42), (6, 14, 9)),  # ethmoid cells
)
AIR_PPM = 9.2


@dataclass(frozen=True, eq=False)
class Template:
    """Maps of the atlas, each (z, y, x) on ``geometry``.

    Attributes
    ----------
    grey, white : float32 array
        Tissue fractions 0..1.
    surface_mm : float32 array
        Signed distance from the brain's surface in mm, negative inside.
    iron_ppm : float32 array
        Susceptibility of the iron-rich nuclei.
    """

    grey: Float32
    white: Float32
    surface_mm: Float32
    iron_ppm: Float32
    geometry: Geometry


@functools.cache
def load_template() -> Template:
    """Read the atlas from the installed nilearn package."""
    folder = Path(nilearn.datasets.__file__).parent / "data"
    images = {
        name: nib.load(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz")
        for name in ("t1", "gm", "wm")
    }
    origin_ras = images["t1"].affine[:3, 3]
    arrays = {name: _to_lps(np.asarray(image.dataobj)) for name, image in images.items()}
    rows, columns = arrays["t1"].shape[1:]
    # Flipping both in-plane axes puts the last RAS sample first.
    origin = np.array([-(origin_ras[0] + columns - 1), -(origin_ras[1] + rows - 1), origin_ras[2]])
    geometry = axial_grid(origin, (1.0, 1.0, 1.0), arrays["t1"].shape)
    brain = ndimage.binary_fill_holes(arrays["t1"] > 0)
    surface = ndimage.distance_transform_edt(~brain) - ndimage.distance_transform_edt(brain)
    return Template(
        grey=arrays["gm"].astype(np.float32) / np.float32(255),
        white=arrays["wm"].astype(np.float32) / np.float32(255),
        surface_mm=surface.astype(np.float32),
        iron_ppm=_paint_nuclei(geometry),
        geometry=geometry,
    )


def _to_lps(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(array.transpose(2, 1, 0)[:, ::-1, ::-1])


def axial_grid(
    origin: npt.ArrayLike, spacing: tuple[float, float, float], shape: tuple[int, ...]
) -> Geometry:
    """Return an axial grid from its first voxel (LPS mm) and (slice, row, column) spacing."""
    slices, rows, columns = (int(count) for count in shape)
    return Geometry.from_components(
        origin=origin, axes=CANONICAL_AXES, spacing=spacing, shape=(slices, rows, columns)
    )


def ras_to_lps(points: npt.ArrayLike) -> Float64:
    """Turn (..., 3) right-anterior-superior coordinates into left-posterior-superior ones."""
    return np.asarray(points, float) * np.array([-1.0, -1.0, 1.0])


def ellipsoid(grid: Geometry, centre: Float64, radii: npt.ArrayLike) -> Float32:
    """Fraction (0..1, soft over 1 mm) of each voxel inside an axis-aligned ellipsoid, LPS mm."""
    size = np.asarray(radii, float)
    slice_axis, row_axis, column_axis = (
        (
            (grid.origin[lps] + grid.spacing[axis] * np.arange(grid.shape[axis]) - centre[lps])
            / size[lps]
        ).astype(np.float32)
        for axis, lps in enumerate((2, 1, 0))
    )
    radius = np.sqrt(slice_axis[:, None, None] ** 2 + row_axis[None, :, None] ** 2 + column_axis**2)
    return np.clip((1 - radius) * np.float32(size.min()) + np.float32(0.5), 0, 1)


def _paint_nuclei(grid: Geometry) -> Float32:
    iron = np.zeros(grid.shape, np.float32)
    for centre, radii, ppm in NUCLEI:
        for side in (1, -1):
            mirrored = ras_to_lps(np.array(centre) * [side, 1, 1])
            iron = np.maximum(iron, ppm * ellipsoid(grid, mirrored, radii))
    return iron


@dataclass(frozen=True, eq=False)
class Warp:
    """Map of patient points to template points: affine plus a few long sine waves.

    Attributes
    ----------
    linear : array (3, 3)
        Rotation and scaling of LPS mm.
    amplitudes, waves : array (mode, 3)
        Displacement in mm and wave vector in rad/mm of each mode.
    phases : array (mode,)
    """

    linear: Float64
    amplitudes: Float64
    waves: Float64
    phases: Float64

    def to_template(self, points: npt.ArrayLike) -> Float64:
        """Turn (..., 3) patient points into template points."""
        patient = np.asarray(points, float)
        return patient @ self.linear.T + self._displacement(patient)

    def to_patient(self, points: npt.ArrayLike) -> Float64:
        """Turn (..., 3) template points into patient points, by fixed-point iteration."""
        template = np.asarray(points, float)
        inverse = np.linalg.inv(self.linear)
        patient = template @ inverse.T
        for _ in range(12):
            patient = (template - self._displacement(patient)) @ inverse.T
        return patient

    def _displacement(self, points: Float64) -> Float64:
        return np.sin(points @ self.waves.T + self.phases) @ self.amplitudes


def draw_warp(rng: np.random.Generator) -> Warp:
    """Draw head size (5 % standard deviation), pose (about 5 degrees) and shape."""
    pitch, roll, yaw = np.radians(rng.normal(0, [5.0, 3.0, 4.0]))
    rotation = _rotation(0, pitch) @ _rotation(1, roll) @ _rotation(2, yaw)
    scale = rng.normal(1, 0.04) * rng.normal(1, 0.03, 3)
    modes = 6
    directions = rng.normal(size=(modes, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    wavelengths = rng.uniform(60, 160, (modes, 1))
    return Warp(
        linear=rotation * scale,
        amplitudes=rng.normal(0, 1.0, (modes, 3)),
        waves=2 * np.pi * directions / wavelengths,
        phases=rng.uniform(0, 2 * np.pi, modes),
    )


def _rotation(axis: int, angle: float) -> Float64:
    first, second = (index for index in range(3) if index != axis)
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


@dataclass(frozen=True, eq=False)
class Head:
    """Tissue of one simulated patient on a 1 mm grid, arrays (slice, row, column).

    Attributes
    ----------
    grey, white, fluid, bone, scalp : float32 array
        Fractions 0..1; what is left of 1 is air.
    air_space : float32 array
        Fraction of air inside the skull base, part of the missing rest.
    susceptibility_ppm : float32 array
        Of soft tissue relative to water, without vessels and air.
    surface_mm : float32 array
        Signed distance from the brain's surface.
    """

    grey: Float32
    white: Float32
    fluid: Float32
    bone: Float32
    scalp: Float32
    air_space: Float32
    susceptibility_ppm: Float32
    surface_mm: Float32
    geometry: Geometry
    warp: Warp


def draw_head(rng: np.random.Generator) -> Head:
    """Draw a patient's head in patient space."""
    warp = draw_warp(rng)
    low, high = np.array(HEAD_BOX_MM)
    shape = tuple(int(extent) + 1 for extent in high - low)
    geometry = axial_grid(low[::-1], (1.0, 1.0, 1.0), shape)
    grey, white, surface, iron = _warped_maps(geometry, warp)
    skull_mm = SKULL_MM + rng.normal(0, 0.8)
    scalp_mm = skull_mm + (SCALP_MM - SKULL_MM) * rng.uniform(0.6, 1.4)
    air = _paint_air(geometry, warp, rng) * np.clip(surface - 1, 0, 1)
    inside = _below(surface, SUBARACHNOID_MM)
    fluid = np.clip(inside - grey - white, 0, 1)
    bone = (_below(surface, skull_mm) - inside) * (1 - air)
    scalp = (_below(surface, scalp_mm) - _below(surface, skull_mm)) * (1 - air)
    chi = 0.02 * grey - 0.03 * white + 0.04 * fluid + iron * rng.uniform(0.6, 1.4)
    return Head(grey, white, fluid, bone, scalp, air, chi, surface, geometry, warp)


def _below(surface_mm: Float32, limit_mm: float) -> Float32:
    return np.clip(limit_mm - surface_mm + 0.5, 0, 1)


def _warped_maps(geometry: Geometry, warp: Warp) -> list[Float32]:
    """Sample grey, white, surface distance and iron of the template on a patient grid."""
    template = load_template()
    # The warp is smooth: every fourth millimetre is enough.
    counts = tuple(n // WARP_STEP_MM + 2 for n in geometry.shape)
    steps = (float(WARP_STEP_MM),) * 3
    sparse = axial_grid(geometry.origin, steps, counts)
    points = warp.to_template(sparse.to_lps(np.moveaxis(np.indices(counts), 0, -1)))
    nodes = np.moveaxis(template.geometry.to_index(points), -1, 0).astype(np.float32)
    index = np.stack([resample_axial(part, sparse, geometry, np.zeros(3)) for part in nodes])
    outside = {"grey": 0.0, "white": 0.0, "surface_mm": FAR_MM, "iron_ppm": 0.0}
    # Far from the brain there is only air, which needs no sampling.
    distance = ndimage.map_coordinates(template.surface_mm, nodes, order=0, cval=FAR_MM)
    near = resample_axial(distance, sparse, geometry, np.zeros(3)) < NEAR_MM
    wanted = index[:, near]
    maps = []
    for name, value in outside.items():
        sampled = np.full(geometry.shape, value, np.float32)
        sampled[near] = ndimage.map_coordinates(
            getattr(template, name), wanted, order=1, cval=value
        )
        maps.append(sampled)
    return maps


def _paint_air(geometry: Geometry, warp: Warp, rng: np.random.Generator) -> Float32:
    air = np.zeros(geometry.shape, np.float32)
    for centre, radii in AIR_SPACES:
        for side in (1, -1):
            size = np.array(radii) * rng.uniform(0.5, 1.25)
            point = ras_to_lps(np.array(centre) * [side, 1, 1])
            air = np.maximum(air, ellipsoid(geometry, warp.to_patient(point), size))
    return air


def resample_axial(voxels: Float32, source: Geometry, grid: Geometry, shift: Float64) -> Float32:
    """Sample an axial array on another axial grid, moved by ``shift`` (LPS mm); 0 beyond.

    Linear, one axis after the other.
    """
    start = source.to_index(grid.origin + shift)
    step = np.array(grid.spacing) / np.array(source.spacing)
    sampled = voxels
    for axis in range(3):
        position = start[axis] + step[axis] * np.arange(grid.shape[axis])
        sampled = _interpolate(sampled, position, axis)
    return sampled


def stretch(nodes: Float32, shape: tuple[int, int, int]) -> Float32:
    """Enlarge a small array to ``shape`` by linear interpolation, corner on corner."""
    enlarged = nodes
    for axis, count in enumerate(shape):
        enlarged = _interpolate(enlarged, np.linspace(0, nodes.shape[axis] - 1, count), axis)
    return enlarged


def _interpolate(voxels: Float32, position: Float64, axis: int) -> Float32:
    """Linear interpolation at fractional indices along one axis; 0 beyond the ends."""
    last = voxels.shape[axis] - 1
    low = np.clip(np.floor(position).astype(int), 0, last - 1)
    broadcast = [1, 1, 1]
    broadcast[axis] = len(position)
    inside = (position >= 0) & (position <= last)
    weight = ((position - low) * inside).astype(np.float32).reshape(broadcast)
    rest = ((1 - position + low) * inside).astype(np.float32).reshape(broadcast)
    sampled = voxels.take(low, axis=axis)
    sampled *= rest
    upper = voxels.take(low + 1, axis=axis)
    upper *= weight
    sampled += upper
    return sampled
