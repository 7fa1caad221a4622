"""Ratios of variety, repeated images and unusual rows against values worked out by hand and planted effects."""

import math

import numpy as np
import pytest
from scipy import stats

from synthmed_tf.evaluation import distribution, features
from synthmed_tf.evaluation.distribution import compare_diversity, in_real_spreads
from synthmed_tf.evaluation.geometry import atypicality
from synthmed_tf.evaluation.kid_fid import numbered
from synthmed_tf.evaluation.prdc import vendi_score, with_constant


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_groups_are_numbered_in_the_order_of_their_first_rows():
    assert numbered(["b", "a", "b", "c"], 4).tolist() == [0, 1, 0, 2]
    assert numbered(None, 3).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="a group for each of 3 rows. Received: 2"):
        numbered("ab", 3)


def test_the_ratio_of_single_rows_is_that_of_the_scores(rng):
    real, synthetic = rng.normal(size=(12, 4)), rng.normal(0, 0.5, (12, 4))
    found = compare_diversity(real, synthetic, range(12), rng, subsamples=3)
    scores = [vendi_score(with_constant(rows)) for rows in (real, synthetic)]
    assert [found.real, found.synthetic] == pytest.approx(scores, rel=1e-9)
    assert found.ratio == pytest.approx(scores[1] / scores[0], rel=1e-9)
    assert found.count == 12


def test_the_interval_is_that_of_the_jackknife(rng):
    sets = rng.normal(size=(8, 3)), rng.normal(size=(8, 3))
    variances = []
    for rows in map(with_constant, sets):
        left = [np.log(vendi_score(np.delete(rows, i, axis=0))) for i in range(8)]
        variances.append(7 / 8 * np.sum((np.array(left) - np.mean(left)) ** 2))
    found = compare_diversity(*sets, range(8), rng, subsamples=1)
    margin = stats.t.ppf(0.975, 7) * math.sqrt(sum(variances))
    assert math.log(found.high / found.ratio) == pytest.approx(margin, rel=1e-9)
    assert math.log(found.ratio / found.low) == pytest.approx(margin, rel=1e-9)


def test_two_like_eyes_of_a_patient_are_one(rng):
    real, synthetic = rng.normal(size=(9, 4)), rng.normal(size=(9, 4))
    once = compare_diversity(real, synthetic, range(9), rng, subsamples=2)
    twice = compare_diversity(np.repeat(real, 2, axis=0), synthetic, np.repeat(range(9), 2), rng, subsamples=2)
    assert vars(twice) == pytest.approx(vars(once), rel=1e-9)


def test_the_interval_holds_for_sets_of_one_distribution(rng):
    scale, found = np.exp(-np.arange(8) / 3), []
    for _ in range(60):
        sets = features.comparable(rng.normal(size=(10, 8)) * scale, rng.normal(size=(100, 8)) * scale)
        found.append(compare_diversity(*sets, range(10), rng, subsamples=8))
    assert np.mean([one.low <= 1 <= one.high for one in found]) >= 0.88  # 0.95 less 2.5 standard errors
    assert not any(one.high < 0.8 for one in found)


def test_few_patients_are_refused(rng):
    with pytest.raises(ValueError, match="Received: 2 and 9"):
        compare_diversity(rng.normal(size=(4, 2)), rng.normal(size=(9, 2)), "aabb", rng)


def test_couples_are_counted_within_a_quarter_of_the_nearest_patients():
    real = np.array([[0.0], [0.1], [4.0], [12.0]])  # the nearest patients are 3.9 apart, so alike is up to 0.975
    synthetic = np.array([[0.0], [0.9], [1.8], [30.0], [40.0]])
    found = distribution.find_repeats(real, synthetic, "aabc")
    assert found.radius == pytest.approx(0.975)
    assert (found.couples, found.repeated, found.images) == (2, 0.6, 5.0)


def test_the_number_of_images_that_were_sampled_evenly(rng):
    real, images = rng.normal(size=(12, 10)), rng.normal(size=(150, 10))
    covered = []
    for _ in range(40):
        found = distribution.find_repeats(real, images[rng.integers(0, 150, 200)], range(12))
        covered.append(found.low <= 150 <= found.high)
    assert np.mean(covered) >= 0.85
    assert found.images == pytest.approx(150, rel=0.3)


def test_a_single_image_that_comes_up_often_counts(rng):
    rows = rng.normal(size=(200, 10))
    rows[:20] = rows[0]
    found = distribution.find_repeats(rng.normal(size=(12, 10)), rows, range(12))
    assert (found.couples, found.repeated) == (190, 0.1)
    assert found.images == pytest.approx(199 * 100 / 190)


def test_without_couples_only_the_least_number_of_images_is_known(rng):
    found = distribution.find_repeats(rng.normal(size=(12, 10)), rng.normal(size=(200, 10)), range(12))
    assert (found.couples, found.images, found.high) == (0, math.inf, math.inf)
    # a Poisson count of 0 has the upper bound -log(0.025)
    assert found.low == pytest.approx(199 * 100 / -math.log(0.025), rel=1e-9)


def test_atypicality_by_hand():
    real = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [14.0, np.nan]])
    synthetic = np.array([[14.0, 5.0], [2.0, 8.0], [-10.0, np.nan]])
    # medians 2 and 5; the deviation of the first is sqrt(26), whose threefold exceeds 12; the second is always alike
    unit = 3 * np.sqrt(26)
    np.testing.assert_allclose(atypicality(real, synthetic), [[12 / unit, 0], [0, 1], [12 / unit, 0]], rtol=1e-12)


def test_a_real_outlier_is_the_unit_of_its_own_metric():
    real = np.zeros((40, 2))
    real[:, 1] = np.linspace(-1, 1, 40)
    real[0, 0] = 50.0
    found = atypicality(real, np.array([[100.0, 0.0], [0.0, 20.0]]))
    assert found[0, 0] == pytest.approx(2.0)
    assert found[1, 1] == pytest.approx(20 / (3 * real[:, 1].std()))


def test_missing_metrics_are_the_median_and_a_column_of_their_own():
    real, synthetic = np.array([[1.0, 3.0], [2.0, np.nan]]), np.array([[3.0, 5.0], [4.0, 5.0], [5.0, 5.0]])
    ours, theirs = features.comparable(real, synthetic)
    assert ours.shape == (2, 3) and theirs.shape == (3, 3)
    np.testing.assert_array_equal(np.concatenate([ours, theirs])[:, 2], [0, 1, 0, 0, 0])
    assert ours[1, 1] == 0
    # quartiles 2 and 4 about the median 3
    np.testing.assert_allclose(theirs[:, 0], np.array([0, 1, 2]) / 2 * 1.3489795003921634, rtol=1e-12)


@pytest.mark.parametrize("spread", [0.2, 1.0])
def test_a_set_that_lies_far_away_is_as_various_as_its_spread(spread):
    rng = np.random.default_rng(3)
    real, synthetic = rng.normal(size=(40, 12)), 20 + spread * rng.normal(size=(600, 12))
    near = compare_diversity(*in_real_spreads(real, synthetic - 20), range(40), np.random.default_rng(4))
    far = compare_diversity(*in_real_spreads(real, synthetic), range(40), np.random.default_rng(4))
    np.testing.assert_allclose([far.ratio, far.low, far.high], [near.ratio, near.low, near.high], rtol=1e-6)
    assert far.high < 0.8 if spread < 1 else far.low < 1 < far.high


def test_one_metric_that_runs_wild_is_no_variety():
    rng = np.random.default_rng(5)
    real, alike = rng.normal(size=(40, 12)), 0.1 * rng.normal(size=(600, 12))
    alike[:, 0] *= 1000
    assert compare_diversity(*in_real_spreads(real, alike), range(40), rng).high < 0.8
