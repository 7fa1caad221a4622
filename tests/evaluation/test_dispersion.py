"""Dispersion against values worked out by hand."""

import math

import numpy as np
import pytest

from synthmed_tf.evaluation import dispersion

KEYS = ["real_to_synthetic", "synthetic_to_real", "jensen_shannon"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _histograms(*bins):
    """One image for each entry, all of its pixels in that bin, in each channel."""
    return np.stack([np.tile(np.eye(dispersion.BINS)[one], (3, 1)) for one in bins])


def _dispersion(*arguments, **options):
    """The divergences by their names."""
    return {one.name: one for one in dispersion.dispersion(*arguments, **options)}


def test_histogram_counts_inside_the_field_of_view_alone():
    image = np.array([[[0, 3, 255], [4, 7, 255], [252, 8, 255], [9, 9, 9]]], np.uint8)
    found = dispersion.histogram(image, np.array([[True, True, True, False]]))
    expected = np.zeros((3, 64))
    expected[0, [0, 1, 63]] = 1 / 3
    expected[1, [0, 1, 2]] = 1 / 3
    expected[2, 63] = 1
    np.testing.assert_allclose(found, expected, atol=1e-15)


def test_divergences_of_two_bins():
    found = dispersion.divergences(np.array([1.0, 0.0]), np.array([0.5, 0.5]), smoothing=0.2)
    # p = (0.9, 0.1), q = (0.5, 0.5), the middle (0.7, 0.3)
    forth = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    back = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    p_to_middle = 0.9 * math.log(0.9 / 0.7) + 0.1 * math.log(0.1 / 0.3)
    q_to_middle = 0.5 * math.log(0.5 / 0.7) + 0.5 * math.log(0.5 / 0.3)
    assert list(found) == KEYS
    assert [*found.values()] == pytest.approx([forth, back, (p_to_middle + q_to_middle) / 2], rel=1e-12)


def test_divergences_of_distributions_without_a_common_bin():
    found = dispersion.divergences(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    low = 0.0005
    apart = (1 - 2 * low) * math.log((1 - low) / low)
    shared = math.log(2) + (1 - low) * math.log(1 - low) + low * math.log(low)
    assert [*found.values()] == pytest.approx([apart, apart, shared], rel=1e-12)


def test_images_count_equally_and_channels_are_averaged(rng):
    real, synthetic = _histograms(0, 0, 1, 1), _histograms(0, 1, 1, 1)
    synthetic[:, 1:] = real[:, 1:]  # red alone differs: half and half against 1/4 and 3/4
    shares = [(1 - 1e-3) * np.array(part) + 1e-3 / 64 for part in ((1 / 2, 1 / 2), (1 / 4, 3 / 4))]
    red = sum(a * math.log(a / b) for a, b in zip(*shares, strict=True))
    found = _dispersion(real, synthetic, rng)["real_to_synthetic"]
    assert found.channels == pytest.approx((red, 0, 0), rel=1e-12, abs=1e-15)
    assert found.value == pytest.approx(red / 3, rel=1e-12)


def test_the_null_is_of_halves_of_the_patients(rng):
    real, patients = _histograms(5, 5, 9, 9), list("aabb")
    # either half holds one patient, who has one bin alone
    apart = (1 - 1e-3) * math.log((1 - 1e-3 + 1e-3 / 64) / (1e-3 / 64))
    found = _dispersion(real, real, rng, patients, splits=50)
    assert list(found) == KEYS
    assert found["real_to_synthetic"].null_median == pytest.approx(apart, rel=1e-12)
    assert found["real_to_synthetic"].value == 0
    # without labels, most splits have a photograph of each bin on both sides
    assert _dispersion(real, real, rng, splits=50)["jensen_shannon"].null_median == 0


def test_the_ratio_compares_at_equal_size(rng):
    metrics = []
    for _ in range(12):
        real, synthetic = (rng.dirichlet(np.ones(64), (n, 3)) for n in (40, 400))
        metrics.append(_dispersion(real, synthetic, rng, splits=50)["jensen_shannon"])
    assert np.mean([one.ratio for one in metrics]) == pytest.approx(1, abs=0.04)
    # of the whole sets, 1/40 + 1/400 of an image's variance, of the halves 1/20 + 1/20
    assert np.mean([one.value / one.null_median for one in metrics]) == pytest.approx(0.275, abs=0.03)
    assert metrics[0].ratio == pytest.approx(metrics[0].at_equal_size / metrics[0].null_median, rel=1e-12)


def test_few_synthetic_images_are_compared_with_as_few_real_ones(rng):
    real, synthetic = (rng.dirichlet(np.ones(64), (n, 3)) for n in (200, 4))
    assert _dispersion(real, synthetic, rng)["real_to_synthetic"].ratio == pytest.approx(1, abs=0.25)


def test_a_real_set_of_equal_images_has_no_null(rng):
    real = _histograms(5, 5, 5)
    assert _dispersion(real, _histograms(6), rng, splits=5)["jensen_shannon"].ratio == math.inf
    assert math.isnan(_dispersion(real, real, rng, splits=5)["jensen_shannon"].ratio)


def test_it_is_blind_to_structure(rng):
    image = rng.integers(0, 256, (8, 8, 3), np.uint8)
    inside = np.ones((8, 8), bool)
    shuffled = rng.permutation(image.reshape(64, 3)).reshape(8, 8, 3)
    np.testing.assert_array_equal(dispersion.histogram(image, inside), dispersion.histogram(shuffled, inside))


def test_other_arrays_are_refused(rng):
    with pytest.raises(ValueError, match=r"Received: uint8 \(2, 2, 3\) and bool \(2, 2\) with 0 pixels"):
        dispersion.histogram(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match=r"Received: \(2, 3, 2\) and \(1, 3, 64\)"):
        _dispersion(np.zeros((2, 3, 2)), _histograms(0), rng)
    with pytest.raises(ValueError, match="Received: 2 labels of 1 patients"):
        _dispersion(_histograms(0, 1), _histograms(0), rng, patients="aa")
