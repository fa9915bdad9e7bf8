"""Edges of preprocessing that random heads do not reach."""

import numpy as np
import pytest

from service.domain.errors import InputError
from service.domain.geometry import Geometry
from service.domain.model_spec import InputSpec
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.preprocess import head_mask, preprocess


def grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Geometry:
    return Geometry.from_components(
        origin=(0, 0, 0), axes=np.eye(3)[::-1], spacing=spacing, shape=shape
    )


def test_empty_reference_is_named() -> None:
    empty = Volume(np.zeros((5, 20, 20), np.float32), grid((5, 20, 20), (5, 1, 1)))
    with pytest.raises(InputError, match="empty or constant"):
        preprocess({Role.SUSC: empty}, Role.SUSC, InputSpec())


def test_slices_keep_their_positions_unless_finer_than_trained() -> None:
    voxels = np.zeros((20, 40, 40), np.float32)
    voxels[2:18, 5:35, 5:35] = 100 + np.arange(30)
    coarse = preprocess(
        {Role.SUSC: Volume(voxels, grid((20, 40, 40), (4.0, 2, 2)))}, Role.SUSC, InputSpec()
    )
    assert coarse.grid.spacing[0] == pytest.approx(4.0)
    assert coarse.grid.origin[2] % 4.0 == pytest.approx(0)
    fine = preprocess(
        {Role.SUSC: Volume(voxels, grid((20, 40, 40), (1.0, 2, 2)))}, Role.SUSC, InputSpec()
    )
    assert fine.grid.spacing[0] == pytest.approx(1.5)


def test_dark_ventricles_belong_to_the_head() -> None:
    voxels = np.zeros((9, 60, 60), np.float32)
    voxels[1:8, 10:50, 10:50] = 100
    voxels[3:6, 25:35, 25:35] = 1
    mask = head_mask(Volume(voxels, grid((9, 60, 60), (3, 2, 2)))).voxels
    assert mask[4, 30, 30]
    assert not mask[4, 2, 2]
