"""The refiner on whole maps and crops, and the hysteresis against a reference."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.tiny import random_weights
from scipy import ndimage

from synthmed_tf.models import mask_refiner
from synthmed_tf.models.coarse_to_fine import CoarseToFine, coarse_fov


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_a_crop_gives_what_the_whole_gives_away_from_the_border(factor):
    refiner = mask_refiner.MaskRefiner(factor, filters=4)
    maps = tf.random.stateless_uniform((1, 96, 96, 2), (1, 2))
    refiner(maps)
    refiner.set_weights(random_weights(refiner, 0))
    whole, crop = refiner(maps).numpy(), refiner(maps[:, 8:88, 4:84]).numpy()
    assert whole.shape == (1, 96 * factor, 96 * factor, 1)
    inner = slice(30 * factor, 50 * factor)  # of the crop; the receptive field reaches 28 pixels of the maps
    np.testing.assert_allclose(
        crop[:, inner, inner], whole[:, 38 * factor : 58 * factor, 34 * factor : 54 * factor], atol=1e-4
    )
    assert whole.std() > 0.1


def _reconstruction(probability, low, high):
    """Pieces (8-connected) above the low threshold that hold a pixel above the high one."""
    pieces, count = ndimage.label(probability >= low, np.ones((3, 3)))
    kept = [piece for piece in range(1, count + 1) if (probability[pieces == piece] >= high).any()]
    return np.isin(pieces, kept)


def test_hysteresis_keeps_the_pieces_that_hold_a_strong_pixel():
    noise = np.random.default_rng(0).normal(size=(3, 40, 40))
    smooth = np.stack([ndimage.gaussian_filter(each, 1.5) for each in noise])
    probability = ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)
    found = mask_refiner.hysteresis(tf.constant(probability[..., None]), 0.5, 0.75).numpy()[..., 0]
    expected = np.stack([_reconstruction(each, 0.5, 0.75) for each in probability])
    np.testing.assert_array_equal(found, expected)
    assert 0 < found.sum() < (probability >= 0.5).sum()


@pytest.mark.parametrize("steps", [0, 5])
def test_hysteresis_reaches_as_far_as_its_steps(steps):
    probability = np.full((1, 3, 30, 1), 0.1, np.float32)
    probability[0, 1, 2:28] = 0.5
    probability[0, 1, 2] = 0.9
    found = mask_refiner.hysteresis(tf.constant(probability), 0.4, 0.8, steps).numpy()[0, 1, :, 0]
    assert np.flatnonzero(found).tolist() == list(range(2, 3 + steps))


def test_values_are_rounded_to_8_bits():
    values = tf.constant([-0.1, 0.0, 0.4999 / 255, 0.5001 / 255, 100.4 / 255, 1.0, 1.2])
    np.testing.assert_allclose(mask_refiner.quantize(values) * 255, [0, 0, 0, 1, 100, 255, 255], atol=1e-4)


def test_the_field_of_view_of_the_maps_is_that_of_most_pixels():
    fov = np.zeros((8, 8, 1), np.float32)
    fov[:3, :6] = 1
    np.testing.assert_array_equal(coarse_fov(fov, 4)[..., 0], [[1, 1, 1, 0], [1, 1, 1, 0], [0] * 4, [0] * 4])


def test_both_networks_in_one_look_inside_the_field_of_view_alone():
    class Maps(tf.Module):
        def __call__(self, latent, training=False):
            return tf.ones((1, 8, 8, 2)) * latent[:, None, None, :1]

    fov = np.ones((8, 8, 1), np.float32)
    fov[:, 4:] = 0

    def twice(maps, training=False):
        return 20.0 * tf.repeat(tf.repeat(maps[..., :1] - 0.5, 2, axis=1), 2, axis=2)

    joined = CoarseToFine.call
    holder = type("Holder", (), {"generator": Maps(), "refiner": staticmethod(twice), "thresholds": (0.4, 0.6)})()
    holder._inside = fov
    holder.probability = lambda maps: CoarseToFine.probability(holder, maps)
    coverage = joined(holder, tf.ones((1, 3))).numpy()[0, ..., 0]
    assert np.all(coverage[:, :8] == 1) and np.all(coverage[:, 8:] == -1)
