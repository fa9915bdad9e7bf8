"""Augmentation keeps the truth and changes what a scanner may."""

import numpy as np
import numpy.typing as npt

from service.domain.sequence import Role
from training.augment import alter_scanner, augment, bend, coil_sensitivity, turn_and_zoom
from training.dataset import Slab


def test_turned_planes_keep_the_clot_on_its_tissue() -> None:
    rng = np.random.default_rng(1)
    target = np.zeros((2, 48, 64), np.float32)
    target[:, 30:36, 40:50] = 1
    sequences = np.ones((2, 6, 48, 64), np.float32) + target[:, None]
    sequences[:, 3] = 0
    sequences[..., :8] = 0
    moved = 0
    for _ in range(20):
        turned, labels = turn_and_zoom(sequences, target, rng)
        assert turned.shape == sequences.shape
        assert labels.shape == target.shape
        assert set(np.unique(labels)) == {0.0, 1.0}
        assert not turned[:, 3].any()
        # Interpolation softens the clot's border by half a voxel; inside it is as bright as before.
        assert turned[:, 0][labels == 1].mean() > 1.8
        assert turned[:, 0][(labels == 0) & (turned[:, 0] > 0)].mean() < 1.1
        area = labels.sum() / target.sum()
        assert 1.15**-2 * 0.85 < area < 1.15**2 * 1.15
        moved += not np.array_equal(labels, target)
    assert moved == 20


def _direction(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Unit vector (row, column) along a bar."""
    places = np.argwhere(plane > 0.5)
    return np.linalg.svd(places - places.mean(axis=0))[2][0]


def test_planes_that_are_not_square_are_turned_and_not_sheared() -> None:
    target = np.zeros((1, 48, 96), np.float32)
    target[:, 23:25, 33:63] = 1
    sequences = np.zeros((1, 6, 48, 96), np.float32)
    sequences[:, 0, 9:39, 47:49] = 1
    rng = np.random.default_rng(3)
    turns = []
    for _ in range(20):
        turned, labels = turn_and_zoom(sequences, target, rng)
        along, across = _direction(labels[0]), _direction(turned[0, 0])
        turns.append(abs(float(along[0])))
        assert abs(along @ across) < 0.08
    assert max(turns) > np.sin(np.deg2rad(10))


def test_augmentation_moves_target_and_image_together_and_keeps_zeros() -> None:
    rng = np.random.default_rng(0)
    sequences = np.full((4, 6, 8, 8), 1.0, np.float32)
    target = np.zeros((4, 8, 8), np.float32)
    target[1, 2, 3] = 1
    sequences[1, 0, 2, 3] = -50.0
    sequences[:, 3] = 0
    for _ in range(20):
        changed = augment(Slab(sequences, np.ones(6, np.float32), target), rng)
        assert changed.sequences[:, 0].argmin() == changed.target.argmax()
        assert (changed.sequences[:, 3] == 0).all()
        assert changed.target.sum() == 1


def test_augmentation_flips_the_sign_of_phase_only() -> None:
    rng = np.random.default_rng(0)
    ones = np.ones((2, 6, 4, 4), np.float32)
    slab = Slab(ones, np.ones(6, np.float32), np.zeros((2, 4, 4), np.float32))
    means = np.array([augment(slab, rng).sequences.mean(axis=(0, 2, 3)) for _ in range(60)])
    phase = list(Role).index(Role.PHASE)
    assert 0.3 < (means[:, phase] < 0).mean() < 0.7
    assert (np.delete(means, phase, axis=1) > 0).all()


def test_scanners_differ_in_contrast_sharpness_and_coil_but_not_in_place() -> None:
    rng = np.random.default_rng(0)
    sequences = rng.normal(0, 0.1, (3, 6, 32, 32)).astype(np.float32)
    sequences[1, :, 10, 20] = -5.0
    before = sequences.copy()
    changed = np.zeros(6)
    for _ in range(200):
        altered = alter_scanner(sequences, rng)
        assert altered.shape == sequences.shape
        assert np.isfinite(altered).all()
        around = altered[1, :, 8:13, 18:23].reshape(6, -1)
        assert (around.argmin(axis=1) == 12).all()
        changed += (altered != sequences).any(axis=(0, 2, 3))
    assert (sequences == before).all()
    # Three changes, each to three sequences in ten.
    assert np.allclose(changed / 200, 1 - 0.7**3, atol=0.12)


def test_bent_contrast_keeps_order_and_the_middle() -> None:
    scores = np.linspace(-5, 5, 101, dtype=np.float32)
    for exponent in (0.6, 1.0, 1.6):
        bent = bend(scores, exponent)
        assert (np.diff(bent) > 0).all()
        assert abs(bent[50]) < 1e-6
        assert np.isclose((bent[51] - bent[49]) / 0.2, 1, atol=0.01)
    assert np.allclose(bend(scores, 1.0), scores, atol=1e-6)
    assert bend(scores, 0.6)[0] < -6 < -4 < bend(scores, 1.6)[0]


def test_coils_are_smooth_and_around_one() -> None:
    rng = np.random.default_rng(0)
    gains = np.stack([coil_sensitivity((64, 48), rng) for _ in range(300)])
    assert abs(gains.mean() - 1) < 0.02
    assert 0.08 < gains.std() < 0.2
    assert np.abs(np.diff(gains, axis=1)).max() < 0.1
