"""Averaged weights against the closed form."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from synthmed_tf.training import ema


class Affine(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2)
        self.norm = keras.layers.BatchNormalization()

    def call(self, x, training=False):
        return self.norm(self.dense(x), training=training)


def _two_networks():
    """An average whose weights are all 1, and a network whose are all 5."""
    average, model = Affine(), Affine()
    for network, value in ((average, 1.0), (model, 5.0)):
        network(tf.zeros((1, 3)))
        network.set_weights([np.full(w.shape, value, np.float32) for w in network.get_weights()])
    return average, model


def test_update_moves_trained_weights_and_copies_the_others():
    average, model = _two_networks()
    ema.update(average, model, tf.constant(0.75))
    for weight in average.trainable_variables:
        np.testing.assert_allclose(weight, np.full(weight.shape, 0.75 * 1 + 0.25 * 5))
    for weight in average.non_trainable_variables:
        np.testing.assert_allclose(weight, np.full(weight.shape, 5.0))


def test_half_of_an_old_weight_is_left_after_the_half_life():
    decay = ema.decay(tf.constant(10**9), batch_size=16, half_life=1600)
    np.testing.assert_allclose(float(decay) ** (1600 / 16), 0.5, rtol=1e-4)


@pytest.mark.parametrize("images", [1000, 4000])
def test_the_half_life_is_a_twentieth_of_the_images_at_first(images):
    decay = ema.decay(tf.constant(images), batch_size=10, half_life=5000)
    np.testing.assert_allclose(decay, 0.5 ** (10 / (0.05 * images)), rtol=1e-6)


def test_no_half_life_is_no_average():
    assert ema.decay(tf.constant(100), 8, 0) is None
    average, model = _two_networks()
    ema.update(average, model, None)
    for weight in average.variables:
        np.testing.assert_array_equal(weight, np.full(weight.shape, 5.0))
