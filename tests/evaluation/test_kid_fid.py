"""KID, PRDC, the Vendi score and the Frechet distance against their definitions, row by row, and closed forms."""

import itertools

import numpy as np
import pytest
from scipy import linalg

from synthmed_tf.evaluation import kid_fid, prdc


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _two_sets(rng, n=7, m=9, d=3):
    return rng.normal(size=(n, d)), rng.normal(0.5, 1.5, (m, d))


def _mmd(real, synthetic):
    def kernel(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    n, m = len(real), len(synthetic)
    within_real = sum(kernel(real[i], real[j]) for i in range(n) for j in range(n) if i != j)
    within_synthetic = sum(kernel(synthetic[i], synthetic[j]) for i in range(m) for j in range(m) if i != j)
    across = sum(kernel(x, y) for x in real for y in synthetic)
    return within_real / (n * (n - 1)) + within_synthetic / (m * (m - 1)) - 2 * across / (n * m)


def _nearer(rows, k, i):
    return sorted(np.linalg.norm(rows[i] - rows[j]) for j in range(len(rows)) if j != i)[k - 1]


def test_standardize_by_hand():
    real, synthetic = (
        np.array([[0.0, 5.0, 0.0], [1.0, 5.0, 0.0]]),
        np.array([[2.0, 5.0, 0.0], [3.0, 5.0, 0.0], [4, 5, 9]]),
    )
    one, other = kid_fid.standardize(real, synthetic)
    # quartiles of 0 to 4 are 1 and 3; a feature that is constant; one whose quartiles are equal: SD 9 sqrt(0.2 x 0.8)
    unit = 2 / 1.3489795003921634
    np.testing.assert_allclose(one, [[-2 / unit, 0, 0], [-1 / unit, 0, 0]], rtol=1e-12)
    np.testing.assert_allclose(other, [[0, 0, 0], [1 / unit, 0, 0], [2 / unit, 0, 1 / 0.4]], rtol=1e-12)


def test_kid_is_the_unbiased_mmd(rng):
    real, synthetic = _two_sets(rng)
    found = kid_fid.kid(real, synthetic, rng, permutations=1)
    assert found.value == pytest.approx(_mmd(real, synthetic), rel=1e-10)
    assert found.p_rows == (7, 9)


def test_the_standard_error_of_kid_leaves_out_one_group_at_a_time(rng):
    real, synthetic = _two_sets(rng)
    real_groups, synthetic_groups = list("aabcdde"), [3, 3, 1, 2, 4, 5, 6, 7, 8]
    left_real = [_mmd(real[[g != group for g in real_groups]], synthetic) for group in "abcde"]
    left_synthetic = [_mmd(real, synthetic[np.array(synthetic_groups) != group]) for group in range(1, 9)]
    variance = sum((len(v) - 1) / len(v) * sum((x - np.mean(v)) ** 2 for x in v) for v in (left_real, left_synthetic))
    found = kid_fid.kid(real, synthetic, rng, real_groups, synthetic_groups, permutations=1)
    assert found.standard_error == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_the_standard_error_of_kid_is_the_spread_of_its_values(rng):
    found = [kid_fid.kid(rng.normal(size=(40, 2)), rng.normal(1, 1, (30, 2)), rng, permutations=1) for _ in range(400)]
    spread = np.std([one.value for one in found])
    assert np.sqrt(np.mean([one.standard_error**2 for one in found])) == pytest.approx(spread, rel=0.12)


def test_the_p_of_kid_is_the_share_of_all_exchanges(rng):
    real, synthetic = _two_sets(rng, 4, 4)
    rows = np.vstack([real, synthetic])
    values = [_mmd(rows[list(side)], np.delete(rows, side, axis=0)) for side in itertools.combinations(range(8), 4)]
    share = np.mean(np.array(values) >= values[0] - 1e-9)
    assert kid_fid.kid(real, synthetic, rng, permutations=9999).p == pytest.approx(share, abs=0.02)


def test_the_p_of_kid_moves_whole_groups(rng):
    real, synthetic = rng.normal(size=(4, 2)), rng.normal(9, 1, (4, 2))
    groups = [0, 0, 1, 1]
    # of the 6 ways to share 4 pairs of rows out, the given one and its mirror are furthest apart
    assert kid_fid.kid(real, synthetic, rng, groups, groups, 9999).p == pytest.approx(1 / 3, abs=0.02)
    # of the 70 ways to share 8 rows out, likewise
    assert kid_fid.kid(real, synthetic, rng, permutations=9999).p == pytest.approx(2 / 70, abs=0.007)


def test_groups_of_other_sizes_fill_the_real_side_as_nearly_as_they_can(rng):
    groups = np.array([0, 0, 0, 1, 1, 2, 3, 3, 4, 5])
    sides = kid_fid._sides(groups, 5, 500, rng)
    assert sides[:, 0].tolist() == [1] * 5 + [0] * 5
    assert all(len(set(side[groups == group])) == 1 for side in sides.T for group in range(6))
    assert set(sides[:, 1:].sum(axis=0)) == {4, 5, 6}


def test_kid_keeps_its_level_after_standardize(rng):
    def p():
        sets = kid_fid.standardize(rng.normal(size=(12, 20)), rng.normal(size=(30, 20)))
        return kid_fid.kid(*sets, rng, permutations=39).p

    # p is 1/40, 2/40, ... with equal probability: 0.05 of 800 have SD 0.0077
    assert np.mean([p() <= 0.05 for _ in range(800)]) == pytest.approx(0.05, abs=0.025)


def test_kid_keeps_its_level_where_patients_have_two_images_and_the_synthetic_set_is_large(rng):
    patients = np.arange(20) // 2

    def found():
        real = np.sqrt(0.9) * rng.normal(size=(10, 10))[patients] + np.sqrt(0.1) * rng.normal(size=(20, 10))
        sets = kid_fid.standardize(real, rng.normal(size=(100, 10)))
        return kid_fid.kid(*sets, rng, patients, permutations=39)

    assert found().p_rows == (20, 20)
    assert np.mean([found().p <= 0.05 for _ in range(400)]) == pytest.approx(0.05, abs=0.04)


def test_equal_sets_and_far_ones(rng):
    rows = rng.normal(size=(20, 3))
    same, far = (kid_fid.kid(rows, rows + shift, rng) for shift in (0, 50))
    assert same.value < 0 and same.p > 0.9
    assert far.p == 0.001
    found = [prdc.prdc(rows, rows + shift, rng, k=3) for shift in (0, 50)]
    assert [(one.precision, one.recall, one.density, one.coverage) for one in found] == [(1, 1, 1, 1), (0, 0, 0, 0)]


def test_blocks_change_nothing(rng, monkeypatch):
    real, synthetic = _two_sets(rng)

    def metrics():
        rng = np.random.default_rng(0)
        return kid_fid.kid(real, synthetic, rng), prdc.prdc(real, synthetic, rng, k=2)

    whole = metrics()
    monkeypatch.setattr(kid_fid, "_BLOCK", 50)
    parts = metrics()
    assert parts[0].value == pytest.approx(whole[0].value, rel=1e-10)
    assert parts[0].standard_error == pytest.approx(whole[0].standard_error, rel=1e-10)
    assert parts[0].p == whole[0].p and parts[1] == whole[1]


def test_prdc_is_as_defined(rng):
    real, synthetic, k = *_two_sets(rng, 12, 12), 3
    near = np.linalg.norm(real[:, None] - synthetic, axis=2)
    precision = [any(near[i, j] < _nearer(real, k, i) for i in range(12)) for j in range(12)]
    recall = [any(near[i, j] < _nearer(synthetic, k, j) for j in range(12)) for i in range(12)]
    density = [near[i, j] < _nearer(real, k, i) for i in range(12) for j in range(12)]
    coverage = [any(near[i, j] < _nearer(real, k, i) for j in range(12)) for i in range(12)]
    found = prdc.prdc(real, synthetic, rng, k=k)
    assert found.precision == pytest.approx(np.mean(precision), abs=1e-12)
    assert found.recall == pytest.approx(np.mean(recall), abs=1e-12)
    assert found.density == pytest.approx(sum(density) / (k * 12), abs=1e-12)
    assert found.coverage == pytest.approx(np.mean(coverage), abs=1e-12)
    assert (found.count, found.k) == (12, 3)


def test_prdc_is_averaged_over_samples_of_the_larger_set(rng):
    real = rng.normal(size=(6, 2))
    synthetic = np.vstack([real, real + 100])
    # a sample takes each copy with probability 1/2; a copy lies in its own ball and those of its neighbours
    found = prdc.prdc(real, synthetic, rng, k=1, subsamples=4000)
    assert found.count == 6
    assert found.precision == pytest.approx(0.5, abs=0.01)
    assert found.coverage == pytest.approx(0.5, abs=0.01)


def test_the_null_of_coverage_and_density(rng):
    metrics = []
    for _ in range(300):
        sets = kid_fid.standardize(rng.normal(size=(10, 4)), rng.normal(size=(25, 4)))
        metrics.append(prdc.prdc(*sets, rng, k=3, subsamples=2))
    null = 1 - (9 / 19) * (8 / 18) * (7 / 17)
    assert metrics[0].coverage_null == pytest.approx(null, abs=1e-12)
    assert np.mean([one.coverage_excess for one in metrics]) == pytest.approx(0, abs=0.02)
    assert np.mean([one.density for one in metrics]) == pytest.approx(1, abs=0.06)


def test_the_null_of_coverage_of_sets_that_differ_in_size(rng):
    real, synthetic = rng.normal(size=(4000, 8, 1)), rng.normal(size=(4000, 5, 1))
    others = np.abs(real - real.transpose(0, 2, 1))
    radii = np.sort(others, axis=2)[:, :, 2]
    covered = np.abs(real - synthetic.transpose(0, 2, 1)).min(axis=2) < radii
    assert prdc.coverage_null(8, 5, 2) == pytest.approx(covered.mean(), abs=0.01)


def test_the_vendi_score_counts_orthogonal_rows():
    assert prdc.vendi_score(np.eye(5)) == pytest.approx(5, rel=1e-12)
    assert prdc.vendi_score(np.repeat(3 * np.eye(5)[:3], 4, axis=0)) == pytest.approx(3, rel=1e-12)
    assert prdc.vendi_score(np.outer(np.arange(1.0, 9), [1, 2, 3])) == pytest.approx(1, rel=1e-12)


def test_the_vendi_score_of_two_rows_at_an_angle():
    # eigenvalues of [[1, c], [c, 1]] / 2 are (1 + c) / 2 and (1 - c) / 2
    shares = np.array([0.8, 0.2])
    expected = np.exp(-np.sum(shares * np.log(shares)))
    assert prdc.vendi_score(np.array([[1, 0], [0.6, 0.8]])) == pytest.approx(expected, rel=1e-12)


def test_the_frechet_distance_of_known_moments(rng):
    deviations, others, shift = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.5]), np.array([1.0, 0.0, -2.0])
    cross = np.vstack([np.eye(3), -np.eye(3)]) * np.sqrt(5 / 2)  # mean 0, unbiased covariance 1
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = kid_fid.frechet(cross * deviations @ turn, (cross * others + shift) @ turn)
    assert found.value == pytest.approx(5 + 1 + 0 + 2.5**2, rel=1e-10)
    assert kid_fid.frechet(cross, cross).value == pytest.approx(0, abs=1e-12)


def test_the_frechet_distance_of_any_covariances(rng):
    real, synthetic = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(20, 4))
    one, other = np.cov(real.T), np.cov(synthetic.T)
    expected = np.sum((real.mean(0) - synthetic.mean(0)) ** 2) + np.trace(one + other - 2 * linalg.sqrtm(one @ other))
    assert kid_fid.frechet(real, synthetic).value == pytest.approx(expected.real, rel=1e-9)


def test_the_frechet_distance_says_that_it_is_no_verdict(rng):
    few, enough = (kid_fid.frechet(rng.normal(size=(n, 6)), rng.normal(size=(9, 6))) for n in (6, 7))
    assert few.note == (
        "Not a verdict: the distance depends on the numbers of rows (n = 6, m = 9; d = 6) and a covariance of "
        "fewer than 7 rows is singular."
    )
    assert enough.note == "Not a verdict: the distance depends on the numbers of rows (n = 7, m = 9; d = 6)."


def test_sets_of_other_kinds_are_refused(rng):
    rows = rng.normal(size=(6, 2))
    with pytest.raises(ValueError, match=r"Received: float64 \(6, 2\), float64 \(6, 1\)"):
        kid_fid.standardize(rows, rows[:, :1])
    with pytest.raises(ValueError, match=r"Received: int64 \(6, 2\)"):
        kid_fid.frechet(rows.astype(np.int64), rows)
    with pytest.raises(ValueError, match="Received: a NaN or an infinity"):
        kid_fid.kid(rows, rows * np.nan, rng)
    with pytest.raises(ValueError, match="a group for each of 6 rows. Received: 5"):
        kid_fid.kid(rows, rows, rng, [0] * 5)
    with pytest.raises(ValueError, match="two rows of each set outside any one group"):
        kid_fid.kid(rows, rows, rng, [0] * 5 + [1])
    with pytest.raises(ValueError, match="k from 1 to 5 for sets of 6 rows. Received: k=6"):
        prdc.prdc(rows, rows, rng, k=6)
    with pytest.raises(ValueError, match="a row of zeros"):
        prdc.vendi_score(np.zeros((2, 2)))


@pytest.mark.slow
def test_ten_thousand_rows_against_five_hundred(rng):
    sets = kid_fid.standardize(rng.normal(size=(500, 100)), rng.normal(size=(10_000, 100)))
    assert kid_fid.kid(*sets, rng).value == pytest.approx(0, abs=0.01)
    assert prdc.prdc(*sets, rng).coverage_excess == pytest.approx(0, abs=0.02)
