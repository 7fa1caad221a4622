"""The privacy section on a small case: what it says, and what it gives to others."""

import numpy as np
import pytest
from helpers import evaluating

from synthmed_tf.evaluation.context import Settings
from synthmed_tf.evaluation.sections import privacy
from synthmed_tf.evaluation.verdict import State

pytestmark = pytest.mark.once

SIDE, COPIED = 64, 4
SETTINGS = Settings(quick=True, segmenter_steps=60, permutations=99)


@pytest.fixture(scope="module")
def real():
    return evaluating.generated(SIDE, range(14))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def case(real, folder):
    """Ten pairs in train, four in the holdout, and five drawn again beside a mirrored copy of the fifth in train."""
    copy = evaluating.picked(real, [COPIED])
    copy = type(copy)(copy.photographs[:, :, ::-1], copy.masks[:, :, ::-1], copy.fields[:, :, ::-1])
    synthetic = evaluating.joined(evaluating.generated(SIDE, range(5), seed=9), copy)
    return evaluating.make_case(
        folder, synthetic, evaluating.picked(real, range(10)), evaluating.picked(real, range(10, 14)), SETTINGS
    )


@pytest.fixture(scope="module")
def outcome(case):
    return privacy.judge(case)


def test_a_copy_fails_and_is_named_with_its_patient(outcome):
    copies, _ = outcome.verdicts
    assert copies.state is State.FAIL
    assert "synthetic-5 is train-4 of patient train-4" in copies.sentence
    [copy] = outcome.figures.copies
    assert (copy.synthetic, copy.row, copy.real_set, copy.real_row) == ("synthetic-5", 5, "train", COPIED)
    assert copy.flips == (True, False) and copy.score >= copy.threshold


def test_the_excess_of_each_pair_is_that_over_the_nearest_threshold(outcome):
    excess = outcome.scores["copy_excess"]
    assert excess.shape == (6,)
    assert excess[5] >= 0 and (excess[:5] < 0).all()
    above = outcome.arrays["synthetic scores"] - outcome.arrays["thresholds"]
    np.testing.assert_allclose(excess, above.max(axis=1))


def test_the_nearest_pairs_can_be_shown(outcome):
    nearest = outcome.arrays["nearest"]
    assert len(nearest) == 6 and nearest[0]["row"] == 5
    excess = [one["score"] - one["threshold"] for one in nearest]
    assert excess == sorted(excess, reverse=True)


def test_every_search_says_what_it_is_worth(outcome):
    figures = outcome.figures
    assert [search.name for search in figures.searches] == list(outcome.arrays["searches"])
    assert all(search.strangers == 14 and search.disguised == 30 for search in figures.searches)
    assert figures.searches[0].recall == 1 and figures.searches[0].required


def test_few_unseen_patients_cannot_tell_and_say_so(outcome):
    _, membership = outcome.verdicts
    assert membership.state is State.CANNOT_TELL and not membership.invalid
    assert "4 unseen patients" in membership.needed
    assert outcome.figures.attacks[0].members == 10 and outcome.figures.attacks[0].others == 4


def test_what_is_not_at_hand_is_left_out_with_the_reason(outcome):
    assert set(outcome.figures.left_out) == {
        "calibrated attacks",
        "discriminator of Stage-I",
        "discriminator of Stage-II",
        "reconstruction by Stage-II",
    }


def test_there_is_a_curve_of_each_attack(outcome):
    assert set(outcome.arrays["roc"]) == {attack.name for attack in outcome.figures.attacks}
    for curve in outcome.arrays["roc"].values():
        np.testing.assert_array_equal(curve[:, [0, -1]], [[0, 1], [0, 1]])


def test_the_figures_survive_json(outcome):
    text = outcome.figures.model_dump_json()
    assert privacy.Privacy.model_validate_json(text) == outcome.figures


def test_what_is_finished_is_not_done_again(case, outcome, monkeypatch):
    from synthmed_tf.evaluation import copies

    monkeypatch.delattr(copies, "likeness")  # any new search would need it
    again = privacy.judge(case)
    np.testing.assert_array_equal(again.scores["copy_excess"], outcome.scores["copy_excess"])


@pytest.mark.slow
def test_without_a_holdout_copies_are_answered_and_membership_is_not(real, folder):
    synthetic = evaluating.joined(evaluating.generated(SIDE, range(2), seed=9), evaluating.picked(real, [COPIED]))
    case = evaluating.make_case(folder, synthetic, evaluating.picked(real, range(10)), None, SETTINGS)
    outcome = privacy.judge(case)
    copies, membership = outcome.verdicts
    assert copies.state is State.FAIL and membership.state is State.CANNOT_TELL
    assert "--holdout" in membership.needed
    assert outcome.figures.attacks == [] and outcome.figures.control is None


@pytest.mark.slow
def test_another_camera_calibrates(real, folder, outcome, case):
    other = evaluating.pairs(evaluating.generated(SIDE, range(3), seed=20), "other")
    found = privacy.judge(type(case)(**{**vars(case), "other": other})).figures
    assert "calibrated attacks" not in found.left_out
    assert [a.name for a in found.attacks if "calibrated" in a.name] == [
        "nearest mask, calibrated",
        "nearest photograph, calibrated",
    ]
