"""Whatever the orientation, the network sees the patient, and the way back is true."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.geometry import Geometry
from service.domain.model_spec import InputSpec
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.preprocess import CANONICAL_AXES, preprocess
from tests.strategies import dicom_axes, rotation

HEAD_RADII = np.array([60.0, 75.0, 55.0])
SPEC = InputSpec()

_AXIAL = np.eye(3)
_CORONAL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_SAGITTAL = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])


@st.composite
def heads(draw: st.DrawFn) -> tuple[Geometry, npt.NDArray[np.float64]]:
    """A grid that holds the head, tilted by up to 0.3 rad, and a point well inside the head."""
    plane = draw(st.sampled_from([_AXIAL, _CORONAL, _SAGITTAL]))
    tilt = rotation((1.0, *(draw(st.floats(-0.15, 0.15)) for _ in range(3))))
    axes = dicom_axes(tilt @ plane)
    if draw(st.booleans()):
        axes = axes * [[-1], [1], [1]]
    spacing = np.array(
        [draw(st.floats(1.5, 6.0)), draw(st.floats(0.8, 2.5)), draw(st.floats(0.8, 2.5))]
    )
    shape = np.ceil(2 * 90.0 / spacing).astype(int)
    origin = -axes.T @ ((shape - 1) * spacing / 2)
    grid = Geometry.from_components(
        origin=origin,
        axes=axes,
        spacing=spacing,
        shape=(int(shape[0]), int(shape[1]), int(shape[2])),
    )
    point = np.array([draw(st.floats(-0.5, 0.5)) for _ in range(3)]) * HEAD_RADII
    return grid, point


def head_with_ball(
    grid: Geometry, point: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    indices = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    positions = grid.to_lps(indices)
    inside = (((positions) / HEAD_RADII) ** 2).sum(axis=-1) <= 1
    distance = np.linalg.norm(positions - point, axis=-1)
    return np.where(inside, 100 + 10 * np.sin(positions[..., 0] / 7), 0).astype(
        np.float32
    ), distance


@settings(max_examples=25, deadline=None)
@given(heads())
def test_bright_ball_stays_where_it_is(head: tuple[Geometry, npt.NDArray[np.float64]]) -> None:
    grid, point = head
    voxels, distance = head_with_ball(grid, point)
    voxels = np.where(distance < 12, 400, voxels)
    truth = grid.to_lps(np.argwhere(distance < 12)).mean(axis=0)

    seen = preprocess({Role.SUSC: Volume(voxels, grid)}, Role.SUSC, SPEC)

    assert seen.grid.spacing[1:] == pytest.approx((0.9, 0.9))
    assert seen.grid.shape[1] % SPEC.divisor == seen.grid.shape[2] % SPEC.divisor == 0
    assert (np.diag(CANONICAL_AXES @ seen.grid.axes.T) > 0.8).all()
    bright = np.argwhere(seen.sequences[:, 0] > 2)
    assert seen.grid.to_lps(bright).mean(axis=0) == pytest.approx(truth, abs=1.5)

    found = seen.restore((seen.sequences[:, 0] > 2).astype(np.float32))
    assert found.geometry.same_grid(grid)
    back = grid.to_lps(np.argwhere(found.voxels >= 0.5)).mean(axis=0)
    assert back == pytest.approx(truth, abs=0.5 * max(grid.spacing) + 0.5)


@settings(max_examples=10, deadline=None)
@given(heads())
def test_missing_roles_are_zero_and_present_ones_are_standardised(
    head: tuple[Geometry, npt.NDArray[np.float64]],
) -> None:
    grid, point = head
    voxels, distance = head_with_ball(grid, point)
    half_covered = np.where(distance < 60, 1000 + 50 * np.cos(distance), np.nan).astype(np.float32)
    seen = preprocess(
        {Role.SUSC: Volume(voxels, grid), Role.FLAIR: Volume(half_covered, grid)}, Role.SUSC, SPEC
    )
    assert seen.presence.tolist() == [1, 0, 0, 0, 1, 0]
    assert not seen.sequences[:, [1, 2, 3, 5]].any()
    assert np.isfinite(seen.sequences).all()
    assert np.abs(seen.sequences).max() <= SPEC.clip
    flair = seen.sequences[:, 4]
    assert flair[flair != 0].mean() == pytest.approx(0, abs=0.3)
    assert flair[flair != 0].std() == pytest.approx(1, abs=0.3)
