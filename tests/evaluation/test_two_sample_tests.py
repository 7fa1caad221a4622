"""Two samples against closed forms, every permutation, SciPy and statsmodels."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from synthmed_tf.evaluation import two_sample_tests
from synthmed_tf.evaluation.results import FeatureDifference


def _column(*values):
    return np.array(values, float)[:, None]


def _rng(seed=0):
    return np.random.default_rng(seed)


def _compare(*arguments, **options):
    """The differences of all features as arrays, by their fields."""
    found = two_sample_tests.compare(*arguments, **options)
    return SimpleNamespace(
        **{name: np.array([getattr(one, name) for one in found]) for name in FeatureDifference.model_fields}
    )


def _exact_p(units, real_units, statistic):
    """The share of all ways to call as many units real that are as far apart as these."""
    observed = statistic([units[i] for i in real_units], [u for i, u in enumerate(units) if i not in real_units])
    ways = [
        statistic([units[i] for i in chosen], [u for i, u in enumerate(units) if i not in chosen])
        for chosen in combinations(range(len(units)), len(real_units))
    ]
    return np.mean(np.array(ways) >= observed - 1e-12)


def _w1(real, synthetic):
    return stats.wasserstein_distance(np.concatenate(real), np.concatenate(synthetic))


def test_a_shift_is_its_own_distance():
    real = np.arange(10.0)[:, None]
    found = _compare(real, real + 3, range(10), _rng(), repeats=9)
    # the variance of 0..9 with n - 1 is 55 / 6; three of ten values lie below the least synthetic one
    np.testing.assert_allclose(found.wasserstein, 3 / np.sqrt(55 / 6), rtol=1e-12)
    np.testing.assert_allclose(found.ks, 0.3, rtol=1e-12)


def test_metrics_are_those_of_scipy_also_with_ties_and_missing_values():
    real, synthetic = np.round(_rng(1).normal(size=(23, 3)), 1), np.round(_rng(2).gamma(2, size=(40, 3)), 1)
    real[::5, 1] = np.nan
    synthetic[3:9, 1] = np.nan
    found = _compare(real, synthetic, range(23), _rng(), repeats=9)
    np.testing.assert_array_equal(found.real_count, [23, 18, 23])
    np.testing.assert_array_equal(found.synthetic_count, [40, 34, 40])
    for i in range(3):
        ours, theirs = real[~np.isnan(real[:, i]), i], synthetic[~np.isnan(synthetic[:, i]), i]
        distance = stats.wasserstein_distance(ours, theirs) / ours.std(ddof=1)
        assert found.wasserstein[i] == pytest.approx(distance, rel=1e-9)
        assert found.ks[i] == pytest.approx(stats.ks_2samp(ours, theirs).statistic, rel=1e-9)


def test_p_is_the_share_of_all_permutations():
    real, synthetic = _column(0.1, 0.9, 1.7, 1.2), _column(0.8, 2.2, 1.9, 2.6, 1.1)
    exact = _exact_p([*real, *synthetic], (0, 1, 2, 3), _w1)
    assert 0.05 < exact < 0.3
    found = _compare(real, synthetic, "abcd", _rng(), repeats=4000)
    assert found.p[0] == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 4000))


def test_a_permutation_moves_whole_patients():
    real, synthetic = _column(0.0, 0.1, 0.2, 1.0, 1.1), _column(2.0, 3.0, 0.5)
    units = [real[:3, 0], real[3:, 0], *synthetic]
    exact = _exact_p(units, (0, 1), _w1)
    assert exact in (0.2, 0.3, 0.4)  # of the ten pairs of units
    found = _compare(real, synthetic, ["a", "a", "a", "b", "b"], _rng(), repeats=4000)
    assert found.p[0] == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 4000))


def test_chance_is_the_mean_over_all_permutations():
    real, synthetic = _column(0.0, 1.0), _column(2.0, 4.0)
    # {0,1}|{2,4}: 2.5, twice; {0,2}|{1,4}: 1.5, twice; {0,4}|{1,2}: 1.5, twice; in units of sqrt(1 / 2)
    found = _compare(real, synthetic, range(2), _rng(), repeats=4000)
    assert found.chance[0] == pytest.approx(np.sqrt(2) * 5.5 / 3, abs=0.05)


def test_the_interval_is_a_point_where_nothing_can_be_resampled():
    found = _compare(_column(0.0, 2.0), _column(5.0), ["a", "a"], _rng(), repeats=50)
    distance = 4 / np.sqrt(2)
    np.testing.assert_allclose([found.low[0], found.wasserstein[0], found.high[0]], distance, rtol=1e-12)


def test_the_interval_knows_that_rows_of_a_patient_are_one():
    real, synthetic = _rng(1).normal(size=(12, 1)), _rng(2).normal(1.0, size=(30, 1))
    once = _compare(real, synthetic, range(12), _rng(), repeats=200)
    fourfold = _compare(np.repeat(real, 4, axis=0), synthetic, np.repeat(range(12), 4), _rng(), repeats=200)
    unit = np.repeat(real, 4).std(ddof=1) / real.std(ddof=1)
    np.testing.assert_allclose([fourfold.low * unit, fourfold.high * unit], [once.low, once.high], rtol=1e-9)


def test_the_interval_by_hand():
    real, synthetic = _column(0.0, 1.0), _column(5.0)
    # a resample of the patients has the mean 0, 0.5 or 1, so its distance is 5, 4.5 or 4; the upper quantile is 5
    found = _compare(real, synthetic, range(2), _rng(), repeats=400)
    ends = [np.sqrt(2 * 4.5**2 - 5**2), 5]
    np.testing.assert_allclose([found.low[0], found.high[0]], np.array(ends) * np.sqrt(2), rtol=1e-12)


def test_the_interval_of_equal_distributions_reaches_down_to_zero():
    found = _compare(_rng(1).normal(size=(20, 8)), _rng(2).normal(size=(60, 8)), range(20), _rng(), repeats=200)
    np.testing.assert_array_equal(found.low, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("patients", [10, 30])
@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_the_interval_covers_a_shift_as_often_as_it_says(shift, patients):
    covered = []
    for seed in range(300):
        rng = _rng(seed)
        real = rng.normal(size=(patients, 1))
        found = _compare(real, rng.normal(shift, size=(100, 1)), range(patients), rng, repeats=199)
        unit = real.std(ddof=1)
        covered.append(found.low[0] * unit <= shift <= found.high[0] * unit)
    assert np.mean(covered) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300)


def test_a_metric_without_values_is_no_test():
    real, synthetic = np.column_stack([np.arange(6.0), np.full(6, np.nan)]), np.ones((4, 2))
    found = _compare(real, synthetic, range(6), _rng(), repeats=99)
    assert np.isnan([found.wasserstein[1], found.low[1], found.ks[1], found.p[1], found.p_holm[1]]).all()
    assert found.p_holm[0] == found.p[0]


def test_a_metric_that_is_always_alike_in_the_real_sample():
    real, synthetic = np.zeros((6, 2)), np.column_stack([np.zeros(4), np.ones(4)])
    found = _compare(real, synthetic, range(6), _rng(), repeats=99)
    np.testing.assert_array_equal(found.wasserstein, [0.0, np.inf])
    np.testing.assert_array_equal(found.ks, [0.0, 1.0])
    assert found.p[0] == 1.0


def test_p_values_are_uniform_without_a_difference():
    rng = _rng(7)
    p = np.concatenate(
        [_compare(rng.normal(size=(8, 1)), rng.normal(size=(24, 1)), range(8), rng, repeats=39).p for _ in range(300)]
    )
    # 300 samples: the standard error of a share is at most 0.029
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        assert np.mean(p <= level) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 300))


def test_energy_p_values_are_uniform_without_a_difference():
    rng = _rng(8)
    samples = (
        two_sample_tests.energy_test(rng.normal(size=(10, 4)), rng.normal(size=(30, 4)), range(10), rng, 39).p
        for _ in range(300)
    )
    p = np.array(list(samples))
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        assert np.mean(p <= level) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 300))


def test_the_energy_distance_of_one_metric_is_that_of_scipy():
    real, synthetic = _rng(1).normal(size=(20, 1)), _rng(2).normal(0.5, 2, size=(33, 1))
    low, high = np.percentile(real, (25, 75))
    distance = stats.energy_distance(real[:, 0], synthetic[:, 0]) ** 2 * 1.3489795003921634 / (high - low)
    found = two_sample_tests.energy_test(real, synthetic, range(20), _rng(), repeats=9)
    assert found.distance == pytest.approx(distance, rel=1e-9)


def test_the_energy_p_is_the_share_of_all_permutations():
    real, synthetic = _column(0.1, 0.9, 1.7, 1.3, 0.4), _column(0.8, 2.2, 1.9, 2.6)
    units = [real[:2, 0], real[2:4, 0], real[4], *synthetic]
    exact = _exact_p(units, (0, 1, 2), lambda a, b: stats.energy_distance(np.concatenate(a), np.concatenate(b)))
    assert 0.05 < exact < 0.4
    found = two_sample_tests.energy_test(real, synthetic, ["x", "x", "y", "y", "z"], _rng(), repeats=4000)
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 4000))


def test_the_energy_test_sees_what_no_single_metric_shows():
    x = np.linspace(-1, 1, 40)
    real, synthetic = np.column_stack([x, x]), np.column_stack([x, -x])
    np.testing.assert_allclose(_compare(real, synthetic, range(40), _rng(), 9).wasserstein, 0, atol=1e-12)
    assert two_sample_tests.energy_test(real, synthetic, range(40), _rng(), repeats=199).p == 1 / 200


def test_equal_samples_have_no_energy_distance():
    real = _rng(3).normal(size=(12, 4))
    found = two_sample_tests.energy_test(real, real.copy(), range(12), _rng(), repeats=99)
    assert found.distance == pytest.approx(0, abs=1e-12)
    assert found.p == 1.0


def test_robust_scores_by_hand():
    real = np.column_stack([[0.0, 1, 2, 3, 4], [5.0, 5, 5, 5, 10], [7.0] * 5, [1.0, 2, 3, np.nan, np.nan]])
    synthetic = np.array([[6.0, 7.0, 9.0, np.nan]])
    ours, theirs = two_sample_tests.robust_scores(real, synthetic)
    # medians 2, 5, 7, 2; quartiles 1 and 3; equal, so the deviation of 2; alike, so 1; 1.5 and 2.5; one column of gaps
    iqr = 1.3489795003921634  # of a standard normal distribution
    np.testing.assert_allclose(theirs, [[4 / 2 * iqr, 1.0, 2.0, 0.0, 1.0]], rtol=1e-12)
    np.testing.assert_allclose(ours[3:], [[iqr / 2, 0, 0, 0, 1], [iqr, 2.5, 0, 0, 1]], rtol=1e-12)


def test_a_set_in_which_metrics_are_missing_differs():
    real, synthetic = np.zeros((10, 1)), np.where(np.arange(10) < 8, np.nan, 0.0)[:, None]
    assert two_sample_tests.energy_test(real, synthetic, range(10), _rng(), repeats=999).p < 0.01


def test_holm_by_hand():
    # sorted 0.01 x 4, 0.02 x 3, 0.03 x 2 (raised to the one before), 0.5 x 1
    np.testing.assert_allclose(
        two_sample_tests.holm(np.array([0.03, 0.01, 0.5, 0.02])), [0.06, 0.04, 0.5, 0.06], rtol=1e-12
    )
    np.testing.assert_array_equal(two_sample_tests.holm(np.array([0.9, np.nan, 0.8])), [1.0, np.nan, 1.0])
    assert two_sample_tests.holm(np.array([])).shape == (0,)


def test_holm_is_that_of_statsmodels():
    p = _rng(4).random(50) ** 3
    np.testing.assert_allclose(two_sample_tests.holm(p), multipletests(p, method="holm")[1], rtol=1e-12)


def test_the_same_seed_gives_the_same_metrics():
    real, synthetic = _rng(1).normal(size=(9, 2)), _rng(2).normal(size=(14, 2))
    first, second = (_compare(real, synthetic, range(9), _rng(5), repeats=50) for _ in range(2))
    np.testing.assert_equal(vars(first), vars(second))


def test_samples_that_do_not_fit_are_refused():
    real = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"Received: \(3, 2\), \(4, 1\) and 3"):
        _compare(real, np.zeros((4, 1)), "abc", _rng())
    with pytest.raises(ValueError, match="and 2$"):
        two_sample_tests.energy_test(real, real, "ab", _rng())
    with pytest.raises(ValueError, match="finite"):
        _compare(real, real + np.inf, "abc", _rng())
