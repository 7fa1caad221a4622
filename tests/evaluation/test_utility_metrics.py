"""Thresholds, scores of images and paired comparisons against values by hand and by scikit-learn."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import matthews_corrcoef

from synthmed_tf.evaluation import comparison
from synthmed_tf.metrics import segmentation


def _rng():
    return np.random.default_rng(0)


def test_the_threshold_is_where_dice_is_largest():
    rng = _rng()
    truth, inside = rng.random((3, 16, 16)) < 0.2, rng.random((3, 16, 16)) < 0.8
    probability = np.clip(0.3 * truth + 0.6 * rng.random(truth.shape), 0, 1).astype(np.float32)
    dice = [segmentation.f1(truth, probability >= level / 256, inside) for level in range(256)]
    found = segmentation.best_threshold(truth, probability, inside)
    assert found * 256 == np.argmax(dice)
    assert 0.1 < found < 0.9


def test_of_equally_good_thresholds_it_is_the_lowest_and_a_probability_of_one_is_found():
    truth = np.array([[True, True, False]])
    assert segmentation.best_threshold(truth, np.array([[1.0, 0.75, 0.25]]), np.ones_like(truth)) == 65 / 256


def test_scores_of_images_are_those_of_each_inside_its_field():
    rng = _rng()
    truth, inside = rng.random((2, 32, 32)) < 0.3, np.ones((2, 32, 32), bool)
    inside[0, :9] = inside[1, :, 20:] = False
    probability = 0.5 * truth + 0.6 * rng.random(truth.shape)
    found = segmentation.image_scores(truth, probability, inside, 0.55)
    for i in range(2):
        there = probability[i] >= 0.55
        assert found["dice"][i] == segmentation.f1(truth[i], there, inside[i])
        assert found["cl_dice"][i] == segmentation.cl_dice(truth[i], there, inside[i])
        assert found["auc"][i] == segmentation.auc(truth[i], probability[i], inside[i])
        assert found["mcc"][i] == pytest.approx(matthews_corrcoef(truth[i][inside[i]], there[inside[i]]))
        assert sum(found[name][i] for name in segmentation.COUNTS) == inside[i].sum()


def test_the_correlation_of_a_constant_answer_is_zero():
    assert segmentation.correlation(3, 5, 0, 0) == 0
    assert segmentation.correlation(3, 0, 0, 5) == 1


def test_pooled_metrics_by_hand():
    dice, macro = segmentation.pooled(6, 2, 2, 30)
    assert dice == 12 / 16
    assert macro == pytest.approx((12 / 16 + 60 / 64) / 2)
    assert segmentation.pooled(0, 0, 0, 9) == (1.0, 1.0)


def test_the_papers_f1_fits_a_macro_f1():
    # a U-Net of vessel F1 0.816 on DRIVE, vessels in 12.7 % of the field and as many found as there are
    pixels, vessels = 1_000_000, 127_000
    hits = round(0.816 * vessels)
    dice, macro = segmentation.pooled(hits, vessels - hits, vessels - hits, pixels - 2 * vessels + hits)
    assert dice == pytest.approx(0.816, abs=1e-5)
    assert macro == pytest.approx(0.895, abs=1e-3)


def test_the_mean_of_a_patient_is_over_the_images():
    found = comparison.per_patient(np.array([1.0, 2.0, 4.0, 6.0]), ["b", "a", "a", "b"])
    np.testing.assert_array_equal(found, [3.5, 3.0])
    with pytest.raises(ValueError, match=r"Received: \(2,\) and 3"):
        comparison.per_patient(np.ones(2), ["a", "b", "c"])


def test_a_few_units_have_students_interval_and_all_sign_flips():
    first, second = np.array([0.5, 0.7, 0.6, 0.9]), np.array([0.4, 0.5, 0.6, 0.5])
    found = comparison.paired(first, second, _rng())
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert found.mean == pytest.approx(0.175)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    # differences 0.1, 0.2, 0, 0.4: of 16 signs the 2 with all three the same, twice over for the 0
    assert found.p == 4 / 16
    assert (found.units, found.least_p) == (4, 2 / 16)


def test_one_unit_has_no_interval():
    found = comparison.paired(np.array([0.5]), np.array([0.4]), _rng())
    assert math.isnan(found.low) and math.isnan(found.high)
    assert (found.p, found.least_p) == (1.0, 1.0)


def test_equal_scores_have_an_interval_of_no_width():
    found = comparison.paired(np.array([0.5, 0.6]), np.array([0.5, 0.6]), _rng())
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_many_units_have_a_bootstrap_interval():
    second = _rng().normal(0.7, 0.1, 200)
    differences = np.linspace(-0.03, 0.05, 200)
    found = comparison.paired(second + differences, second, _rng())
    half = 1.96 * differences.std() / math.sqrt(200)
    assert found.mean == pytest.approx(0.01)
    assert (found.low, found.high) == pytest.approx((0.01 - half, 0.01 + half), abs=3e-4)
    assert found.least_p == 1e-4
    assert found.p == found.least_p  # 6 standard errors


def test_p_of_many_units_is_about_that_of_students_test():
    differences = _rng().normal(0.02, 0.1, 60)
    found = comparison.paired(differences, np.zeros(60), _rng())
    assert found.p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.02)


def test_two_groups_have_welchs_interval():
    rng = _rng()
    first, second = rng.normal(0.7, 0.1, 50), rng.normal(0.75, 0.02, 4)
    found = comparison.unpaired(first, second)
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert (found.units, found.sd) == (4, pytest.approx(second.std(ddof=1)))


def test_a_group_of_one_has_no_interval():
    found = comparison.unpaired(np.array([0.5, 0.6]), np.array([0.5]))
    assert found.mean == pytest.approx(0.05)
    assert math.isnan(found.low) and math.isnan(found.high)


def test_units_needed_are_the_fewest_whose_interval_is_clear():
    count = comparison.units_needed(0.01, 0.03)
    half = [stats.t.ppf(0.975, n - 1) * 0.03 / math.sqrt(n) for n in (count - 1, count)]
    assert half[1] <= 0.01 < half[0]
    assert comparison.units_needed(0.0, 0.03) is None
    assert comparison.units_needed(0.01, math.nan) is None
    assert comparison.units_needed(0.01, 0.0) == 2


def test_scores_of_other_units_are_refused():
    with pytest.raises(ValueError, match=r"Received: \(2,\) and \(3,\)"):
        comparison.paired(np.ones(2), np.ones(3), _rng())
