"""Wherever a volume lies, NIfTI says so, and is read from there."""

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.volume import Volume
from tests.strategies import volumes
from training.nifti_volumes import read_volume, write_volume


@settings(max_examples=40, deadline=None)
@given(
    volumes(),
    st.permutations([0, 1, 2]),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_voxels_stay_where_they_are_however_a_tool_turns_the_axes(
    volume: Volume, order: list[int], flips: tuple[bool, bool, bool]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_volume(volume, Path(folder) / "image.nii.gz")
        image = nib.load(path)
        turned = np.array(
            [[axis, -1 if flip else 1] for axis, flip in zip(order, flips, strict=True)]
        )
        nib.save(image.as_reoriented(turned), path)
        read = read_volume(path)
    assert sorted(read.geometry.shape) == sorted(volume.geometry.shape)
    indices = np.moveaxis(np.indices(volume.geometry.shape), 0, -1).reshape(-1, 3)
    found = read.geometry.to_index(volume.geometry.to_lps(indices))
    nearest = np.rint(found).astype(int)
    # Headers hold single precision.
    assert np.abs(found - nearest).max() < 0.01
    np.testing.assert_array_equal(read.voxels[tuple(nearest.T)], volume.voxels.reshape(-1))
