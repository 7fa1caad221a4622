"""Layers against closed forms, on both stacks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from synthmed_tf.models import layers


def test_instance_normalization_closed_form():
    x = np.random.default_rng(0).normal(3.0, 2.0, (2, 5, 7, 3)).astype(np.float32)
    layer = layers.normalization("instance")
    layer(x)
    scale, offset = np.array([1.0, 2.0, -1.0], np.float32), np.array([0.0, 0.5, 1.0], np.float32)
    by_name = {"gamma": scale, "beta": offset}
    layer.set_weights([by_name[v.name.split("/")[-1].split(":")[0]] for v in layer.weights])
    centred = x - x.mean(axis=(1, 2), keepdims=True)
    expected = scale * centred / np.sqrt(x.var(axis=(1, 2), keepdims=True) + 1e-5) + offset
    np.testing.assert_allclose(layer(x), expected, atol=2e-5)
    assert not layer.non_trainable_weights


def _by_definition(features, scale, offset, epsilon):
    mean = tf.reduce_mean(features, axis=(1, 2), keepdims=True)
    variance = tf.reduce_mean((features - mean) ** 2, axis=(1, 2), keepdims=True)
    return scale * (features - mean) / tf.sqrt(variance + epsilon) + offset


@pytest.mark.parametrize("compiled", [False, True])
def test_first_and_second_derivatives_of_instance_normalization_are_those_of_its_definition(compiled):
    rng = np.random.default_rng(0)
    features, weight = tf.constant(rng.normal(3.0, 2.0, (2, 5, 7, 3))), tf.constant(rng.normal(size=(2, 5, 7, 3)))
    scale, offset = tf.constant([1.0, 2.0, -1.0], tf.float64), tf.constant([0.0, 0.5, 1.0], tf.float64)

    def derivatives(normalize):
        with tf.GradientTape() as outer:
            outer.watch([features, scale, offset])
            with tf.GradientTape() as inner:
                inner.watch([features, scale, offset])
                loss = tf.reduce_sum(weight * tf.tanh(normalize(features, scale, offset, 1e-5)))
            first = inner.gradient(loss, [features, scale, offset])
            penalty = tf.add_n([tf.reduce_sum(gradient**2) for gradient in first])
        return [loss, *first, *outer.gradient(penalty, [features, scale, offset])]

    take = tf.function(derivatives) if compiled else derivatives
    for found, expected in zip(take(layers.instance_normalized), derivatives(_by_definition), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_instance_normalization_has_the_same_bits_in_training_and_after_it():
    x = tf.random.normal((2, 5, 7, 3))
    layer = layers.normalization("instance")
    np.testing.assert_array_equal(layer(x, training=True), layer(x))


@pytest.mark.parametrize("kind", ["instance", "batch"])
@pytest.mark.parametrize("training", [False, True])
def test_normalization_of_float16_is_that_of_float32(kind, training):
    x = tf.cast(tf.random.normal((2, 5, 7, 3), 100.0, 50.0), tf.float16)
    with layers.made_in("mixed_float16"):
        layer = layers.normalization(kind)
    found, expected = layer(x, training=training), layer.layer(tf.cast(x, tf.float32), training=training)
    assert found.dtype == tf.float16
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3)


def test_the_shim_uses_addons_exactly_where_they_run():
    layer = layers.normalization("instance").layer
    expected = "tensorflow_addons" if layers.tfa is not None else "keras"
    assert type(layer).__base__.__module__.split(".")[0] == expected
    assert (layers.tfa is not None) == keras.__version__.startswith("2.")


def test_batch_normalization_closed_form_and_moving_average():
    x = np.random.default_rng(0).normal(3.0, 2.0, (4, 5, 5, 2)).astype(np.float32)
    layer = layers.normalization("batch")
    expected = (x - x.mean(axis=(0, 1, 2))) / np.sqrt(x.var(axis=(0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(layer(x, training=True), expected, atol=1e-5)
    np.testing.assert_allclose(layer.layer.moving_mean, 0.1 * x.mean(axis=(0, 1, 2)), rtol=1e-4)


def test_no_normalization_changes_nothing_and_an_unknown_one_is_named():
    x = tf.random.normal((2, 3, 3, 1))
    np.testing.assert_array_equal(layers.normalization("none")(x), x)
    with pytest.raises(ValueError, match="Received: kind='layer'"):
        layers.normalization("layer")


def test_modulation_is_nearly_the_identity_at_first_and_affine_then():
    layer = layers.Modulation(2)
    x, vector = tf.ones((1, 2, 2, 2)), tf.constant([[1.0, -1.0]])
    layer(x, vector)
    layer.set_weights([np.array([[1, 0, 0, 2], [0, 0, 3, 0]], np.float32), np.zeros(4, np.float32)])
    # scales (1 + 1, 1 + 0), offsets (-3, 2)
    np.testing.assert_allclose(layer(x, vector)[0, 0, 0], [2.0 - 3.0, 1.0 + 2.0])


def test_upsample_repeats_pixels():
    x = tf.reshape(tf.range(4.0), (1, 2, 2, 1))
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    np.testing.assert_array_equal(layers.upsample(x)[0, ..., 0], expected)


def test_minibatch_deviation_by_hand_in_groups_and_at_each_place():
    x = np.zeros((8, 1, 2, 2), np.float32)
    x[:4, 0, 0, 0] = [1, 1, 3, 3]  # deviation 1 in one of two channels, at the first place of the first four alone
    statistic = layers.minibatch_deviation(tf.constant(x)).numpy()[..., 2]
    np.testing.assert_allclose(statistic[:4, 0, 0], [0.50005] * 4, atol=1e-4)
    np.testing.assert_allclose(statistic[4:], 1e-4, atol=1e-5)
    np.testing.assert_allclose(statistic[:4, 0, 1], 1e-4, atol=1e-5)


def test_a_batch_that_four_does_not_divide_is_one_group():
    x = tf.constant([1.0, 2.0, 3.0])[:, None, None, None]
    statistic = layers.minibatch_deviation(x).numpy()[..., 1].ravel()
    np.testing.assert_allclose(statistic, [np.sqrt(2 / 3)] * 3, rtol=1e-5)
