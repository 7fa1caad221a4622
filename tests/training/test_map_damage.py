"""Damage of vessel maps: nothing at strength 0, every kind alone, the same in any batch."""

import numpy as np
import pytest
import tensorflow as tf

from synthmed_tf.training import map_damage

SIZE = 16


@pytest.fixture(scope="module")
def maps():
    """Three examples of smooth values."""
    line = np.sin(np.arange(SIZE) / 3) / 2 + 0.5
    return tf.constant(np.tile((line[:, None] * line)[None, ..., None], (3, 1, 1, 2)), tf.float32)


def _numbers(**strengths):
    """Uniform numbers with the strengths of gain, fog, gaps (how many, which kind, how deep) and noise."""
    names = ("gain", "fog", "dense", "kind", "deep", "noise")
    rng = np.random.default_rng(1)
    unit = rng.uniform(size=(3, map_damage.uniform_numbers(SIZE))).astype(np.float32)
    unit[:, : len(names)] = [strengths.get(name, 0.0) for name in names]
    return unit, rng.normal(size=(3, map_damage.normal_numbers(SIZE))).astype(np.float32)


def test_no_damage_only_rounds(maps):
    unit, normal = _numbers(gain=1.0, fog=1.0, dense=1.0, deep=1.0, noise=1.0)
    for damaged in (map_damage.damage(maps, unit, normal, 0.0), map_damage.damage(maps, *_numbers(), 2.0)):
        np.testing.assert_allclose(damaged, np.round(maps.numpy() * 255) / 255, atol=1e-6)


def test_fog_is_a_share_of_the_mean_of_nine_pixels(maps):
    damaged = map_damage.damage(maps, *_numbers(fog=1.0), 1.0).numpy()
    rows = maps.numpy()
    around = sum(rows[:, 1 + y : 15 + y, 1 + x : 15 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)) / 9
    np.testing.assert_allclose(damaged[:, 1:-1, 1:-1], 0.3 * rows[:, 1:-1, 1:-1] + 0.7 * around, atol=0.5 / 255 + 1e-6)


def test_gaps_of_both_maps_lie_where_dots_fall(maps):
    unit, normal = _numbers(dense=1.0, deep=1.0)
    unit[:, 6:] = 1.0
    unit[1, 6 + 5 * SIZE + 7] = 0.0
    damaged = map_damage.damage(tf.ones_like(maps), unit, normal, 1.0).numpy()
    expected = np.ones((SIZE, SIZE))
    expected[4:7, 6:9] -= 1 / 9
    for channel in range(2):
        np.testing.assert_allclose(damaged[1, ..., channel], expected, atol=0.5 / 255 + 1e-6)
    assert damaged[0].min() == damaged[2].min() == 1


@pytest.mark.parametrize(("kind", "pixels"), [(0.0, 9), (0.5, 25), (0.9, 49)])
def test_gaps_are_of_three_sizes(maps, kind, pixels):
    unit, normal = _numbers(dense=1.0, deep=1.0, kind=kind)
    unit[:, 6:] = 1.0
    unit[1, 6 + 8 * SIZE + 8] = 0.0
    damaged = map_damage.damage(tf.ones_like(maps), unit, normal, 1.0).numpy()
    assert np.count_nonzero(damaged[1, ..., 0] < 1) == pixels


@pytest.mark.parametrize("kind", ["gain", "noise"])
def test_gain_and_noise_change_maps_by_their_strength(maps, kind):
    weak, strong = (map_damage.damage(maps, *_numbers(**{kind: share}), 1.0) - maps for share in (0.2, 1.0))
    assert 0.005 < np.abs(weak).mean() < np.abs(strong).mean() < 0.3


def test_an_example_is_damaged_alike_in_any_batch(maps):
    unit, normal = _numbers(gain=0.7, fog=0.5, dense=1.0, kind=0.5, deep=0.8, noise=0.6)
    whole = map_damage.damage(maps, unit, normal, 2.0).numpy()
    alone = map_damage.damage(maps[1:2], unit[1:2], normal[1:2], 2.0).numpy()
    np.testing.assert_array_equal(alone[0], whole[1])
    assert whole.min() >= 0 and whole.max() <= 1
