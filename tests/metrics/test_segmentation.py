"""Scores against values counted by hand."""

import numpy as np
import pytest

from synthmed_tf.metrics import segmentation

ALL = np.ones((2, 4), bool)


def _mask(*rows):
    return np.array([[letter == "#" for letter in row] for row in rows])


def test_f1_by_hand():
    truth, found = _mask("##..", "##.."), _mask("###.", "...#")
    # 2 in both, 4 true, 4 found
    assert segmentation.f1(truth, found, ALL) == 0.5


def test_f1_counts_no_pixel_outside():
    truth, found = _mask("##..", "##.."), _mask("##..", "..##")
    assert segmentation.f1(truth, found, _mask("####", "....")) == 1.0


def test_f1_of_two_empty_masks_is_one():
    assert segmentation.f1(~ALL, ~ALL, ALL) == 1.0
    assert segmentation.f1(ALL, ~ALL, ALL) == 0.0


def test_auc_by_hand():
    truth = _mask("#.#.", "....")
    score = np.array([[0.9, 0.8, 0.3, 0.1], [0.2, 0.3, 0.4, 0.0]])
    # 0.9 beats all 6 others; 0.3 beats 0.1, 0.2 and 0.0, ties with 0.3 and loses to 0.8 and 0.4
    assert segmentation.auc(truth, score, ALL) == pytest.approx((6 + 3.5) / 12, abs=1e-12)


def test_auc_is_one_half_where_all_scores_are_equal():
    assert segmentation.auc(_mask("#...", "##.."), np.full((2, 4), 0.25), ALL) == 0.5


def test_auc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    truth, inside = rng.random((20, 30)) < 0.2, rng.random((20, 30)) < 0.7
    score = np.round(rng.random((20, 30)) + 0.3 * truth, 2).astype(np.float32)
    vessels, others = score[truth & inside][:, None], score[~truth & inside][None, :]
    expected = np.mean((vessels > others) + 0.5 * (vessels == others))
    assert segmentation.auc(truth, score, inside) == pytest.approx(expected, abs=1e-12)


def test_auc_refuses_a_truth_of_one_kind():
    with pytest.raises(ValueError, match="Received: 0 vessel and 8 other pixels"):
        segmentation.auc(~ALL, np.zeros((2, 4)), ALL)


def test_cl_dice_sees_a_missing_branch_and_not_a_width():
    truth, found = np.zeros((21, 40), bool), np.zeros((21, 40), bool)
    truth[4, 5:35] = truth[14, 5:35] = True
    found[3:6, 4:36] = True
    inside = np.ones_like(truth)
    # the found line is row 4 alone: all of it is true but for its ends; of the true lines one in two is found
    line = np.zeros_like(found)
    line[4, 5:35] = True
    assert segmentation.cl_dice(truth, line, inside) == pytest.approx(2 * 1.0 * 0.5 / 1.5, abs=1e-12)
    assert segmentation.cl_dice(truth, found, inside) == pytest.approx(2 / 3, abs=0.02)
    assert segmentation.f1(truth, found, inside) < 0.5


def test_cl_dice_ends_at_the_field_of_view():
    truth = np.zeros((10, 20), bool)
    truth[2, 2:18] = truth[7, 2:18] = True
    found = truth.copy()
    found[7] = False
    assert segmentation.cl_dice(truth, found, np.arange(10)[:, None] < np.full((1, 20), 5)) == 1.0


def test_cl_dice_of_empty_masks():
    assert segmentation.cl_dice(~ALL, ~ALL, ALL) == 1.0
    assert segmentation.cl_dice(ALL, ~ALL, ALL) == 0.0
    assert segmentation.cl_dice(_mask("#...", "...."), _mask("....", "...#"), ALL) == 0.0


def test_masks_of_other_kinds_are_refused():
    with pytest.raises(ValueError, match=r"Received: bool \(2, 4\), float64 \(2, 4\), bool \(2, 4\)"):
        segmentation.f1(np.zeros((2, 4)), ALL, ALL)
    with pytest.raises(ValueError, match="one shape"):
        segmentation.cl_dice(ALL, ALL[:1], ALL)
    with pytest.raises(ValueError, match=r"Received: \(2, 3\) and \(2, 4\)"):
        segmentation.auc(ALL, np.zeros((2, 3)), ALL)


def test_expected_dice_by_hand():
    probability = np.array([[0.75, 0.5, 0.25, 0.0]])
    # 2 (0.75 + 0.5) / (1.5 + 2)
    assert segmentation.expected_dice(probability, probability >= 0.5) == pytest.approx(2.5 / 3.5, abs=1e-12)


def test_expected_dice_is_one_for_a_certain_mask_and_zero_for_none():
    mask = _mask("#..#", "....")
    assert segmentation.expected_dice(mask.astype(np.float32), mask) == 1.0
    assert segmentation.expected_dice(np.full((2, 4), 0.25, np.float32), ~ALL) == 0.0


def test_expected_dice_is_near_the_mean_dice_of_truths_generated_from_the_probabilities():
    rng = np.random.default_rng(0)
    probability = rng.random((100, 100)) ** 3
    mask, everywhere = probability >= 0.5, np.ones((100, 100), bool)
    generated = [segmentation.f1(rng.random((100, 100)) < probability, mask, everywhere) for _ in range(200)]
    assert segmentation.expected_dice(probability, mask) == pytest.approx(np.mean(generated), abs=1e-3)
