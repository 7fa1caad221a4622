"""Stage-II's pyramid: flows by value, and images that agree with the step below."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from synthmed_tf.models import latents, layers, pyramid
from synthmed_tf.models.flow import FlowNetwork, Guidance, follow, noise_of, on_the_way
from synthmed_tf.models.pyramid import CoarseRenderer, FineRenderer, Pyramid

RNG = np.random.default_rng(0)
STYLE = 3


def _randomized(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        shape = tuple(variable.shape)
        variable.assign(rng.normal(0, 0.7 / np.sqrt(np.prod(shape[:-1]) or 1), shape))
    return model


@pytest.fixture(scope="module")
def coarse():
    model = CoarseRenderer(32, 4, (2, 3))
    model(tf.zeros((1, 64, 64, 2)), tf.zeros((1, STYLE)))
    return _randomized(model)


@pytest.fixture(scope="module")
def fine():
    model = FineRenderer(64, 4, 2)
    model(tf.zeros((1, 32, 32, 3)), tf.zeros((1, 64, 64, 2)), tf.zeros((1, STYLE)))
    return _randomized(model)


@pytest.fixture(scope="module")
def condition():
    y, x = np.mgrid[:64, :64] - 31.5
    fov = np.where(np.hypot(y, x) < 28, 1, -1)
    mask = np.where((np.abs(x - y) < 3) & (fov > 0), 1, -1)
    return np.stack([mask, fov], axis=-1)[None].repeat(3, axis=0).astype(np.float32)


def test_enlarged_ramps_stay_ramps():
    ramp = np.arange(4, dtype=np.float32)[None, None, :, None] * np.ones((1, 4, 1, 1), np.float32)
    enlarged = layers.enlarge(ramp, 2).numpy()[0, 0, :, 0]
    np.testing.assert_allclose(enlarged, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3], atol=1e-6)


def test_the_way_from_noise_to_detail_is_straight():
    noise, detail = (np.full((2, 1, 1, 3), value, np.float32) for value in (2.0, -1.0))
    point, velocity = on_the_way(noise, detail, tf.constant([0.0, 0.25]))
    np.testing.assert_allclose(point[:, 0, 0, 0], [2.0, 1.25])
    np.testing.assert_allclose(velocity, -3.0 * np.ones((2, 1, 1, 3)))


def test_following_takes_equal_steps_along_the_velocity():
    noise = tf.ones((1, 2, 2, 3))
    # dx/dt = -x by the midpoint method: each of n steps multiplies with 1 - 1/n + 1/(2 n^2).
    decayed = follow(lambda x, condition, time, training: -x, noise, noise, 4)
    np.testing.assert_allclose(decayed, 0.78125**4 * np.ones((1, 2, 2, 3)), rtol=1e-6)
    # dx/dt = 4t: the times are 1/8, 3/8, 5/8 and 7/8, and the result is exact.
    risen = follow(lambda x, condition, time, training: 4.0 * time + 0.0 * x, noise, noise, 4)
    np.testing.assert_allclose(risen, 3.0 * np.ones((1, 2, 2, 3)), rtol=1e-6)


def test_guidance_goes_further_from_the_other_condition():
    noise = tf.reshape(tf.range(2.0), (2, 1, 1, 1))
    condition, other = noise + 3.0, noise - 1.0
    # The velocity is the condition: 3 and 4 with it, -1 and 0 with the other, so 3 + 0.25 * 4 and 4 + 0.25 * 4.
    moved = follow(lambda x, given, time, training: given, noise, condition, 2, Guidance(other, 0.25))
    np.testing.assert_allclose(moved[:, 0, 0, 0], [0.0 + 4.0, 1.0 + 5.0], rtol=1e-6)


@pytest.mark.parametrize(("throughout", "middle"), [(False, 1.0), (True, 1.25)])
def test_guidance_acts_on_the_half_step_where_it_acts_throughout(throughout, middle):
    noise, condition, other = tf.zeros((1, 1, 1, 1)), tf.fill((1, 1, 1, 1), 2.0), tf.fill((1, 1, 1, 1), 1.0)
    # The velocity is x plus the condition: at first 2, or 2 + 0.5 * (2 - 1), half of which leads to the middle.
    guidance = Guidance(other, 0.5, throughout)
    moved = follow(lambda x, given, time, training: x + given, noise, condition, 1, guidance)
    np.testing.assert_allclose(moved[0, 0, 0, 0], middle + 2.0 + 0.5 * (2.0 - 1.0), rtol=1e-6)


def test_images_are_guided_away_from_those_of_no_vessels(coarse, condition, monkeypatch):
    coverage, fov = pyramid.reduced(tf.constant(condition), 32)
    style = tf.constant(RNG.normal(size=(3, STYLE)), tf.float32)
    thumbnail = coarse.thumbnail(coverage, fov, style)
    unguided, empty = (coarse.render(c, fov, thumbnail, style) for c in (coverage, tf.zeros_like(coverage)))
    monkeypatch.setattr(coarse, "guidance", 0.5)
    guided, nothing = (coarse.render(c, fov, thumbnail, style) for c in (coverage, tf.zeros_like(coverage)))
    np.testing.assert_allclose(nothing, empty, atol=1e-5)
    further, away = (guided - unguided).numpy(), (unguided - empty).numpy()
    assert np.abs(away).max() > 1e-3 and (further * away).sum() > 0.1 * (away**2).sum()


def test_the_thumbnail_takes_steps_of_its_own(coarse, condition):
    coverage, fov = pyramid.reduced(tf.constant(condition), 32)
    style = tf.constant(RNG.normal(size=(3, STYLE)), tf.float32)
    noise = noise_of(style, (8, 8, 3), latents.THUMBNAIL_NOISE)
    two, three = (follow(coarse.thumbnails, noise, pyramid.thumbnail_condition(coverage, fov), n) / 2.0 for n in (2, 3))
    inside = pyramid.pooled(fov).numpy() > 0
    shown = np.where(inside, np.clip(two, -1, 1), -1)
    np.testing.assert_allclose(coarse.thumbnail(coverage, fov, style), shown, atol=1e-5)
    assert np.abs((three - two).numpy())[np.repeat(inside, 3, axis=-1)].max() > 1e-3


def test_pixel_normalization_gives_each_pixel_a_mean_square_of_1():
    features = np.float32([[[[3.0, 4.0], [0.0, 0.0]]]])
    normalized = layers.pixel_normalized(features).numpy()[0, 0]
    np.testing.assert_allclose(normalized, [[3 / np.sqrt(12.5), 4 / np.sqrt(12.5)], [0, 0]], rtol=1e-5)


@pytest.mark.parametrize("function", [layers.pixel_normalized, layers.silu])
def test_gradients_of_our_own_are_those_of_the_function(function):
    features = tf.constant(RNG.normal(size=(2, 3, 3, 5)), tf.float32)
    weights = tf.constant(RNG.normal(size=(2, 3, 3, 5)), tf.float32)
    found = []
    for training in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(features)
            values = function(features, training)
            loss = tf.reduce_sum(weights * values)
        found.append((values.numpy(), tape.gradient(loss, features).numpy()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-6)


def test_a_network_that_was_trained_on_crops_sees_the_same_in_the_whole():
    network = FlowNetwork(2, 4)
    images, condition, time = RNG.normal(size=(1, 192, 192, 3)), RNG.normal(size=(1, 192, 192, 2)), tf.constant([0.3])
    images, condition = images.astype(np.float32), condition.astype(np.float32)
    network(images[:, :32, :32], condition[:, :32, :32], time)
    _randomized(network)
    whole = network(images, condition, time).numpy()
    crop = network(images[:, 16:176, 16:176], condition[:, 16:176, 16:176], time).numpy()
    assert whole.std() > 0.1
    np.testing.assert_allclose(crop[:, 70:90, 70:90], whole[:, 86:106, 86:106], atol=1e-4)


def _shares(condition):
    """Coverage and field of view of 32 x 32 pixels, by hand."""
    return np.moveaxis((condition.reshape(3, 32, 2, 32, 2, 2).mean(axis=(2, 4)) + 1) / 2, -1, 0)[..., None]


def test_a_condition_is_reduced_to_shares_of_pixels(condition):
    found = pyramid.reduced(tf.constant(condition), 32)
    for shares, by_hand in zip(found, _shares(condition), strict=True):
        np.testing.assert_allclose(shares, by_hand, atol=1e-6)
    assert set(np.unique(np.round(found[1], 3))) >= {0.0, 0.25, 0.5, 1.0}


def test_thumbnails_are_given_all_of_the_coverage():
    coverage = RNG.uniform(size=(1, 32, 32, 1)).astype(np.float32)
    given = pyramid.thumbnail_condition(tf.constant(coverage), tf.ones((1, 32, 32, 1))).numpy()
    assert given.shape == (1, 8, 8, 19) and np.all(given[..., 16] == 1)
    np.testing.assert_allclose(given[0, 2, 5, :16], 2 * coverage[0, 8:12, 20:24].ravel() - 1, atol=1e-6)
    np.testing.assert_allclose(given[0, 0, 0, 17], 2 * np.hypot(7 / 8, 7 / 8) - 1, atol=1e-6)


def test_images_are_black_outside_and_depend_on_their_style_alone(coarse, condition):
    styles = RNG.normal(size=(3, STYLE)).astype(np.float32)
    styles[2] = [styles[1, 0] + 1, *styles[1, 1:]]
    together = coarse(condition, styles).numpy()
    assert together.shape == (3, 32, 32, 3) and together.dtype == np.float32
    outside = _shares(condition)[1][..., 0] == 0
    assert outside.any() and np.all(together[outside] == -1) and np.all(np.abs(together) <= 1)
    alone = coarse(condition[1:2], styles[1:2]).numpy()
    np.testing.assert_allclose(alone[0], together[1], atol=1e-5)
    assert np.abs(together[0] - together[1])[~outside[1]].mean() > 1e-2
    # The last two numbers alone choose the noise.
    np.testing.assert_allclose(together[2], together[1], atol=1e-5)


def _averages(images, fov, factor):
    """Over the part of each cell in the field of view, and where all values are below the limits; by hand."""
    n, side = len(images), images.shape[1] // factor
    shape = (n, side, factor, side, factor)
    weights = np.broadcast_to(fov.reshape(*shape, 1), (*shape, 3))
    cells = images.reshape(*shape, 3)
    within = ((np.abs(cells) < 1) | (weights == 0)).all(axis=(2, 4)) & (weights.sum(axis=(2, 4)) > 0)
    return (cells * weights).sum(axis=(2, 4)) / np.maximum(weights.sum(axis=(2, 4)), 1e-6), within


def test_averages_leave_out_what_is_outside_the_field_of_view():
    fov = RNG.uniform(size=(1, 8, 8, 1)).astype(np.float32) * (RNG.uniform(size=(1, 8, 8, 1)) > 0.5)
    fov[:, :2, :2] = 0
    images = np.where(fov > 0, RNG.uniform(-0.9, 0.9, (1, 8, 8, 3)), -1).astype(np.float32)
    averages = pyramid.averaged(tf.constant(images), tf.constant(fov), 2).numpy()
    by_hand, within = _averages(images, fov, 2)
    assert within.mean() > 0.5
    np.testing.assert_allclose(averages[within], by_hand[within], atol=1e-5)
    assert np.all(averages[0, 0, 0] == -1)


def test_an_even_color_stays_even_up_to_the_border(condition):
    fov = _shares(condition)[1].astype(np.float32)
    image = np.where(fov > 0, np.float32([0.4, -0.2, 0.1]), -1).astype(np.float32)
    base, detail = pyramid.coarse_detail(tf.constant(image), tf.constant(fov))
    assert set(np.unique(np.round(fov, 2))) > {0.25, 0.5}
    np.testing.assert_allclose(detail, np.zeros_like(image), atol=1e-4)
    np.testing.assert_allclose(base.numpy()[fov[..., 0] > 0], image[fov[..., 0] > 0], atol=1e-5)


def test_the_average_of_the_coarse_image_is_the_thumbnail(coarse, condition):
    styles = RNG.normal(size=(3, STYLE)).astype(np.float32)
    coverage, fov = (tf.constant(shares, tf.float32) for shares in _shares(condition))
    thumbnail = coarse.thumbnail(coverage, fov, styles).numpy()
    assert thumbnail.shape == (3, 8, 8, 3) and np.all(thumbnail[:, 0, 0] == -1) and thumbnail[:, 2:6, 2:6].std() > 0.05
    images = coarse.render(coverage, fov, thumbnail, styles).numpy()
    np.testing.assert_array_equal(coarse(condition, styles).numpy(), images)
    averages, within = _averages(images, fov.numpy(), 4)
    assert within[:, 2:6, 2:6].mean() > 0.3 and within[:, 1].any()
    np.testing.assert_allclose(averages[within], thumbnail[within], atol=1e-5)


def test_the_average_of_the_fine_image_is_the_coarse_one(coarse, fine, condition):
    styles = RNG.normal(size=(3, STYLE)).astype(np.float32)
    below = coarse(condition, styles).numpy()
    images = fine(below, condition, styles).numpy()
    np.testing.assert_array_equal(Pyramid(coarse, fine)(condition, styles).numpy(), images)
    assert np.all(images[condition[..., 1] < 0] == -1)
    assert np.abs(images - layers.enlarge(below, 2).numpy())[:, 16:48, 16:48].mean() > 1e-3
    averages, within = _averages(images, (condition[..., 1:] + 1) / 2, 2)
    assert within.mean() > 0.15
    np.testing.assert_allclose(averages[within], below[within], atol=1e-5)
