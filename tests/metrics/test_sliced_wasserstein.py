"""The patch distance against closed forms, and that it ranks spoiled images as the eye does."""

import numpy as np
import pytest
from scipy import ndimage, stats
from scipy.special import gammaln

from synthmed_tf.data.phantom import generate_phantoms
from synthmed_tf.data.pipeline import COVERAGE, IMAGE, stack_samples
from synthmed_tf.metrics import sliced_wasserstein


@pytest.fixture(scope="module")
def phantoms():
    return stack_samples(generate_phantoms(64, 24, seed=0))


@pytest.fixture(scope="module")
def images(phantoms):
    return phantoms[:8, ..., IMAGE], phantoms[8:, ..., IMAGE]


@pytest.fixture(scope="module")
def masks(phantoms):
    two_valued = np.where(phantoms[..., COVERAGE] >= 128, 255, 0).astype(np.uint8)
    return two_valued[:8], two_valued[8:]


def _mean_sum(width: int) -> float:
    """The mean of |the sum of a direction's components| over the unit sphere: sqrt(width) times that of |first one|."""
    return np.exp(np.log(width) / 2 + gammaln(width / 2) - gammaln((width + 1) / 2)) / np.sqrt(np.pi)


def test_equal_sets_are_at_distance_zero(images):
    assert sliced_wasserstein.level_distances(images[0], images[0]) == {64: 0.0, 32: 0.0, 16: 0.0, 8: 0.0}
    assert sliced_wasserstein.patch_distance(images[0], images[0]) == pytest.approx(0, abs=1e-15)


def test_repeating_a_whole_set_changes_nothing_where_all_patches_are_compared():
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), np.uint8)
    assert sliced_wasserstein.patch_distance(images, np.tile(images, (3, 1, 1, 1))) == pytest.approx(0, abs=1e-6)


def test_a_shift_of_all_values_is_found_at_the_coarsest_level_alone():
    real = np.random.default_rng(0).normal(0, 0.2, (4, 32, 32, 1)).astype(np.float32)
    levels = sliced_wasserstein.level_distances(real, real + np.float32(0.3))
    assert levels[32] == pytest.approx(0, abs=1e-5) and levels[16] == pytest.approx(0, abs=1e-5)
    spread = np.std(sliced_wasserstein.pyramid(real)[-1])
    assert levels[8] == pytest.approx(0.3 / spread * _mean_sum(49), rel=0.15)  # 128 directions, not all


def test_the_spread_of_a_flat_set_counts_as_one_grey_level():
    flat = np.full((2, 8, 8, 1), 100, np.uint8)
    assert sliced_wasserstein.patch_distance(flat, flat + np.uint8(3)) == pytest.approx(3 * _mean_sum(49), rel=0.15)


def test_noise_of_twice_the_spread_is_at_the_distance_of_two_gaussians():
    rng = np.random.default_rng(0)
    one, twice = (rng.normal(0, sigma, (8, 15, 15, 1)).astype(np.float32) for sigma in (0.25, 0.5))
    # An odd side has one level; W1 of N(0, 1) and N(0, 2) is the difference of the mean magnitudes, sqrt(2 / pi).
    assert sliced_wasserstein.level_distances(one, twice) == {15: pytest.approx(np.sqrt(2 / np.pi), rel=0.03)}


def test_the_pyramid_of_a_ramp_keeps_the_ramp_and_loses_nothing_inside():
    ramp = np.broadcast_to(np.arange(32, dtype=np.float32)[:, None, None], (1, 32, 32, 1))
    fine, coarse, coarsest = sliced_wasserstein.pyramid(ramp)
    np.testing.assert_allclose(fine[0, 6:-6, :, 0], 0, atol=1e-5)
    np.testing.assert_allclose(coarse[0, 6:-6, :, 0], 0, atol=1e-5)
    np.testing.assert_allclose(coarsest[0, 2:-2, 3, 0], np.arange(8, 24, 4))


def test_a_level_is_what_the_next_coarser_one_does_not_tell():
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 2)).astype(np.float32)
    fine, _, _ = sliced_wasserstein.pyramid(image)
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    blurred = ndimage.convolve(image[0, ..., 1].astype(float), kernel, mode="mirror")
    between = np.zeros((32, 32))
    between[::2, ::2] = blurred[::2, ::2]
    expected = image[0, ..., 1] - 4 * ndimage.convolve(between, kernel, mode="constant")
    np.testing.assert_allclose(fine[0, 3:-3, 3:-3, 1], expected[3:-3, 3:-3], atol=1e-5)


@pytest.mark.parametrize("counts", [(50, 50), (20, 60), (60, 20)])
def test_the_one_dimensional_distance_is_that_of_scipy(counts):
    rng = np.random.default_rng(0)
    one, other = (rng.normal(i, 1 + i, (count, 3)) for i, count in enumerate(counts))
    expected = [stats.wasserstein_distance(one[:, i], other[:, i]) for i in range(3)]
    np.testing.assert_allclose(sliced_wasserstein.wasserstein(one, other), expected)


def test_the_one_dimensional_distance_is_nearly_that_of_scipy_where_no_number_divides_the_other():
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, (700, 1)), rng.normal(1, 2, (1000, 1))
    expected = stats.wasserstein_distance(one[:, 0], other[:, 0])
    np.testing.assert_allclose(sliced_wasserstein.wasserstein(one, other), [expected], rtol=0.01)


def test_the_distance_is_the_geometric_mean_over_the_levels(images):
    a, b, c, d = sliced_wasserstein.level_distances(*images, seed=5).values()
    expected = ((a + 0.01) * (b + 0.01) * (c + 0.01) * (d + 0.01)) ** 0.25 - 0.01
    assert sliced_wasserstein.patch_distance(*images, seed=5) == pytest.approx(expected)


def test_bytes_and_numbers_from_minus_one_to_one_are_the_same_images(images):
    real, generated = images
    as_numbers = sliced_wasserstein.patch_distance(real / 127.5 - 1, generated / 127.5 - 1, seed=3)
    assert as_numbers == pytest.approx(sliced_wasserstein.patch_distance(real, generated, seed=3), rel=1e-5)


def test_a_seed_gives_one_metric_and_another_seed_a_near_one(images):
    first, again, other = (sliced_wasserstein.patch_distance(*images, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert other == pytest.approx(first, rel=0.2)


def test_vessels_have_the_share_of_their_piece():
    mask = np.full((1, 8, 8, 1), -1.0)
    mask[0, 0, :3] = mask[0, 1, 3] = 1  # a diagonal step joins
    mask[0, 5, 5:7] = 1
    mask[0, 7, 0:2] = 1
    whole = sliced_wasserstein.wholeness(mask)[0, ..., 0]
    assert whole[0, 0] == whole[1, 3] == 0.0  # 4 of 8
    assert whole[5, 5] == whole[7, 1] == -0.5  # 2 of 8
    assert whole[3, 3] == -1.0 and np.count_nonzero(whole > -1) == 8


def test_an_empty_mask_has_no_piece():
    np.testing.assert_array_equal(sliced_wasserstein.wholeness(np.full((2, 8, 8, 1), -1.0)), -1.0)


def test_the_distance_of_masks_is_the_mean_over_masks_and_wholeness(masks):
    real, generated = masks
    parts = [sliced_wasserstein.wholeness(part / 127.5 - 1) for part in masks]
    expected = (sliced_wasserstein.patch_distance(real, generated) + sliced_wasserstein.patch_distance(*parts)) / 2
    assert sliced_wasserstein.mask_distance(real, generated) == pytest.approx(expected)


def _broken(masks):
    gaps = np.random.default_rng(0).random((len(masks), 16, 16, 1)) < 0.2
    return np.where(np.kron(gaps, np.ones((1, 4, 4, 1))), 0, masks).astype(np.uint8)


def _specked(masks):
    return np.where(np.random.default_rng(0).random(masks.shape) < 0.02, 255 - masks, masks)


def _thicker(masks):
    return ndimage.grey_dilation(masks, (1, 3, 3, 1))


def _repeated(images):
    return np.repeat(images[:1], len(images), axis=0)


@pytest.mark.parametrize("spoil", [_broken, _specked, _thicker, _repeated])
def test_spoiled_masks_are_further_from_real_ones(spoil, masks):
    real, others = masks
    assert sliced_wasserstein.mask_distance(real, spoil(others)) > 1.1 * sliced_wasserstein.mask_distance(real, others)


def test_more_broken_trees_are_further(masks):
    real, others = masks
    once = _broken(others)
    gaps = np.random.default_rng(1).random((len(others), 16, 16, 1)) < 0.2
    twice = np.where(np.kron(gaps, np.ones((1, 4, 4, 1))), 0, once).astype(np.uint8)
    assert sliced_wasserstein.mask_distance(real, twice) > sliced_wasserstein.mask_distance(real, once)


def test_blurred_images_are_the_further_the_more_they_are_blurred(images):
    real, others = images
    blurred = [ndimage.gaussian_filter(others, (0, sigma, sigma, 0)) for sigma in (0, 0.7, 1.5)]
    distances = [sliced_wasserstein.patch_distance(real, images) for images in blurred]
    assert distances == sorted(distances) and distances[2] > 1.5 * distances[0]


@pytest.mark.parametrize("spoil", [lambda x: x + np.random.default_rng(0).normal(0, 8, x.shape), lambda x: x * 0.7])
def test_noise_and_wrong_light_make_images_further(spoil, images):
    real, others = images
    spoiled = spoil(others.astype(float)).clip(0, 255).astype(np.uint8)
    assert sliced_wasserstein.patch_distance(real, spoiled) > 1.3 * sliced_wasserstein.patch_distance(real, others)


def test_one_image_again_and_again_is_further(images):
    real, others = images
    assert sliced_wasserstein.patch_distance(real, _repeated(others)) > 1.3 * sliced_wasserstein.patch_distance(
        real, others
    )


@pytest.mark.parametrize(
    ("generated", "found"),
    [
        (np.zeros((2, 16, 16), np.uint8), r"shape=\(2, 16, 16\)"),
        (np.zeros((2, 16, 8, 1), np.uint8), r"shape=\(2, 16, 8, 1\)"),
        (np.zeros((2, 4, 4, 1), np.uint8), r"shape=\(2, 4, 4, 1\)"),
        (np.zeros((0, 16, 16, 1), np.uint8), r"shape=\(0, 16, 16, 1\)"),
        (np.zeros((2, 16, 16, 1), np.int64), "dtype=int64"),
        (np.zeros((2, 32, 32, 1), np.uint8), r"\(2, 16, 16, 1\) and \(2, 32, 32, 1\)"),
        (np.full((2, 16, 16, 1), np.nan, np.float32), "a NaN or an infinity"),
    ],
)
def test_what_is_no_set_of_images_is_refused(generated, found):
    with pytest.raises(ValueError, match=found):
        sliced_wasserstein.patch_distance(np.zeros((2, 16, 16, 1), np.uint8), generated)
