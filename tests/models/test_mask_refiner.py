"""The refiner on whole maps and crops, and the two-valued rule by values."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.tiny import random_weights
from scipy import ndimage

from synthmed_tf.models import latents, mask_refiner
from synthmed_tf.models.coarse_to_fine import CoarseToFine, coarse_fov
from synthmed_tf.models.flow import noise_of
from synthmed_tf.models.mask_refiner import Thresholds
from synthmed_tf.models.ridge_gan import RidgeGenerator


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_a_crop_gives_what_the_whole_gives_away_from_the_border(factor):
    refiner = mask_refiner.MaskRefiner(factor, filters=4, steps=1, noise=0.5)
    maps = tf.random.stateless_uniform((1, 144, 144, 2), (1, 2))
    noise = tf.random.stateless_normal((1, 144, 144, factor**2 + 2), (3, 4))
    refiner(maps, noise)
    refiner.set_weights(random_weights(refiner, 0))
    whole, crop = refiner(maps, noise).numpy(), refiner(maps[:, 8:136, 4:132], noise[:, 8:136, 4:132]).numpy()
    assert whole.shape == (1, 144 * factor, 144 * factor, 1)
    inner = slice(60 * factor, 68 * factor)  # of the crop; two evaluations reach less than 60 pixels of the maps
    np.testing.assert_allclose(
        crop[:, inner, inner], whole[:, 68 * factor : 76 * factor, 64 * factor : 72 * factor], atol=1e-4
    )
    assert whole.std() > 0.1


def test_values_are_the_cells_of_distances_and_back():
    refiner = mask_refiner.MaskRefiner(2, filters=4, steps=1, noise=0.5)
    distance = tf.random.stateless_uniform((1, 8, 8, 1), (1, 2))
    values = refiner.values(distance)
    assert values.shape == (1, 4, 4, 4)
    np.testing.assert_allclose(values[0, 1, 2], (distance.numpy()[0, 2:4, 4:6, 0].ravel() - 0.2) * 3.0, rtol=1e-5)
    refiner.network = lambda noisy, condition, time, training: values - noise  # a straight way to these values
    noise = tf.zeros((1, 4, 4, 4))
    np.testing.assert_allclose(refiner(tf.zeros((1, 4, 4, 2)), tf.zeros((1, 4, 4, 6))), distance, atol=1e-6)


def test_the_network_is_given_maps_with_noise_and_its_deviation():
    maps = tf.constant([[[[0.0, 0.25]]], [[[1.0, 0.5]]]])
    given = mask_refiner.condition(maps, tf.constant([[[[1.0, -1.0]]], [[[2.0, 0.5]]]]), tf.constant([0.5, 2.0]))
    np.testing.assert_allclose(given[:, 0, 0], [[-0.5, -0.5, 0.5], [5.0, 2.0, 2.0]])


def test_the_noise_on_maps_is_that_of_the_refiner():
    seen = []
    for level in (0.0, 1.5):
        refiner = mask_refiner.MaskRefiner(2, filters=4, steps=1, noise=level)
        noise = tf.random.stateless_normal((1, 8, 8, 6), (1, 2))
        refiner.network = lambda noisy, condition, time, training: seen.append(condition.numpy()) or 0.0 * noisy
        refiner(tf.fill((1, 8, 8, 2), 0.5), noise)
    np.testing.assert_allclose(seen[0], np.broadcast_to([0.0, 1.0, 0.0], (1, 8, 8, 3)))
    np.testing.assert_allclose(seen[-1][..., :2], [0.0, 1.0] + 1.5 * noise.numpy()[..., 4:], rtol=1e-5, atol=1e-6)


def test_masks_are_guided_away_from_those_of_maps_that_noise_hides():
    refiner = mask_refiner.MaskRefiner(1, filters=4, steps=1, noise=0.5, guidance=0.25)
    # A velocity that is the deviation of the noise: 0.5, and 2 with the most of it.
    refiner.network = lambda noisy, condition, time, training: 0.0 * noisy + condition[..., 2:]
    found = refiner(tf.zeros((1, 4, 4, 2)), tf.zeros((1, 4, 4, 3)))
    np.testing.assert_allclose(found, np.full((1, 4, 4, 1), (0.5 + 0.25 * (0.5 - 2.0)) / 3.0 + 0.2), rtol=1e-6)


def _reconstruction(distance, low, high):
    """Pieces (8-connected cells of 2 x 2) above the low threshold, closed, that hold a pixel above the high one."""
    chosen = distance >= low
    y, x = np.abs(np.mgrid[-3:4, -3:4])
    wide = ndimage.binary_dilation(chosen, x + y <= 4)
    closed = ndimage.binary_erosion(wide, x + y <= 4, border_value=1) & (distance > 0)
    possible = chosen | closed
    cells, count = ndimage.label(possible.reshape(20, 2, 20, 2).max(axis=(1, 3)), np.ones((3, 3)))
    pieces = np.kron(cells, np.ones((2, 2), int)) * possible
    kept = [piece for piece in range(1, count + 1) if (distance[pieces == piece] >= high).any()]
    return np.isin(pieces, kept)


def test_pieces_are_kept_that_hold_a_strong_pixel():
    noise = np.random.default_rng(0).normal(size=(3, 40, 40))
    smooth = np.stack([ndimage.gaussian_filter(each, 1.5) for each in noise])
    distance = ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)
    # The low threshold is out of reach, so that no crest is added.
    found = mask_refiner.find_vessels(tf.constant(distance[..., None]), Thresholds(2.0, 0.5, 0.75)).numpy()[..., 0]
    expected = np.stack([_reconstruction(each, 0.5, 0.75) for each in distance])
    np.testing.assert_array_equal(found, expected)
    assert 0 < (found & (distance >= 0.5)).sum() < (distance >= 0.5).sum() and (found & (distance < 0.5)).any()


@pytest.mark.parametrize("steps", [0, 5])
def test_a_piece_is_reached_in_so_many_steps(steps):
    distance = np.full((1, 12, 40, 1), 0.1, np.float32)
    distance[0, 5, 6:32] = 0.5
    distance[0, 5, 6] = 0.9
    found = mask_refiner.find_vessels(tf.constant(distance), Thresholds(0.4, 0.4, 0.8), steps).numpy()[0, 5, :, 0]
    assert np.flatnonzero(found).tolist() == list(range(6, 8 + 2 * steps))


@pytest.mark.parametrize("gap", [0.0, 0.01])
def test_a_branch_is_joined_to_the_vessel_that_it_leaves_if_anything_is_between(gap):
    distance = np.zeros((1, 40, 40, 1), np.float32)
    distance[0, 10:16, 4:36] = distance[0, 18:31, 20] = 0.9
    distance[0, 16:18, 20] = gap
    found = mask_refiner.find_vessels(tf.constant(distance), Thresholds(0.12, 0.5, 0.8)).numpy()[0, ..., 0]
    assert ndimage.label(found, np.ones((3, 3)))[1] == (1 if gap else 2)
    assert np.flatnonzero(found[24]).tolist() == [20] and found.sum() == 6 * 32 + 13 + (2 if gap else 0)


@pytest.mark.parametrize("turns", [0, 1])
def test_a_faint_gap_of_a_vessel_is_bridged_by_its_center_line_alone(turns):
    """A vessel of five pixels along the rows whose distance sinks below the middle threshold for a while."""
    along = np.where(np.abs(np.arange(40) - 20) < 6, -0.2, 0.0)
    across = np.zeros(22)
    across[8:13] = [0.5, 0.55, 0.6, 0.55, 0.5]
    distance = np.clip(across[:, None] + along, 0, 1)
    distance = np.rot90(distance, turns).astype(np.float32)[None, ..., None]
    found = mask_refiner.find_vessels(tf.constant(distance), Thresholds(0.3, 0.5, 0.6)).numpy()[0, ..., 0]
    found = np.rot90(found, -turns)
    assert np.flatnonzero(found[:, 20]).tolist() == [10]
    assert np.flatnonzero(found[:, 2]).tolist() == [8, 9, 10, 11, 12]
    assert ndimage.label(found, np.ones((3, 3)))[1] == 1


def test_no_crest_stands_out_of_the_rounded_end_of_a_vessel():
    y, x = np.mgrid[:41, :41].astype(np.float32)
    away = np.hypot(y - 20, np.maximum(x - 20, 0))
    distance = np.clip(0.5 + (3.0 - away) / 8.0, 0, 1)[None, ..., None]
    found = mask_refiner.candidates(tf.constant(distance), Thresholds(0.3, 0.5, 0.6)).numpy()[0, ..., 0]
    np.testing.assert_array_equal(found, away <= 3.0)


def test_values_are_rounded_to_8_bits():
    values = tf.constant([-0.1, 0.0, 0.4999 / 255, 0.5001 / 255, 100.4 / 255, 1.0, 1.2])
    np.testing.assert_allclose(mask_refiner.quantize(values) * 255, [0, 0, 0, 1, 100, 255, 255], atol=1e-4)


def test_the_field_of_view_of_the_maps_is_that_of_most_pixels():
    fov = np.zeros((8, 8, 1), np.float32)
    fov[:3, :6] = 1
    np.testing.assert_array_equal(coarse_fov(fov, 4)[..., 0], [[1, 1, 1, 0], [1, 1, 1, 0], [0] * 4, [0] * 4])


def test_both_networks_in_one_are_one_after_the_other():
    generator, refiner = RidgeGenerator(32, 5, filters=4), mask_refiner.MaskRefiner(2, filters=4, steps=1, noise=0.5)
    latent = tf.random.stateless_normal((2, 5), (1, 2))
    refiner(generator(latent), tf.zeros((2, 32, 32, 6)))
    for network in (generator, refiner):
        network.set_weights(random_weights(network, 0))
    fov = np.ones((64, 64, 1), bool)
    fov[:, 33:] = False
    thresholds = Thresholds(0.3, 0.4, 0.6)
    coverage_tanh = CoarseToFine(generator, refiner, fov, thresholds)(latent)
    maps = mask_refiner.quantize(generator(latent) * np.where(np.arange(32)[:, None] < 17, 1.0, 0.0))
    padded = np.pad(maps, ((0, 0), (4, 4), (4, 4), (0, 0)))
    noise = noise_of(latent, (40, 40, 6), latents.REFINER_NOISE)
    found = refiner(padded, noise).numpy()
    smoothed = ndimage.correlate(found[..., 0], np.outer([1, 2, 1], [1, 2, 1])[None] / 16)[:, 8:-8, 8:-8, None]
    distance = mask_refiner.quantize(smoothed)
    expected = np.where(mask_refiner.find_vessels(distance, thresholds), 1.0, -1.0)
    assert coverage_tanh.shape == (2, 64, 64, 1) and 0.05 < np.mean(expected == 1) < 0.95
    np.testing.assert_array_equal(coverage_tanh, expected)


def test_the_last_numbers_of_a_latent_choose_its_noise():
    latent = tf.constant([[0.5, 1.0, 2.0], [0.7, 1.0, 2.0], [0.5, 1.0, 2.5]])
    noise = noise_of(latent, (8, 8, 4), latents.REFINER_NOISE).numpy()
    np.testing.assert_array_equal(noise[0], noise[1])
    assert abs(np.corrcoef(noise[0].ravel(), noise[2].ravel())[0, 1]) < 0.2 and 0.8 < noise.std() < 1.2
