"""Movement: between sequences, within one, and what echo-planar imaging does to positions."""

import numpy as np
import pytest
import torch

from training.simulate.diffusion import adc_map, distort
from training.simulate.grids import axial_grid
from training.simulate.motion import Pose, Restlessness, draw_pose
from training.simulate.shading import draw_shading

GRID = axial_grid((-30.0, -32.0, -20.0), (1.0, 1.0, 1.0), (41, 64, 60))
STILL = Restlessness(np.zeros(2), np.zeros(2), 0.1, np.zeros(2), 20.0)


def _blob(centre: np.ndarray) -> torch.Tensor:
    points = GRID.to_lps(np.moveaxis(np.indices(GRID.shape), 0, -1))
    return torch.from_numpy(
        np.exp(-((points - centre) ** 2).sum(-1) / 2 / 3.0**2).astype(np.float32)
    )


def _centre_of(voxels: torch.Tensor) -> np.ndarray:
    weights = voxels.double().numpy()
    index = np.moveaxis(np.indices(weights.shape), 0, -1)
    middle = (index * weights[..., None]).sum((0, 1, 2)) / weights.sum()
    return np.asarray(GRID.to_lps(middle))


@pytest.mark.parametrize("rotation", [np.zeros(3), np.array([4.0, -6.0, 8.0])])
def test_sampled_patient_lies_where_the_pose_says(rotation: np.ndarray) -> None:
    pose = Pose(rotation, np.array([2.0, -3.0, 1.0]), np.array([1.0, 2.0, 3.0]))
    point = np.array([6.0, -8.0, 5.0])
    moved = pose.sample(_blob(point), GRID, GRID)
    np.testing.assert_allclose(_centre_of(moved), pose.to_scanner(point), atol=0.02)
    np.testing.assert_allclose(pose.to_patient(pose.to_scanner(point)), point, atol=1e-9)


def test_turned_and_straight_sampling_agree() -> None:
    voxels = _blob(np.array([3.0, 4.0, -2.0]))
    coarse = axial_grid((-20.0, -25.0, -15.0), (2.5, 1.3, 1.7), (12, 40, 24))
    straight = Pose(np.zeros(3), np.array([0.4, -0.7, 1.1]), np.zeros(3))
    turned = Pose(np.array([1e-7, 0, 0]), straight.shift_mm, np.zeros(3))
    assert turned.turned
    assert not straight.turned
    np.testing.assert_allclose(
        turned.sample(voxels, GRID, coarse), straight.sample(voxels, GRID, coarse), atol=1e-4
    )


def test_half_of_the_patients_lie_still() -> None:
    rng = np.random.default_rng(0)
    poses = [draw_pose(np.zeros(3), rng) for _ in range(400)]
    assert np.mean([pose.turned for pose in poses]) == pytest.approx(0.5, abs=0.1)


def _complex(voxels: torch.Tensor) -> torch.Tensor:
    return voxels.to(torch.complex64)


def test_still_patient_is_imaged_as_is() -> None:
    image = _complex(_blob(np.array([0.0, 0.0, 0.0])))
    np.testing.assert_allclose(STILL.blur(image, (1, 1, 1)).abs(), image.abs(), atol=1e-5)


def test_jerk_leaves_the_image_where_the_middle_of_k_space_was_taken() -> None:
    image = torch.zeros(GRID.shape, dtype=torch.complex64)
    image[20, 32, 30] = 1
    for at in (0.2, 0.8):
        jerk = Restlessness(np.zeros(2), np.array([6.0, -4.0]), at, np.zeros(2), 20.0)
        seen = jerk.blur(image, (1.0, 1.0, 1.0)).abs()
        assert np.argmax(seen.numpy()) == np.argmax(image.abs().numpy())
        assert (seen - image.abs()).abs().max() > 0.1


def test_shift_of_all_lines_moves_the_image() -> None:
    # A quarter of a period during the acquisition: slow, as seen from the middle of k-space.
    steady = Restlessness(np.zeros(2), np.zeros(2), 0.1, np.array([3.0, 2.0]), 0.25)
    image = _complex(_blob(np.array([0.0, 0.0, 0.0])))
    seen = steady.blur(image, (1.0, 1.0, 1.0)).abs()
    # The middle of k-space is taken in mid-acquisition: sin(pi / 4) of the amplitude.
    expected = np.array([2.0, 3.0, 0.0]) * np.sin(np.pi / 4)
    np.testing.assert_allclose(_centre_of(seen), expected, atol=0.3)


def test_periodic_movement_makes_ghosts_along_the_rows() -> None:
    breathing = Restlessness(np.zeros(2), np.zeros(2), 0.1, np.array([1.0, 0.0]), 16.0)
    image = _complex(_blob(np.array([0.0, 0.0, 0.0])))
    seen = breathing.blur(image, (1.0, 1.0, 1.0)).abs()
    outside = image.abs() < 1e-3
    assert seen[outside].max() > 0.01
    # Ghosts lie a whole number of sixteenths of the field of view away, in the same columns.
    far = torch.zeros_like(outside)
    far[:, :, :8] = True
    assert seen[outside & far].max() < 1e-3


def test_distortion_moves_signal_and_keeps_its_sum() -> None:
    signal = torch.zeros(2, 40, 3)
    signal[:, 18:22] = 1.0
    shift = torch.full_like(signal, 2.5)
    moved = distort(signal, shift)
    assert moved.sum() == pytest.approx(float(signal.sum()))
    np.testing.assert_allclose(moved[0, :, 0].numpy()[20:25], [0.5, 1, 1, 1, 0.5])
    # Where the field falls along the rows, signal piles up.
    squeezed = distort(torch.ones(1, 40, 1), torch.linspace(5, -5, 40)[None, :, None])
    assert squeezed.max() > 1.2


def test_adc_is_that_of_the_two_images_and_nothing_where_there_is_noise() -> None:
    b0 = torch.tensor([[[100.0, 100.0, 1.0]]])
    trace = b0 * torch.exp(torch.tensor([[[-0.8, -3.0, -0.8]]]))
    adc = adc_map(b0, trace, b_value=1000.0, deviation=1.0)
    np.testing.assert_allclose(adc.numpy().ravel(), [800.0, 3000.0, 0.0], rtol=1e-4)


def test_shading_is_smooth_and_around_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        factor = draw_shading(rng).over((20, 60, 50), torch.device("cpu"))
        assert 0.4 < factor.min() < factor.max() < 2.5
        assert factor.diff(dim=1).abs().max() < 0.1
