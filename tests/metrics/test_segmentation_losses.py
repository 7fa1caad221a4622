"""The segmenter's losses against values worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from synthmed_tf.metrics import segmentation_losses

LOG2 = float(np.log(2))


def test_masked_cross_entropy_is_the_mean_over_the_pixels_inside():
    target = tf.constant([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    logits = tf.constant([[0.0, np.log(3.0), -50.0], [np.log(3.0), 9.0, 9.0]])
    inside = tf.constant([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    # -log 1/2, -log 1/4 and, in the other example, -log 3/4
    np.testing.assert_allclose(
        segmentation_losses.masked_cross_entropy(target, logits, inside), [3 * LOG2 / 2, np.log(4 / 3)], rtol=1e-5
    )


def test_dice_loss_by_hand():
    target = tf.constant([[1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    logits = tf.constant([[0.0, 0.0, 0.0, 0.0], [80.0, -80.0, -80.0, 80.0]])
    inside = tf.constant([[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    # 1 - (2 (1/2 + 1/2) + 1) / (3/2 + 2 + 1), and a perfect one
    np.testing.assert_allclose(segmentation_losses.dice_loss(target, logits, inside), [1 / 3, 0.0], atol=1e-6)


def test_without_a_vessel_dice_falls_with_what_is_found():
    target = tf.zeros((2, 4))
    logits = tf.constant([[0.0] * 4, [-80.0] * 4])
    np.testing.assert_allclose(segmentation_losses.dice_loss(target, logits, tf.ones((2, 4))), [2 / 3, 0.0], atol=1e-6)


def test_an_example_without_a_field_of_view_has_no_loss():
    target, logits = tf.ones((1, 4)), tf.zeros((1, 4))
    np.testing.assert_array_equal(segmentation_losses.masked_cross_entropy(target, logits, tf.zeros((1, 4))), [0.0])
    np.testing.assert_array_equal(segmentation_losses.dice_loss(target, logits, tf.zeros((1, 4))), [0.0])


@pytest.mark.parametrize("loss", [segmentation_losses.masked_cross_entropy, segmentation_losses.dice_loss])
def test_masked_losses_send_no_gradient_outside(loss):
    logits = tf.Variable([[0.5, -0.5, 2.0]])
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(loss(tf.constant([[1.0, 0.0, 1.0]]), logits, tf.constant([[1.0, 1.0, 0.0]])))
    gradient = tape.gradient(value, logits).numpy()
    assert gradient[0, 2] == 0.0 and gradient[0, 0] < 0.0 < gradient[0, 1]


@pytest.mark.parametrize("loss", [segmentation_losses.masked_cross_entropy, segmentation_losses.dice_loss])
def test_masked_losses_are_float32_and_refuse_broadcasting(loss):
    half = tf.zeros((2, 4), tf.float16)
    assert loss(half, half, half).dtype == tf.float32
    with pytest.raises(ValueError, match=r"Received: \(2, 4\) and \(2, 1\)"):
        loss(tf.zeros((2, 4)), tf.zeros((2, 4)), tf.zeros((2, 1)))
