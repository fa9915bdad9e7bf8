"""Edges of preprocessing that random heads do not reach."""

import numpy as np
import pytest

from service.domain.errors import GeometryError, InputError
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


def test_a_sequence_that_shows_nothing_in_the_head_counts_as_missing() -> None:
    geometry = grid((9, 60, 60), (3, 2, 2))
    voxels = np.zeros(geometry.shape, np.float32)
    voxels[1:8, 10:50, 10:50] = 100 + np.arange(40)
    elsewhere = np.full(geometry.shape, np.nan, np.float32)
    aligned = {Role.SUSC: Volume(voxels, geometry), Role.FLAIR: Volume(elsewhere, geometry)}
    seen = preprocess(aligned, Role.SUSC, InputSpec())
    assert seen.blank == (Role.FLAIR,)
    assert seen.presence.tolist() == [role is Role.SUSC for role in InputSpec().roles]


def test_a_reference_without_contrast_is_no_reference() -> None:
    geometry = grid((9, 60, 60), (3, 2, 2))
    voxels = np.full(geometry.shape, 100, np.float32)
    with pytest.raises(InputError, match="SUSC: the series shows no contrast"):
        preprocess({Role.SUSC: Volume(voxels, geometry)}, Role.SUSC, InputSpec())


def test_a_head_of_the_size_of_a_house_is_refused() -> None:
    geometry = grid((9, 60, 60), (3, 200, 200))
    voxels = np.zeros(geometry.shape, np.float32)
    voxels[1:8, 10:50, 10:50] = 100 + np.arange(40)
    with pytest.raises(GeometryError, match="needs more than"):
        preprocess({Role.SUSC: Volume(voxels, geometry)}, Role.SUSC, InputSpec())


def test_a_cosine_next_to_nothing_does_not_lose_the_mask() -> None:
    nothing = 4.45014772e-308
    affine = np.array(
        [[0, -nothing, 1, -89.5], [0, 1, nothing, -89.5], [2, 0, 0, -89.0], [0, 0, 0, 1]]
    )
    geometry = Geometry(affine, (90, 180, 180))
    positions = geometry.to_lps(np.moveaxis(np.indices(geometry.shape), 0, -1))
    distance = np.linalg.norm(positions, axis=-1)
    voxels = np.where(distance < 70, 100, 0) + np.where(distance < 12, 300, 0)
    seen = preprocess({Role.SUSC: Volume(voxels, geometry)}, Role.SUSC, InputSpec())
    bright = (seen.sequences[:, 0] > 2).astype(np.float32)
    assert seen.restore(bright).voxels[distance < 10].min() == 1


def test_axes_next_to_perpendicular_add_no_slice_beyond_the_head() -> None:
    # Positions and cosines of headers are rounded: slices lie a hair off the planes' normal.
    axes = np.eye(3)[::-1] + np.array([[3e-5, 3e-5, 0], [0, 0, 0], [0, 0, 0]])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    geometry = Geometry.from_components(
        origin=(-90, -110, -60), axes=axes, spacing=(5.0, 0.9, 0.9), shape=(24, 200, 200)
    )
    voxels = np.zeros(geometry.shape, np.float32)
    voxels[:, 20:180, 20:180] = 100 + np.arange(160)
    seen = preprocess({Role.SUSC: Volume(voxels, geometry)}, Role.SUSC, InputSpec())
    assert seen.grid.shape[0] == 24
    assert seen.sequences[[0, -1], 0].any(axis=(1, 2)).all()
