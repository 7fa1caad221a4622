"""The privacy section on a small context: what it says, and what it gives to others."""

import numpy as np
import pytest
from helpers import evaluating

from synthmed_tf.evaluation import privacy
from synthmed_tf.evaluation.context import Settings
from synthmed_tf.evaluation.privacy_results import Privacy
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
def context(real, folder):
    """Ten pairs in train, four in the holdout, and five new ones with a mirrored copy of the fifth in train."""
    copy = evaluating.picked(real, [COPIED])
    copy = type(copy)(copy.images[:, :, ::-1], copy.masks[:, :, ::-1], copy.fields[:, :, ::-1])
    synthetic = evaluating.joined(evaluating.generated(SIDE, range(5), seed=9), copy)
    return evaluating.make_context(
        folder, synthetic, evaluating.picked(real, range(10)), evaluating.picked(real, range(10, 14)), SETTINGS
    )


@pytest.fixture(scope="module")
def section(context):
    return privacy.evaluate(context)


def test_a_copy_fails_and_is_named_with_its_patient(section):
    copies, _ = section.verdicts
    assert copies.state is State.FAIL
    assert "synthetic-5 is train-4 of patient train-4" in copies.private[0]
    assert "train-4" not in copies.sentence
    [copy] = section.metrics.copies
    assert (copy.synthetic, copy.row, copy.real_set, copy.real_row) == ("synthetic-5", 5, "train", COPIED)
    assert copy.transform.flips == (True, False) and copy.score >= copy.threshold


def test_the_excess_of_each_pair_is_that_over_the_nearest_threshold(section):
    excess = section.scores["copy_excess"]
    assert excess.shape == (6,)
    assert excess[5] >= 0 and (excess[:5] < 0).all()
    above = [section.copy_scores[search.name][0] - search.threshold for search in section.metrics.searches]
    np.testing.assert_allclose(excess, np.max(above, axis=0))


def test_the_nearest_pairs_can_be_shown(section):
    nearest = section.nearest
    assert len(nearest) == 6 and nearest[0].row == 5
    excess = [one.score - one.threshold for one in nearest]
    assert excess == sorted(excess, reverse=True)


def test_every_search_says_what_it_is_worth(section):
    metrics = section.metrics
    assert [search.name for search in metrics.searches] == list(section.copy_scores)
    assert all(search.impostors == 14 and search.augmented == 30 for search in metrics.searches)
    assert metrics.searches[0].recall == 1 and metrics.searches[0].required


def test_few_unseen_patients_cannot_tell_and_say_so(section):
    _, membership = section.verdicts
    assert membership.state is State.CANNOT_TELL and not membership.invalid
    assert "4 unseen patients" in membership.needed
    assert section.metrics.attacks[0].members == 10 and section.metrics.attacks[0].others == 4


def test_what_is_not_at_hand_is_left_out_with_the_reason(section):
    assert {one.name for one in section.metrics.left_out} == {
        "calibrated attacks",
        "discriminator of Stage-I",
        "discriminator of Stage-II",
        "reconstruction by Stage-II",
        "velocities of Stage-II",
    }


def test_there_is_a_curve_of_each_attack(section):
    assert set(section.roc) == {attack.name for attack in section.metrics.attacks}
    for curve in section.roc.values():
        np.testing.assert_array_equal(curve[:, [0, -1]], [[0, 1], [0, 1]])


def test_the_metrics_survive_json(section):
    text = section.metrics.model_dump_json()
    assert Privacy.model_validate_json(text) == section.metrics


def test_what_is_finished_is_not_done_again(context, section, monkeypatch):
    from synthmed_tf.evaluation import copies

    monkeypatch.delattr(copies, "similarity")  # any new search would need it
    again = privacy.evaluate(context)
    np.testing.assert_array_equal(again.scores["copy_excess"], section.scores["copy_excess"])


@pytest.mark.slow
def test_without_a_holdout_copies_are_answered_and_membership_is_not(real, folder):
    synthetic = evaluating.joined(evaluating.generated(SIDE, range(2), seed=9), evaluating.picked(real, [COPIED]))
    context = evaluating.make_context(folder, synthetic, evaluating.picked(real, range(10)), None, SETTINGS)
    section = privacy.evaluate(context)
    copies, membership = section.verdicts
    assert copies.state is State.FAIL and membership.state is State.CANNOT_TELL
    assert "--holdout" in membership.needed
    assert section.metrics.attacks == () and section.metrics.control is None


@pytest.mark.slow
def test_another_camera_calibrates(real, folder, section, context):
    other = evaluating.pairs(evaluating.generated(SIDE, range(3), seed=20), "other")
    found = privacy.evaluate(type(context)(**{**vars(context), "other": other})).metrics
    assert "calibrated attacks" not in {one.name for one in found.left_out}
    assert [a.name for a in found.attacks if "calibrated" in a.name] == [
        "nearest mask, calibrated",
        "nearest image, calibrated",
    ]
