"""Losses against closed forms and values worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from synthmed_tf.training import losses

LOG2 = float(np.log(2))


def test_generator_loss_is_the_cross_entropy_with_label_one():
    logits = tf.constant([[0.0], [2.0], [-3.0]])
    expected = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.ones_like(logits), logits=logits)[:, 0]
    np.testing.assert_allclose(losses.generator_loss(logits), expected, rtol=1e-6)
    np.testing.assert_allclose(losses.generator_loss(logits)[0], LOG2, rtol=1e-6)


def test_discriminator_loss_by_hand():
    loss = losses.discriminator_loss(tf.constant([[0.0], [np.log(3.0)]]), tf.constant([[0.0], [-np.log(3.0)]]))
    np.testing.assert_allclose(loss, [2 * LOG2, 2 * np.log(4 / 3)], rtol=1e-6)


def test_patch_logits_are_averaged_over_patches_not_over_examples():
    logits = tf.constant(np.array([[[0.0, 2.0]], [[4.0, 4.0]]], np.float32))[..., None]
    expected = [np.mean(np.log1p(np.exp([0.0, -2.0]))), np.log1p(np.exp(-4.0))]
    np.testing.assert_allclose(losses.generator_loss(logits), expected, rtol=1e-5)


def test_r1_of_a_linear_discriminator_is_half_its_squared_weights():
    weights = tf.constant(np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1))
    real = tf.random.normal((4, 2, 3, 1))
    penalty = losses.r1_penalty(lambda x: tf.reduce_sum(weights * x, axis=(1, 2, 3))[:, None], real)
    np.testing.assert_allclose(penalty, np.full(4, 55 / 2), rtol=1e-6)


def test_r1_reaches_the_discriminators_weights():
    weight = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        penalty = losses.r1_penalty(lambda x: weight * tf.reduce_sum(x, axis=1, keepdims=True), tf.ones((2, 5)))
        mean = tf.reduce_mean(penalty)
    # gradient at x is (w, ..., w): penalty 5 w^2 / 2 each, derivative 5 w each
    np.testing.assert_allclose(tape.gradient(mean, weight), 15.0, rtol=1e-6)


def test_l1_by_hand():
    target, prediction = tf.constant([[1.0, 2.0], [0.0, 0.0]]), tf.constant([[0.0, 4.0], [0.5, -0.5]])
    np.testing.assert_allclose(losses.l1_loss(target, prediction), [1.5, 0.5])


def test_feature_matching_averages_layers_and_sends_no_gradient_to_the_real_side():
    real = [tf.Variable([[1.0, 1.0]]), tf.Variable([[2.0]])]
    fake = [tf.Variable([[0.0, 0.0]]), tf.Variable([[5.0]])]
    with tf.GradientTape() as tape:
        loss = losses.feature_matching_loss(real, fake)
    np.testing.assert_allclose(loss, [(1.0 + 3.0) / 2])
    gradients = tape.gradient(loss, [*real, *fake])
    assert gradients[0] is None and gradients[1] is None
    np.testing.assert_allclose(gradients[2], [[-0.25, -0.25]])
    np.testing.assert_allclose(gradients[3], [[0.5]])


def test_kl_closed_form():
    mean, log_variance = tf.constant([[0.0, 0.0], [1.0, -2.0]]), tf.constant([[0.0, 0.0], [np.log(2.0), 0.0]])
    expected = [0.0, 0.5 * (1 + 2 - np.log(2) - 1) + 0.5 * 4]
    np.testing.assert_allclose(losses.kl_to_standard_normal(mean, log_variance), expected, rtol=1e-6, atol=1e-7)


def test_losses_are_float32_for_half_precision_logits():
    half = tf.constant([[1.0]], tf.float16)
    assert losses.generator_loss(half).dtype == tf.float32
    assert losses.discriminator_loss(half, half).dtype == tf.float32


def test_silent_broadcasting_is_refused():
    with pytest.raises(ValueError, match=r"Received: \(4, 1\) and \(4,\)"):
        losses.discriminator_loss(tf.zeros((4, 1)), tf.zeros(4))
    with pytest.raises(ValueError, match="2 real and 1 fake"):
        losses.feature_matching_loss([tf.zeros((1, 1))] * 2, [tf.zeros((1, 1))])


def _line(values, calibres=None):
    """A vessel along a row, two pixels for each value; and its calibres, widest at the first value."""
    calibres = [1.0] + [0.5] * (len(values) - 1) if calibres is None else calibres
    lines = [np.zeros((1, 8, 2 * len(values), 1), np.float32) for _ in range(2)]
    for line, row in zip(lines, (values, calibres), strict=True):
        line[0, 2:4, :, 0] = np.repeat(row, 2)
    return [tf.constant(line) for line in lines]


def test_what_lies_behind_a_gap_is_reached_as_far_as_the_gap_alone():
    assert losses.unreached_share(*_line([1.0, 0.8, 0.9, 0.7])).numpy() == pytest.approx(0.1 / 3.4, abs=1e-5)
    assert losses.unreached_share(*_line([1.0, 1.0, 0.2, 1.0, 1.0])).numpy() == pytest.approx(1.6 / 4.2, abs=1e-5)
    assert losses.unreached_share(*_line([1.0, 1.0, 0.0, 1.0])).numpy() == pytest.approx(1 / 3, abs=1e-5)
    widest_last = _line([1.0, 0.0, 1.0, 1.0, 1.0], [0.2, 0.2, 0.2, 0.2, 0.9])
    assert losses.unreached_share(*widest_last).numpy() == pytest.approx(1 / 4, abs=1e-5)


def test_a_vessel_is_followed_for_so_many_steps():
    line = _line([1.0] * 10)
    assert losses.unreached_share(*line, steps=9).numpy() == pytest.approx(0.0, abs=1e-5)
    assert losses.unreached_share(*line, steps=4).numpy() == pytest.approx(0.5, abs=1e-5)


def test_what_cannot_be_reached_raises_the_lowest_pixel_of_the_gap():
    ridges, calibres = _line([1.0, 1.0, 0.6, 0.2, 0.6, 1.0, 1.0])
    with tf.GradientTape() as tape:
        tape.watch(ridges)
        share = losses.unreached_share(ridges, calibres)
    columns = tape.gradient(share, ridges).numpy()[0, :, :, 0].sum(axis=0).reshape(-1, 2).sum(axis=1)
    assert np.argmin(columns) == 3 and columns[3] < -0.5


def test_diversity_by_hand():
    real, fake = np.zeros((4, 4, 4, 1), np.float32), np.zeros((4, 4, 4, 1), np.float32)
    real[0], real[2, :2] = 1.0, 1.0  # distances 1 and 1/2
    fake[0, :2], fake[2, :2] = 1.0, 1.0  # distances 1/2 and 1/2
    loss = losses.diversity_loss(tf.constant(real), tf.constant(fake), cells=2)
    np.testing.assert_allclose(loss, [0.25, 0.25, 0.0, 0.0], atol=1e-5)


def test_diversity_compares_cells_not_pixels():
    stripes = np.indices((4, 4))[0] % 2
    pair = np.stack([stripes, 1 - stripes]).astype(np.float32)[..., None]
    varied = np.stack([np.zeros((4, 4)), np.ones((4, 4))]).astype(np.float32)[..., None]
    np.testing.assert_allclose(
        losses.diversity_loss(tf.constant(varied), tf.constant(pair), cells=2), [1.0, 1.0], atol=1e-5
    )


def test_the_diversity_of_generated_masks_is_raised_by_its_gradient():
    rng = np.random.default_rng(0)
    real = tf.constant(rng.random((8, 16, 16, 1)), tf.float32)
    fake = tf.Variable(0.5 + 0.1 * rng.random((8, 16, 16, 1)), dtype=tf.float32)
    before = float(tf.reduce_mean(losses.diversity_loss(real, fake)))
    for _ in range(300):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(losses.diversity_loss(real, fake))
        fake.assign_sub(20.0 * tape.gradient(loss, fake))
    assert before > 0.5 and float(loss) < 0.01 * before
