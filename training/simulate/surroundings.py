"""What lies around the atlas's brain: spinal canal, skull, sinuses, orbits, face, neck and scalp.

Everything is a smooth closed shape: layers at a distance from the dura, and ellipsoids. Where the
ellipsoids lie was read from whole-head label maps that had been registered to the atlas; they are
typical positions, not measurements. Arrays have axes (slice, row, column).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from service.domain.geometry import Geometry
from training.simulate.grids import (
    TISSUE_NAMES,
    Float32,
    axial_grid,
    ellipsoid,
    ras_to_lps,
    signed_distance,
)

# Distances from the dura and from the skin, mm (usual adult values).
SUBARACHNOID_MM = 2.5
INNER_TABLE_MM, DIPLOE_MM, SKULL_MM = 2.0, 4.5, 6.5
SCALP_MM = 13.0
SKIN_MM, SUBCUTANEOUS_MM = 2.0, 6.0
# Cisterns and fissures narrower than twice this lie inside the dura.
DURA_CLOSING_MM = 9.0
SKULL_CLOSING_MM = 18.0
# Rounding of the outer surface where head, face and neck meet.
ROUNDING_MM = 4.0
MARROW_SHARE = 0.6

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Shape:
    """Row of a table: an ellipsoid of one make-up.

    Attributes
    ----------
    of : str
        Tissue, or "air".
    centre, radii : (x, y, z)
        MNI mm (right, anterior, superior); off the midline on both sides.
    share : float
        Of the shape that is of this tissue; the rest stays what it was.
    """

    of: str
    centre: Triple
    radii: Triple
    share: float = 1.0


# Together with a shell around the skull they make the outline of the head.
OUTLINE = (
    Shape("soft", (0, 28, -62), (66, 54, 46)),  # face
    Shape("soft", (0, 84, -60), (13, 18, 20)),  # nose
    Shape("soft", (0, -18, -88), (66, 68, 60)),  # neck
    Shape("soft", (0, -14, -120), (60, 62, 80)),
)

# Later rows are painted over earlier ones. The intracranial space is painted last.
SHAPES = (
    Shape("bone", (0, 4, -37), (15, 15, 10)),  # body of the sphenoid
    Shape("bone", (0, -5, -47), (13, 6, 12)),  # clivus
    Shape("bone", (0, -15, -59), (12, 5, 10)),
    Shape("bone", (24, -14, -48), (12, 8, 8)),  # petrous pyramids
    Shape("bone", (39, -23, -48), (12, 9, 9)),
    Shape("bone", (54, -32, -49), (12, 12, 12)),  # mastoids
    Shape("bone", (22, -32, -68), (8, 12, 5)),  # condyles
    Shape("bone", (25, -36, -79), (9, 8, 5)),  # atlas
    Shape("bone", (0, -19, -86), (6, 6, 16)),  # dens and axis
    Shape("bone", (14, -24, -98), (10, 8, 8)),
    Shape("bone", (0, -60, -88), (8, 7, 5)),  # spinous process
    Shape("bone", (28, 50, -66), (20, 20, 18)),  # maxilla
    Shape("bone", (46, 48, -60), (8, 12, 8)),  # zygoma
    Shape("bone", (0, 52, -84), (24, 26, 5)),  # palate
    Shape("bone", (0, 58, -36), (13, 22, 8)),  # ethmoid and root of the nose
    Shape("bone", (48, 8, -86), (4, 14, 22)),  # ramus of the mandible
    Shape("fat", (0, -3, -45), (8, 4, 9), 0.5),  # marrow of the clivus
    Shape("fat", (26, -15, -46), (7, 4, 4), 0.5),  # petrous apex
    Shape("soft", (11, 3, -35), (5, 13, 8)),  # cavernous sinus
    Shape("soft", (0, 3, -33), (7, 6, 5)),  # pituitary gland
    Shape("fluid", (0, 1, -21), (13, 13, 8)),  # suprasellar cistern
    Shape("fluid", (0, -9, -34), (12, 6, 13)),  # prepontine cistern
    Shape("fluid", (0, -18, -48), (13, 7, 11)),
    Shape("fluid", (20, -22, -42), (11, 6, 8)),  # cerebellopontine angle
    Shape("fluid", (0, -29, -61), (13, 8, 11)),  # in front of the medulla
    Shape("fluid", (0, -58, -62), (14, 10, 9)),  # cisterna magna
    Shape("fat", (43, 30, -72), (9, 16, 14), 0.7),  # buccal and infratemporal
    Shape("bone", (30, 46, -42), (19, 27, 18)),  # orbit: wall, fat, muscles, nerve, eye
    Shape("fat", (30, 48, -42), (17, 26, 16)),
    Shape("soft", (19, 40, -41), (2.5, 15, 5)),
    Shape("soft", (41, 42, -41), (2.5, 15, 5)),
    Shape("soft", (28, 40, -31), (5, 15, 2.5)),
    Shape("soft", (28, 40, -51), (5, 15, 2.5)),
    Shape("soft", (26, 36, -40), (2.5, 16, 2.5)),
    Shape("soft", (33, 60, -43), (13, 13, 13)),
    Shape("fluid", (33, 60, -43), (11.7, 11.7, 11.7)),
    Shape("air", (6, 14, -41), (6, 11, 8)),  # sphenoid sinus
    Shape("air", (8, 44, -40), (5, 16, 7), 0.7),  # ethmoid cells
    Shape("air", (11, 73, -25), (10, 4, 10)),  # frontal sinus
    Shape("air", (28, 50, -66), (13, 15, 14)),  # maxillary sinus
    Shape("air", (6, 56, -66), (3, 26, 15), 0.8),  # nasal cavity
    Shape("air", (0, 14, -72), (11, 9, 15)),  # nasopharynx
    Shape("air", (0, 8, -102), (11, 8, 22)),
    Shape("air", (54, -36, -50), (8, 10, 10), 0.6),  # mastoid cells
    Shape("air", (40, -20, -49), (4, 5, 4), 0.8),  # tympanic cavity
    Shape("air", (60, -20, -51), (22, 3, 3)),  # ear canal
    Shape("fluid", (0, -45, -98), (9, 9, 36)),  # spinal canal
)
CORD = Shape("white", (0, -45, -100), (5.5, 4.5, 34))


def surround(
    grey: Float32, white: Float32, surface_mm: Float32, geometry: Geometry
) -> dict[str, Float32]:
    """Build a head around a brain.

    Parameters
    ----------
    grey, white : float32 array
        Fractions, together 0..1.
    surface_mm : float32 array
        Signed distance to the brain's surface.
    geometry : Geometry
        1 mm axial LPS grid of all three, in MNI space.

    Returns
    -------
    dict of str to float32 array
        Fractions of grey and white matter, fluid, bone, soft tissue and fat; the rest is air.
    """
    dura = _closed(surface_mm, DURA_CLOSING_MM) - np.float32(SUBARACHNOID_MM)
    # Unlike the dura, the outside of the skull does not follow the clefts between the lobes.
    outer = np.minimum(_closed(dura, SKULL_CLOSING_MM), dura)
    depth = _depth_under_skin(outer, geometry)
    tissues = {name: np.zeros(geometry.shape, np.float32) for name in TISSUE_NAMES}
    tissues["soft"] = _within(depth, 0)
    _cover(tissues, "fat", _within(depth, -SKIN_MM) - _within(depth, -SUBCUTANEOUS_MM))
    _cover(tissues, "bone", _within(outer, SKULL_MM))
    marrow = _within(outer, DIPLOE_MM) - _within(dura, INNER_TABLE_MM)
    _cover(tissues, "fat", np.float32(MARROW_SHARE) * np.maximum(marrow, 0))
    for shape in SHAPES:
        _paint(tissues, shape, geometry)
    _cover(tissues, "fluid", _within(dura, 0))
    _paint(tissues, CORD, geometry)
    outside = 1 - np.minimum(grey + white, 1)
    for voxels in tissues.values():
        np.multiply(voxels, outside, out=voxels)
    tissues["grey"] += grey
    tissues["white"] += white
    return tissues


def _within(distance: Float32, limit_mm: float) -> Float32:
    """Fraction of each voxel nearer than a limit, soft over 1 mm."""
    return np.clip(np.float32(limit_mm + 0.5) - distance, 0, 1)


def _closed(distance: Float32, closing_mm: float) -> Float32:
    """Signed distance to a smooth surface without clefts narrower than twice ``closing_mm``."""
    closed = signed_distance(signed_distance(distance < closing_mm) < -closing_mm)
    return ndimage.gaussian_filter(closed, 1.5, truncate=3.0)


def _depth_under_skin(skull: Float32, geometry: Geometry) -> Float32:
    """Signed distance to the skin, negative inside the head."""
    outline = {"soft": _within(skull, SCALP_MM)}
    for shape in OUTLINE:
        _paint(outline, shape, geometry)
    rounded = ndimage.gaussian_filter(outline["soft"], ROUNDING_MM, truncate=2.5, mode="nearest")
    return signed_distance(rounded > 0.5)


def _paint(tissues: dict[str, Float32], shape: Shape, geometry: Geometry) -> None:
    """Put a shape, and its twin on the other side, in place of what was there."""
    for side in (1, -1) if shape.centre[0] else (1,):
        centre = ras_to_lps(np.array(shape.centre) * [side, 1, 1])
        middle, reach = geometry.to_index(centre), np.array(shape.radii)[::-1] + 1
        low = np.clip(np.floor(middle - reach), 0, geometry.shape).astype(int)
        high = np.clip(np.ceil(middle + reach) + 1, 0, geometry.shape).astype(int)
        if (high <= low).any():
            continue
        window = tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))
        part = axial_grid(geometry.to_lps(low), geometry.spacing, tuple(high - low))
        fraction = np.float32(shape.share) * ellipsoid(part, centre, shape.radii)
        _cover({name: voxels[window] for name, voxels in tissues.items()}, shape.of, fraction)


def _cover(tissues: dict[str, Float32], name: str, fraction: Float32) -> None:
    """Replace a fraction of what fills each voxel by one tissue; air is none of them."""
    rest = 1 - fraction
    for voxels in tissues.values():
        np.multiply(voxels, rest, out=voxels)
    if name != "air":
        tissues[name] += fraction
