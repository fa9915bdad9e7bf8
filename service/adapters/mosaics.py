"""Mosaics: one classic image that holds the slices of a whole volume as tiles.

Siemens (V-series) fills a square of tiles and gives the position that the whole mosaic would
have if it were one large slice; UIH (``VFRAME``) fills rows of tiles and lists the position of
each. The layout is checked against the facts that both give; where it cannot be read, the image
stays one plane without a position and is refused later by name.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from service.adapters.csa_header import csa_values, image_header
from service.adapters.private_elements import PrivateElement, find_private, plain_value
from service.domain.study import FactValue, PlaneFacts, Vector

SIEMENS_COUNT = "0019,100A"
UIH_COUNT = "0065,1050"
_UIH_FRAMES = PrivateElement("0065,1051", "IMAGE PRIVATE HEADER", "SQ")
_MOSAIC_TOKENS = {"MOSAIC", "VFRAME"}


def is_mosaic(facts: Mapping[str, FactValue]) -> bool:
    """Whether the image says that it holds several slices as tiles."""
    image_type = facts.get("ImageType", ())
    tokens = image_type if isinstance(image_type, tuple) else (image_type,)
    return bool(_MOSAIC_TOKENS & {str(token).upper() for token in tokens})


def tiles_of(dataset: Dataset, facts: Mapping[str, FactValue]) -> tuple[PlaneFacts, ...]:
    """Return one plane per slice of a mosaic, in the order of the tiles.

    Parameters
    ----------
    dataset : Dataset
        The mosaic; pixels are not read.
    facts : mapping
        Its public and private values, with the geometry.

    Returns
    -------
    tuple of PlaneFacts
        Planes with ``tile`` set; a single plane without position if the layout is not readable.
    """
    layout = (
        _siemens_layout(dataset, facts) if SIEMENS_COUNT in facts else _uih_layout(dataset, facts)
    )
    attributes = {
        keyword: value
        for keyword, value in facts.items()
        if keyword not in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    }
    uid = str(dataset.SOPInstanceUID)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if layout is None:
        return (PlaneFacts(uid, None, rows, columns, None, None, None, attributes),)
    positions, (down, across) = layout
    spacing = tuple(float(mm) for mm in dataset.PixelSpacing)
    return tuple(
        PlaneFacts(
            sop_instance_uid=uid,
            frame_number=None,
            rows=rows // down,
            columns=columns // across,
            position=position,
            orientation=tuple(float(cosine) for cosine in dataset.ImageOrientationPatient),
            pixel_spacing=(spacing[0], spacing[1]),
            attributes=attributes,
            tile=tile,
        )
        for tile, position in enumerate(positions)
    )


_Layout = tuple[list[Vector], tuple[int, int]]


def _siemens_layout(dataset: Dataset, facts: Mapping[str, FactValue]) -> _Layout | None:
    """Positions of the tiles and their number down and across.

    SpacingBetweenSlices is the only place where a mosaic keeps the distance of its slices.
    """
    count, gap = facts[SIEMENS_COUNT], facts.get("SpacingBetweenSlices")
    normal = _slice_normal(dataset)
    if not isinstance(count, int) or not isinstance(gap, float | int) or normal is None:
        return None
    edge = math.ceil(math.sqrt(count))
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if rows % edge or columns % edge or not _has_geometry(facts):
        return None
    row_mm, column_mm = (float(mm) for mm in dataset.PixelSpacing)
    cosines = np.asarray(dataset.ImageOrientationPatient, float)
    corner = np.asarray(dataset.ImagePositionPatient, float)
    # The mosaic's position is that of a slice of its full size about the same centre.
    corner = corner + cosines[:3] * column_mm * (columns - columns // edge) / 2
    corner = corner + cosines[3:] * row_mm * (rows - rows // edge) / 2
    return [_vector(corner + normal * gap * index) for index in range(count)], (edge, edge)


def _uih_layout(dataset: Dataset, facts: Mapping[str, FactValue]) -> _Layout | None:
    """Positions of the tiles and their number down and across."""
    count = facts.get(UIH_COUNT)
    frames = find_private(dataset, _UIH_FRAMES)
    if not isinstance(count, float | int) or count < 1 or frames is None or frames.VR != "SQ":
        return None
    positions = [plain_value(item.get("ImagePositionPatient")) for item in frames.value]
    vectors = [_vector(value) for value in positions if isinstance(value, tuple)]
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    fits = not int(dataset.Rows) % down and not int(dataset.Columns) % across
    oriented = "ImageOrientationPatient" in facts and "PixelSpacing" in facts
    if len(vectors) != count or not fits or not oriented:
        return None
    return vectors, (down, across)


def _has_geometry(facts: Mapping[str, FactValue]) -> bool:
    wanted = {"ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"}
    return wanted <= facts.keys()


def _vector(values: Sequence[object] | npt.NDArray[np.float64]) -> Vector:
    x, y, z = np.asarray(values, float)
    return float(x), float(y), float(z)


def _slice_normal(dataset: Dataset) -> npt.NDArray[np.float64] | None:
    """Direction from one tile's slice to the next, from the Siemens CSA image header."""
    texts = csa_values(image_header(dataset), "SliceNormalVector")
    normal = np.array([float(text) for text in texts[:3]])
    if normal.shape != (3,) or abs(np.linalg.norm(normal) - 1) > 1e-3:
        return None
    return normal
