"""The refiner on whole maps and crops, and the two-valued rule by values."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.tiny import random_weights
from scipy import ndimage

from synthmed_tf.models import mask_refiner
from synthmed_tf.models.coarse_to_fine import CoarseToFine, coarse_fov, within_field
from synthmed_tf.models.mask_refiner import Thresholds
from synthmed_tf.models.ridge_gan import RidgeGenerator


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
    """Pieces (8-connected) above the low threshold, closed, that hold a pixel above the high one."""
    chosen = probability >= low
    wide = ndimage.maximum_filter(chosen, 5, mode="constant", cval=False)
    closed = ndimage.minimum_filter(wide, 5, mode="constant", cval=True) & (probability > 0)
    pieces, count = ndimage.label(chosen | closed, np.ones((3, 3)))
    kept = [piece for piece in range(1, count + 1) if (probability[pieces == piece] >= high).any()]
    return np.isin(pieces, kept)


def test_pieces_are_kept_that_hold_a_strong_pixel():
    noise = np.random.default_rng(0).normal(size=(3, 40, 40))
    smooth = np.stack([ndimage.gaussian_filter(each, 1.5) for each in noise])
    probability = ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)
    # The low threshold is out of reach, so that no crest is added.
    found = mask_refiner.find_vessels(tf.constant(probability[..., None]), Thresholds(2.0, 0.5, 0.75)).numpy()[..., 0]
    expected = np.stack([_reconstruction(each, 0.5, 0.75) for each in probability])
    np.testing.assert_array_equal(found, expected)
    assert 0 < (found & (probability >= 0.5)).sum() < (probability >= 0.5).sum() and (found & (probability < 0.5)).any()


@pytest.mark.parametrize("steps", [0, 5])
def test_a_piece_is_reached_in_so_many_steps(steps):
    probability = np.full((1, 11, 40, 1), 0.1, np.float32)
    probability[0, 5, 6:32] = 0.5
    probability[0, 5, 6] = 0.9
    found = mask_refiner.find_vessels(tf.constant(probability), Thresholds(0.4, 0.4, 0.8), steps).numpy()[0, 5, :, 0]
    assert np.flatnonzero(found).tolist() == list(range(6, 7 + steps))


@pytest.mark.parametrize("gap", [0.0, 0.01])
def test_a_branch_is_joined_to_the_vessel_that_it_leaves_if_anything_is_between(gap):
    probability = np.zeros((1, 40, 40, 1), np.float32)
    probability[0, 10:16, 4:36] = probability[0, 18:31, 20] = 0.9
    probability[0, 16:18, 20] = gap
    found = mask_refiner.find_vessels(tf.constant(probability), Thresholds(0.12, 0.5, 0.8)).numpy()[0, ..., 0]
    assert ndimage.label(found, np.ones((3, 3)))[1] == (1 if gap else 2)
    assert np.flatnonzero(found[24]).tolist() == [20] and found.sum() == 6 * 32 + 13 + (2 if gap else 0)


@pytest.mark.parametrize("turns", [0, 1])
def test_a_faint_gap_of_a_vessel_is_bridged_by_its_center_line_alone(turns):
    """A vessel of five pixels along the rows whose probability sinks below the middle threshold for a while."""
    along = np.where(np.abs(np.arange(40) - 20) < 6, 0.3, 0.9)
    across = np.zeros(21)
    across[8:13] = [0.6, 0.9, 1.0, 0.9, 0.6]
    probability = np.rot90(across[:, None] * along, turns).astype(np.float32)[None, ..., None]
    found = mask_refiner.find_vessels(tf.constant(probability), Thresholds(0.12, 0.5, 0.8)).numpy()[0, ..., 0]
    found = np.rot90(found, -turns)
    # Two pixels away are 0.27 and 0 (from 0.27), and 0.18 (from 0.3): only the center is 0.03 higher.
    assert np.flatnonzero(found[:, 20]).tolist() == [10]
    assert np.flatnonzero(found[:, 5]).tolist() == [8, 9, 10, 11, 12]
    assert ndimage.label(found, np.ones((3, 3)))[1] == 1


def test_values_are_rounded_to_8_bits():
    values = tf.constant([-0.1, 0.0, 0.4999 / 255, 0.5001 / 255, 100.4 / 255, 1.0, 1.2])
    np.testing.assert_allclose(mask_refiner.quantize(values) * 255, [0, 0, 0, 1, 100, 255, 255], atol=1e-4)


def test_the_field_of_view_of_the_maps_is_that_of_most_pixels():
    fov = np.zeros((8, 8, 1), np.float32)
    fov[:3, :6] = 1
    np.testing.assert_array_equal(coarse_fov(fov, 4)[..., 0], [[1, 1, 1, 0], [1, 1, 1, 0], [0] * 4, [0] * 4])


def test_faint_vessels_near_the_border_of_the_field_of_view_do_not_count():
    columns = np.arange(128)
    fov = np.broadcast_to((columns >= 20)[None, :, None], (128, 128, 1))
    for value, near in ((0.2, 0.0), (77 / 255, 77 / 255), (0.8, 0.8), (1.0, 230 / 255)):
        found = within_field(tf.fill((1, 128, 128, 1), tf.constant(value, tf.float32)), fov).numpy()[0, :, :, 0]
        # Column 20 is one pixel away from the outside, column 23 four: a thirty-second of the side.
        expected = np.select([columns < 20, columns < 24], [0.0, near], value)
        np.testing.assert_allclose(found, np.broadcast_to(expected, (128, 128)), atol=1e-6)


def test_an_image_without_a_border_of_its_field_of_view_keeps_what_is_faint_at_its_edge():
    probability = tf.random.stateless_uniform((1, 32, 32, 1), (0, 1))
    np.testing.assert_array_equal(within_field(probability, np.ones((32, 32, 1), bool)), probability)


def test_both_networks_in_one_are_one_after_the_other_inside_the_field_of_view():
    generator, refiner = RidgeGenerator(32, 5, filters=4), mask_refiner.MaskRefiner(2, filters=4)
    latent = tf.random.stateless_normal((2, 5), (1, 2))
    refiner(generator(latent))
    for network in (generator, refiner):
        network.set_weights(random_weights(network, 0))
    fov = np.ones((64, 64, 1), bool)
    fov[:, 33:] = False
    thresholds = Thresholds(0.3, 0.4, 0.6)
    coverage_tanh = CoarseToFine(generator, refiner, fov, thresholds)(latent)
    maps = mask_refiner.quantize(generator(latent) * np.where(np.arange(32)[:, None] < 17, 1.0, 0.0))
    padded = np.pad(maps, ((0, 0), (4, 4), (4, 4), (0, 0)))
    logits = refiner(padded)[:, 8:-8, 8:-8]
    probability = within_field(mask_refiner.quantize(tf.sigmoid(logits)), fov)
    expected = np.where(mask_refiner.find_vessels(probability, thresholds), 1.0, -1.0)
    assert coverage_tanh.shape == (2, 64, 64, 1) and 0.05 < np.mean(expected == 1) < 0.95
    np.testing.assert_array_equal(coverage_tanh, expected)
