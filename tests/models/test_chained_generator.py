"""The chained generator in Keras: what each function generates, and that the functions agree."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.tiny import FOV

from synthmed_tf import images
from synthmed_tf.models import latents

SEED = np.array([3, 3, -1, 2**63 - 1, 0], np.int64)
INDEX = np.array([0, 1, 0, 2**62, 11], np.int64)
OUTSIDE = FOV[..., 0] < 128


def _tensors(*arrays):
    return [tf.constant(array) for array in arrays]


@pytest.fixture(scope="module")
def generated(tiny_chain):
    """The pairs of SEED and INDEX."""
    pair = tiny_chain.pixels(*_tensors(SEED, INDEX))
    return pair["mask"].numpy(), pair["image"].numpy()


def test_pixels_are_two_valued_masks_and_images(generated):
    masks, images = generated
    assert masks.shape == (5, 32, 32, 1) and images.shape == (5, 32, 32, 3)
    assert masks.dtype == images.dtype == np.uint8
    assert np.unique(masks).tolist() == [0, 255]
    assert 0.02 < np.mean(masks == 255) < 0.5
    assert images[:, ~OUTSIDE].std() > 5


def test_outside_the_field_of_view_everything_is_0_exactly(generated):
    masks, images = generated
    assert OUTSIDE.sum() == 1024 - np.count_nonzero(FOV)
    assert not masks[:, OUTSIDE].any() and not images[:, OUTSIDE].any()
    assert images[:, ~OUTSIDE].any(axis=-1).all()


def test_other_seeds_and_indices_are_other_images(generated):
    for shown in generated:
        assert len(np.unique(shown.reshape(5, -1), axis=0)) == 5


@pytest.mark.parametrize("rows", [[0], [4, 0], [2, 2, 2], [4, 3, 2, 1, 0, 0, 1]])
def test_an_image_is_the_same_in_any_batch(tiny_chain, generated, rows):
    pair = tiny_chain.pixels(*_tensors(SEED[rows], INDEX[rows]))
    np.testing.assert_array_equal(pair["mask"].numpy(), generated[0][rows])
    np.testing.assert_allclose(pair["image"].numpy().astype(int), generated[1][rows], atol=1)


def test_a_mask_is_the_coverage_above_the_threshold(tiny_chain, generated):
    latent = latents.sample(*_tensors(SEED, INDEX), 6, latents.LATENT)
    coverage_tanh = tiny_chain.networks.mask(latent).numpy()
    expected = np.where((coverage_tanh > tiny_chain.threshold) & (FOV == 255), 255, 0)
    np.testing.assert_array_equal(generated[0], expected)


def test_serving_default_encodes_exactly_the_pixels(tiny_chain, generated):
    encoded = tiny_chain.serving_default(*_tensors(SEED, INDEX))
    for name, shown in zip(("mask_bytes", "image_bytes"), generated, strict=True):
        decoded = [images.decode_png(data) for data in encoded[name].numpy()]
        np.testing.assert_array_equal(np.stack(decoded), shown)


def test_from_latent_of_the_generated_latents_is_pixels(tiny_chain, generated):
    latent = latents.sample(*_tensors(SEED, INDEX), 6, latents.LATENT)
    style = latents.sample(*_tensors(SEED, INDEX), 3, latents.STYLE)
    pair = tiny_chain.from_latent(latent, style)
    np.testing.assert_array_equal(pair["mask"].numpy(), generated[0])
    np.testing.assert_allclose(pair["image"].numpy().astype(int), generated[1], atol=1)


def test_two_styles_on_one_mask_differ(tiny_chain):
    latent = tf.repeat(tf.random.stateless_normal((1, 6), (1, 2)), 2, axis=0)
    pair = tiny_chain.from_latent(latent, tf.constant([[1.0, 0, 0], [-1.0, 0, 0]]))
    masks, images = pair["mask"].numpy(), pair["image"].numpy().astype(int)
    np.testing.assert_array_equal(masks[0], masks[1])
    assert np.abs(images[0] - images[1])[~OUTSIDE].mean() > 3


def test_translate_of_a_generated_mask_is_its_image(tiny_chain, generated):
    images = tiny_chain.translate(*_tensors(generated[0], SEED, INDEX))["image"].numpy()
    np.testing.assert_allclose(images.astype(int), generated[1], atol=1)


def test_translate_cuts_grey_masks_in_the_middle_and_at_the_field_of_view(tiny_chain, generated):
    vessels = generated[0] == 255
    grey = np.where(vessels | (FOV == 0), 128, 127).astype(np.uint8)
    images = tiny_chain.translate(*_tensors(grey, SEED, INDEX))["image"].numpy()
    np.testing.assert_array_equal(images, tiny_chain.translate(*_tensors(generated[0], SEED, INDEX))["image"].numpy())
