"""Distances between sets against values by hand, and that copies are told from honest images."""

import numpy as np
import pytest

from synthmed_tf.evaluation import nearest_neighbours


def test_the_closest_record_and_the_ratio_by_hand():
    distances = np.array([[3.0, 1.0, 4.0], [2.0, 2.0, 5.0], [0.0, 7.0, 0.0], [0.0, 7.0, 2.0]])
    np.testing.assert_array_equal(nearest_neighbours.closest(distances), [1, 2, 0, 0])
    np.testing.assert_allclose(nearest_neighbours.nearest_ratio(distances), [1 / 3, 1, 1, 0])


def test_distances_of_vectors_are_euclidean():
    found = nearest_neighbours.vector_distances(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 4.0]]))
    np.testing.assert_allclose(found, [[5.0], [np.sqrt(13)]])


def test_the_share_nearer_to_train_by_hand():
    # nearer, further, as near
    assert nearest_neighbours.share_nearer(np.array([[1.0, 9], [5, 6], [2, 3]]), np.array([[2.0], [4], [2]])) == 0.5


def test_without_correction_twenty_to_eight_honest_records_give_twenty_in_28():
    rng = np.random.default_rng(0)
    shares = [
        nearest_neighbours.share_nearer(
            *np.split(nearest_neighbours.vector_distances(*rng.normal(size=(2, 28, 3))), [20], axis=1)
        )
        for _ in range(400)
    ]
    assert np.mean(shares) == pytest.approx(20 / 28, abs=0.01)


def test_the_comparison_of_equal_sets_is_that_of_the_whole_sets():
    distances = np.array([[1.0, 2, 4, 8], [6, 3, 5, 1], [2, 4, 9, 3]])
    found = nearest_neighbours.compare(distances, [True, True, False, False], list("abcd"), np.random.default_rng(0))
    assert (found.dcr_train, found.dcr_holdout) == (2.0, 3.0)  # of 1, 3, 2 and of 4, 1, 3
    assert (found.nndr_train, found.nndr_holdout) == (0.5, pytest.approx(1 / 3))  # of 1/2, 1/2, 1/2; 1/2, 1/5, 1/3
    assert found.share == pytest.approx(2 / 3)
    # 6 ways to name two of four patients train; with equal chance the shares 2/3, 2/3, 1, 1/3, 0, 1/3
    assert found.p == pytest.approx(1 / 2, abs=0.1)


def _data(rng, copied):
    """20 patients in train and 8 in holdout with two images each, and 200 synthetic ones."""
    centres = np.repeat(rng.normal(size=(28, 6)), 2, axis=0) + 0.3 * rng.normal(size=(56, 6))
    patients = np.repeat(np.arange(28), 2)
    honest = rng.normal(size=(200, 6)) * np.sqrt(1.09)
    copies = centres[rng.integers(0, 40, 200)] + 0.05 * rng.normal(size=(200, 6))
    synthetic = copies if copied else honest
    return nearest_neighbours.vector_distances(synthetic, centres), patients < 20, patients


def test_at_equal_sizes_honest_images_have_a_share_of_one_half_and_copies_stand_out():
    rng = np.random.default_rng(1)
    honest = [
        nearest_neighbours.compare(*_data(rng, copied=False), rng, subsamples=5, permutations=40) for _ in range(20)
    ]
    assert np.mean([one.share for one in honest]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([one.p for one in honest]) == pytest.approx(0.5, abs=0.2)
    copies = nearest_neighbours.compare(*_data(rng, copied=True), rng, permutations=199)
    # 8 of 20 patients are sampled: 16 of 40 images' copies have theirs there; the others choose by chance
    assert copies.p == 1 / 200 and copies.share > copies.null_high
    assert copies.share == pytest.approx(0.4 + 0.6 / 2, abs=0.1)


def test_subsamples_are_of_whole_patients():
    distances = np.ones((1, 8))
    distances[0, 0], distances[0, 1] = 0.5, 0.2
    in_train, patients = np.arange(8) < 6, np.array([0, 0, 1, 1, 2, 2, 3, 3])
    found = nearest_neighbours.compare(
        distances, in_train, patients, np.random.default_rng(0), subsamples=600, permutations=1
    )
    # patient 0 comes in one sample of three, always with both images; else all is equal
    assert found.share == pytest.approx(1 / 3 + 2 / 3 / 2, abs=0.03)
    assert found.nndr_train == pytest.approx(0.4 / 3 + 2 / 3, abs=0.04)


def test_z_by_hand():
    # one of six pairs has the synthetic image further: 3 > 2
    found = nearest_neighbours.copying_z(np.array([1.0, 3]), np.array([2.0, 4, 5]))
    assert found == pytest.approx((1 - 3 + 0.5) / np.sqrt(3))
    tied = nearest_neighbours.copying_z(np.array([2.0]), np.array([2.0]))
    assert tied == pytest.approx((0.5 - 0.5 + 0.5) / np.sqrt(3 / 12))


def test_copies_have_z_far_below_zero_and_honest_images_about_zero():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(60, 4))

    def to_train(images):
        return nearest_neighbours.closest(nearest_neighbours.vector_distances(images, train))

    honest = [nearest_neighbours.copying_z(*map(to_train, rng.normal(size=(2, 50, 4)))) for _ in range(300)]
    assert np.mean(honest) == pytest.approx(0, abs=0.15) and np.std(honest) == pytest.approx(1, abs=0.12)
    copies = train[rng.integers(0, 60, 50)] + 0.05 * rng.normal(size=(50, 4))
    # every copy is nearer than every other image: U = 0
    far = to_train(rng.normal(size=(50, 4)) + 9)
    assert nearest_neighbours.copying_z(to_train(copies), far) == pytest.approx((0.5 - 1250) / np.sqrt(2500 * 101 / 12))
    assert nearest_neighbours.copying_z(to_train(copies), to_train(rng.normal(size=(50, 4)))) < -6


def test_cells_are_weighted_by_their_holdout_images_and_small_ones_left_out():
    rng = np.random.default_rng(0)
    synthetic, holdout = rng.random(100), rng.random(150)
    ours, theirs = np.repeat([0, 1, 2], [60, 30, 10]), np.repeat([0, 1, 2], [40, 80, 30])
    expected = 40 * nearest_neighbours.copying_z(synthetic[:60], holdout[:40])
    expected += 80 * nearest_neighbours.copying_z(synthetic[60:90], holdout[40:120])
    assert nearest_neighbours.copying_score(synthetic, holdout, ours, theirs) == pytest.approx(expected / 120)
    few = nearest_neighbours.copying_score(synthetic, holdout[:99], ours, theirs[:99])
    assert few == nearest_neighbours.copying_z(synthetic, holdout[:99])


def test_what_cannot_be_compared_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"both sets. Received: \{.*1.*\}"):
        nearest_neighbours.compare(np.ones((2, 4)), [True, True, False, False], [0, 1, 1, 2], rng)
    with pytest.raises(ValueError, match="Received: 1 and 3"):
        nearest_neighbours.compare(np.ones((2, 4)), [True, False, False, False], [0, 1, 1, 2], rng)
    with pytest.raises(ValueError, match=r"Received: \(2, 4\), \(3,\) and \(4,\)"):
        nearest_neighbours.compare(np.ones((2, 4)), [True, False, False], [0, 1, 1, 2], rng)
    with pytest.raises(ValueError, match="NaN"):
        nearest_neighbours.closest(np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match=r"records >= 2. Received: shape=\(3, 1\)"):
        nearest_neighbours.nearest_ratio(np.ones((3, 1)))
    with pytest.raises(ValueError, match="0 synthetic and 2 holdout"):
        nearest_neighbours.copying_z(np.ones(0), np.ones(2))
