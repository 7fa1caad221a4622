"""Membership metrics against closed forms, SciPy's exact test and simulated attacks."""

import numpy as np
import pytest
from scipy import stats

from synthmed_tf.evaluation import membership


def test_the_attacks_by_hand():
    to_synthetic = np.array([[1.0, 5, 6], [4, 2, 3], [9, 8, 3]])
    np.testing.assert_array_equal(membership.nearest_score(to_synthetic), [-1, -2, -3])
    calibrated = membership.calibrated_score(to_synthetic, np.array([[2.0, 3], [2, 4], [1, 1]]))
    np.testing.assert_array_equal(calibrated, [1, 0, -2])
    # the radius is the median of 1, 2 and 3
    np.testing.assert_allclose(membership.monte_carlo_score(to_synthetic), [1 / 3, 1 / 3, 0])


def test_auc_by_hand():
    # 3 beats both, 1 beats 0 and ties with 1
    assert membership.auc(np.array([3.0, 1.0]), np.array([0.0, 1.0])) == 3.5 / 4


@pytest.mark.parametrize(("members", "others"), [(20, 8), (5, 5), (100, 50)])
def test_the_variance_of_a_guess_is_that_of_the_mann_whitney_statistic(members, others):
    expected = (members + others + 1) / (12 * members * others)
    assert membership.auc_variance(0.5, members, others) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("area", [0.2, 0.5, 0.83])
def test_the_interval_holds_the_areas_that_the_observed_one_does_not_refute(area):
    for edge in membership.auc_interval(area, 20, 8):
        assert abs(area - edge) / np.sqrt(membership.auc_variance(edge, 20, 8)) == pytest.approx(1.959964, abs=1e-5)


def test_a_perfect_auc_has_an_interval_too():
    low, high = membership.auc_interval(1.0, 20, 8)
    assert high == 1.0
    assert (1 - low) / np.sqrt(membership.auc_variance(low, 20, 8)) == pytest.approx(1.959964, abs=1e-4)
    assert membership.auc_interval(0.0, 20, 8) == pytest.approx((0.0, 1 - low))


def test_the_interval_covers_the_true_area_at_few_patients():
    rng, shift = np.random.default_rng(0), np.sqrt(2) * stats.norm.ppf(0.85)
    covered = []
    for _ in range(600):
        area = membership.auc(rng.normal(shift, 1, 20), rng.normal(0, 1, 8))
        low, high = membership.auc_interval(area, 20, 8)
        covered.append(low <= 0.85 <= high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize(
    ("members", "others", "area"), [(20, 8, 0.78), (20, 20, 0.72), (100, 50, 0.62), (500, 500, 0.55)]
)
def test_detectable_areas(members, others, area):
    assert membership.detectable_auc(members, others) == pytest.approx(area, abs=0.006)


def test_the_detectable_area_is_detected_four_times_in_five():
    rng, critical = np.random.default_rng(0), 0.5 + 1.6449 * np.sqrt(29 / (12 * 20 * 8))
    shift = np.sqrt(2) * stats.norm.ppf(membership.detectable_auc(20, 8))
    found = [membership.auc(rng.normal(shift, 1, 20), rng.normal(0, 1, 8)) >= critical for _ in range(1500)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)


def test_too_few_patients_detect_nothing():
    assert membership.detectable_auc(2, 1) == 1.0


def test_as_many_more_patients_are_asked_for_as_are_needed_and_not_one_more():
    more = membership.more_others(0.7, 20, 8)
    assert membership.detectable_auc(20, 8 + more) <= 0.7 < membership.detectable_auc(20, 7 + more)
    assert membership.more_others(0.8, 20, 8) == 0


def test_no_number_of_others_makes_up_for_too_few_members():
    # the error under the null tends to sqrt(1 / (12 members)), and alone takes 0.106
    assert membership.more_others(0.6, 20, 8) is None


def test_p_is_that_of_the_exact_test():
    rng = np.random.default_rng(0)
    members, others = rng.normal(0.7, 1, 12), rng.normal(0, 1, 7)
    exact = stats.mannwhitneyu(members, others, alternative="greater", method="exact").pvalue
    assert membership.permuted_p(members, others, rng, 20000) == pytest.approx(exact, abs=0.01)


def test_p_counts_equal_areas():
    assert membership.permuted_p(np.ones(3), np.ones(2), np.random.default_rng(0), 99) == 1.0


def test_a_verdict_by_hand():
    score = np.array([9.0, 7, 6, 5, 4, 8, 1, 1, 0, 0])
    member = np.arange(10) < 5
    found = membership.attack("an attack", score, member, np.arange(10), np.random.default_rng(0), fpr=0.2)
    assert (found.members, found.others) == (5, 5)
    assert found.auc == pytest.approx(21 / 25)  # 9 beats all five; 7, 6, 5 and 4 beat four each
    # one false alarm is allowed, so the threshold is the others' second score, 1, and all members lie above it
    assert (found.fpr, found.tpr) == (0.2, 1.0)
    assert (found.tpr_low, found.tpr_high) == (pytest.approx(0.025 ** (1 / 5)), 1.0)
    edges = stats.beta.ppf([0.025, 0.975], [1, 2], [5, 4])
    assert (found.fpr_low, found.fpr_high) == pytest.approx(tuple(edges))


def test_no_false_alarm_among_eight_may_be_a_rate_of_37_percent():
    score = np.concatenate([np.full(20, 1.0), np.full(8, 2.0)])
    found = membership.attack("an attack", score, score < 1.5, np.arange(28), np.random.default_rng(0), permutations=99)
    assert (found.fpr, found.fpr_low, found.fpr_high) == (0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / 8)))
    assert (found.auc, found.tpr, found.p) == (0.0, 0.0, 1.0)


def test_a_patient_counts_once():
    score, patients = np.array([1.0, 3.0, 2.5, 1.5, 0.0]), np.array(["a", "a", "b", "c", "c"])
    found = membership.attack("an attack", score, patients == "a", patients, np.random.default_rng(0), permutations=9)
    assert (found.members, found.others) == (1, 2)
    assert found.auc == 0.5  # a's mean of 2 beats c's 0.75 and not b's 2.5


def test_the_area_rises_as_the_leak_gets_narrower():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(60, 4))
    areas = []
    for width in (1.0, 0.3, 0.03):
        synthetic = real[rng.integers(0, 30, 300)] + width * rng.normal(size=(300, 4))
        distances = np.linalg.norm(real[:, None] - synthetic, axis=-1)
        score = membership.nearest_score(distances)
        areas.append(membership.auc(score[:30], score[30:]))
    assert areas == sorted(areas) and areas[-1] == 1.0


@pytest.mark.parametrize(
    ("score", "member", "patients", "found"),
    [
        ([1.0, 2.0], [True, False], ["a", "a"], "Received: {.*a.*} as both"),
        ([1.0, 2.0], [True, True], ["a", "b"], "Received: 2 members of 2"),
        ([1.0, np.inf], [True, False], ["a", "b"], "infinity"),
        ([1.0], [True, False], ["a", "b"], r"Received: \(1,\), \(2,\) and \(2,\)"),
    ],
)
def test_what_is_no_attack_is_refused(score, member, patients, found):
    with pytest.raises(ValueError, match=found):
        membership.attack("an attack", score, member, patients, np.random.default_rng(0))


def test_areas_and_counts_out_of_range_are_refused():
    with pytest.raises(ValueError, match="Received: area=0.5"):
        membership.more_others(0.5, 20, 8)
    with pytest.raises(ValueError, match="Received: others=0"):
        membership.detectable_auc(20, 0)
