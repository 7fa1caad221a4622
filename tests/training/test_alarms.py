"""The alarms' metrics by value."""

import numpy as np

from synthmed_tf.data import augmentation
from synthmed_tf.training import alarms


def _masks(count, seed, size=64, centre=0.0):
    """Discs of one size near the middle, each moved by a few pixels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    places = rng.normal(centre, 1.0, (count, 2))
    return np.stack([np.hypot(rows - y, columns - x) < 9 for y, x in places])[..., None].astype(np.float32)


def test_diversity_is_the_ratio_of_mean_differences():
    real = np.zeros((2, 16, 16, 1), np.float32)
    real[0] = 1.0  # one pair, a difference of 1
    generated = np.stack([np.full((16, 16, 1), value, np.float32) for value in (0.0, 0.3, 0.6)])
    np.testing.assert_allclose(alarms.diversity(real, generated), (0.3 + 0.6 + 0.3) / 3, rtol=1e-6)
    assert alarms.diversity(real, np.ones((4, 16, 16, 1), np.float32)) == 0.0
    np.testing.assert_allclose(alarms.diversity(_masks(32, 0), _masks(32, 1)), 1.0, atol=0.1)


def test_leak_is_0_for_masks_like_real_ones_and_1_for_masks_as_augmented():
    ranges = augmentation.Ranges(shift=0.15)
    real = _masks(64, 0)
    augmented = alarms.augmented_masks(real, ranges, seed=0)
    assert alarms.augmentation_leak(real, augmented, _masks(64, 1)) < 0.05
    as_augmented = alarms.augmented_masks(_masks(64, 2), ranges, seed=7)
    np.testing.assert_allclose(alarms.augmentation_leak(real, augmented, as_augmented), 1.0, atol=0.25)


def test_a_flip_that_real_masks_do_not_have_shows():
    ranges = augmentation.Ranges(flip_horizontal=True)
    real = _masks(64, 0, centre=10.0)
    augmented = alarms.augmented_masks(real, ranges, seed=0)
    assert alarms.augmentation_leak(real, augmented, _masks(64, 1, centre=10.0)) < 0.05
    half = np.concatenate([_masks(32, 1, centre=10.0), _masks(32, 2, centre=10.0)[:, :, ::-1]])
    np.testing.assert_allclose(alarms.augmentation_leak(real, augmented, half), 1.0, atol=0.3)


def test_augmentation_that_changes_nothing_leaks_nothing():
    real = _masks(16, 0)
    assert alarms.augmentation_leak(real, real, _masks(16, 1)) == 0.0


def test_alarms_ring_beyond_their_thresholds():
    for alarm in alarms.ALARMS:
        step = 0.01 if alarm.above else -0.01
        assert alarm.rings(alarm.threshold + step) and not alarm.rings(alarm.threshold - step)
