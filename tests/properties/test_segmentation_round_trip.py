"""What highdicom reads back is the mask, in patient space, whatever the grid and the source."""

from io import BytesIO

import numpy as np
import numpy.typing as npt
from highdicom.seg import segread
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pydicom.dataset import Dataset

from service.domain.geometry import Geometry
from service.domain.segmentation_form import SegmentationForm
from service.domain.volume import Volume
from service.stages.check_segmentation import check_segmentation
from service.stages.result_object import encode
from tests.results import segmentation_of
from tests.strategies import enhanced_mr, geometries, mr_series

# Headers give directions to nine digits, and grids are up to 300 mm from the origin.
TOLERANCE_MM = 1e-3


@st.composite
def masks(draw: st.DrawFn) -> Volume:
    """Masks of one to three findings, each with at least one voxel, on oblique grids."""
    grid = draw(geometries(min_slices=2, max_slices=6, max_in_plane=9))
    # highdicom 0.28 packs frames of less than a byte wrongly; no scanner makes them.
    assume(grid.shape[1] * grid.shape[2] >= 8)
    count = draw(st.integers(1, 3))
    voxels = draw(npst.arrays(np.uint16, grid.shape, elements=st.integers(0, count)))
    places = draw(
        st.lists(st.integers(0, voxels.size - 1), min_size=count, max_size=count, unique=True)
    )
    voxels.flat[places] = np.arange(1, count + 1)
    return Volume(voxels, grid)


def sources(mask: Volume, kind: str) -> list[Dataset]:
    """Return a source of the mask's grid whose header spacings mislead."""
    image = Volume(np.ones(mask.voxels.shape, np.int16), mask.geometry)
    if kind == "enhanced":
        return [enhanced_mr(image)]
    # A gap between thin slices, and the gap where the spacing should stand.
    thickness = round(mask.geometry.spacing[0] * 0.6, 3)
    gap = round(mask.geometry.spacing[0] * 0.4, 3)
    return mr_series(image, SliceThickness=thickness, SpacingBetweenSlices=gap)


def voxels_in_patient(labels: npt.NDArray[np.int64], grid: Geometry) -> npt.NDArray[np.float64]:
    """Return (finding, x, y, z) of every marked voxel."""
    indices = np.argwhere(labels)
    return np.column_stack([labels[tuple(indices.T)], grid.to_lps(indices)])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    mask=masks(),
    kind=st.sampled_from(["classic", "enhanced"]),
    form=st.sampled_from(SegmentationForm),
)
def test_segmentation_read_back_equals_the_mask_in_patient_space(
    mask: Volume, kind: str, form: SegmentationForm
) -> None:
    written = segmentation_of(mask, sources(mask, kind), form)
    check_segmentation(written, mask, form)
    read = segread(BytesIO(encode(written)))
    volume = read.get_volume(combine_segments=True)
    # highdicom orders (slice, row, column) too, and gives LPS millimetres.
    grid = Geometry(volume.affine, volume.spatial_shape)
    found = voxels_in_patient(volume.array.astype(np.int64), grid)
    wanted = voxels_in_patient(mask.voxels.astype(np.int64), mask.geometry)
    assert found.shape == wanted.shape
    distances = np.linalg.norm(found[:, None, 1:] - wanted[None, :, 1:], axis=2)
    nearest = distances.argmin(axis=1)
    assert distances.min(axis=1).max() < TOLERANCE_MM
    assert sorted(nearest.tolist()) == list(range(len(wanted)))
    assert np.array_equal(found[:, 0], wanted[nearest, 0])


@settings(max_examples=6, deadline=None)
@given(mask=masks(), kind=st.sampled_from(["classic", "enhanced"]))
def test_the_same_mask_gives_the_same_bytes(mask: Volume, kind: str) -> None:
    first, second = (encode(segmentation_of(mask, sources(mask, kind))) for _ in range(2))
    assert first == second
