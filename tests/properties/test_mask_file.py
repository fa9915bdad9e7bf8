"""The NIfTI mask and the DICOM-SEG of one analysis mark the same places in the patient."""

from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import numpy as np
import numpy.typing as npt
from highdicom.seg import segread
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from nibabel.affines import apply_affine

from service.adapters.analysis_files import mask_to_nifti
from service.domain.geometry import Geometry
from service.domain.volume import Volume
from service.stages.result_object import encode
from tests.results import segmentation_of
from tests.strategies import geometries, mr_series

# NIfTI keeps its affine in single precision, up to 300 mm from the origin.
TOLERANCE_MM = 1e-2
# NIfTI's world runs right to left and back to front against DICOM's.
LPS_FROM_RAS = np.array([-1, -1, 1])


@st.composite
def masks(draw: st.DrawFn) -> Volume:
    grid = draw(geometries(min_slices=2, max_slices=5, max_in_plane=9))
    assume(grid.shape[1] * grid.shape[2] >= 8)
    voxels = draw(npst.arrays(np.uint16, grid.shape, elements=st.integers(0, 1)))
    voxels.flat[draw(st.integers(0, voxels.size - 1))] = 1
    return Volume(voxels, grid)


def points_of_nifti(content: bytes) -> npt.NDArray[np.float64]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mask.nii.gz"
        path.write_bytes(content)
        image = nibabel.load(path)
        indices = np.argwhere(np.asarray(image.dataobj))
        return apply_affine(image.affine, indices) * LPS_FROM_RAS


def points_of_segmentation(content: bytes) -> npt.NDArray[np.float64]:
    volume = segread(BytesIO(content)).get_volume(combine_segments=True)
    return Geometry(volume.affine, volume.spatial_shape).to_lps(np.argwhere(volume.array))


@settings(max_examples=20, deadline=None)
@given(masks())
def test_both_mark_the_same_points(mask: Volume) -> None:
    source = mr_series(Volume(np.ones(mask.voxels.shape, np.int16), mask.geometry))
    from_segmentation = points_of_segmentation(encode(segmentation_of(mask, source)))
    from_nifti = points_of_nifti(mask_to_nifti(mask))

    assert len(from_segmentation) == len(from_nifti) == np.count_nonzero(mask.voxels)
    distances = np.linalg.norm(from_segmentation[:, None] - from_nifti[None], axis=2)
    assert distances.min(axis=1).max() < TOLERANCE_MM
    assert distances.min(axis=0).max() < TOLERANCE_MM
