"""The fidelity section: its verdict on planted scores, and what it measures on procedural trees."""

import numpy as np
import pytest
from scipy import stats

from synthmed_tf.data.phantom import generate_phantoms
from synthmed_tf.evaluation import fidelity, segmenters, utility
from synthmed_tf.evaluation.context import Cache, EvaluationContext, Settings
from synthmed_tf.evaluation.pairs import ArrayPairs, Block
from synthmed_tf.evaluation.verdict import State
from synthmed_tf.metrics import segmentation


def _eyes(first, count, size=32, each=1):
    """Procedural eyes; so many in a row belong to one patient."""
    samples = generate_phantoms(size, first + count, seed=2)[first:]
    block = Block(
        np.stack([sample.image for sample in samples]),
        np.stack([sample.mask[..., 0] >= 128 for sample in samples]),
        np.stack([sample.fov[..., 0] >= 128 for sample in samples]),
    )
    names = [sample.name for sample in samples]
    return ArrayPairs(block, names, [names[i - i % each] for i in range(count)])


@pytest.fixture(scope="module")
def eyes():
    return {"train": _eyes(0, 4), "holdout": _eyes(4, 8, each=2), "synthetic": _eyes(20, 20)}


SYNTHETIC = 0.7 + np.linspace(-0.05, 0.05, 20)
UNSEEN = 0.7 + np.array([0.02, 0.03, -0.01, 0.0, 0.01, 0.0, -0.02, -0.03])
PATIENTS = np.array([0.025, -0.005, 0.005, -0.025]) + 0.7


def _assessed(eyes, folder, synthetic=SYNTHETIC, unseen=UNSEEN):
    context = EvaluationContext(**eyes | ({"holdout": None} if unseen is None else {}), cache=Cache(folder))
    found = [None if dice is None else {"dice": dice, "cl_dice": dice / 2} for dice in (synthetic, UNSEEN[:4], unseen)]
    return fidelity.assess(context, 0.25, *found)


@pytest.mark.parametrize(
    ("change", "state"), [(0.0, State.PASS), (0.2, State.PASS), (-0.05, State.CANNOT_TELL), (-0.15, State.FAIL)]
)
def test_the_state_follows_the_difference(change, state, eyes, tmp_path):
    verdict = _assessed(eyes, tmp_path, SYNTHETIC + change).verdicts[0]
    assert (verdict.question, verdict.state, verdict.invalid) == ("fidelity", state, False)
    assert f"{change:+.3f}" in verdict.sentence and "4 unseen patients" in verdict.sentence
    assert (verdict.needed is None) == (state != State.CANNOT_TELL)


def test_the_interval_counts_patients_not_eyes(eyes, tmp_path):
    metrics = _assessed(eyes, tmp_path, SYNTHETIC - 0.1).metrics
    expected = stats.ttest_ind(SYNTHETIC - 0.1, PATIENTS, equal_var=False).confidence_interval(0.95)
    assert metrics.difference.mean == pytest.approx(-0.1)
    assert (metrics.difference.low, metrics.difference.high) == pytest.approx(tuple(expected))
    assert (metrics.unseen.images, metrics.unseen.patients, metrics.synthetic.patients) == (8, 4, 20)
    assert (metrics.synthetic.dice, metrics.synthetic.dice_p50, metrics.synthetic.cl_dice) == pytest.approx(
        (0.6, 0.6, 0.3)
    )
    assert metrics.synthetic.dice_p05 == pytest.approx(np.percentile(SYNTHETIC - 0.1, 5))


def test_without_a_holdout_it_cannot_tell(eyes, tmp_path):
    section = _assessed(eyes, tmp_path, unseen=None)
    assert section.verdicts[0].state == State.CANNOT_TELL
    assert section.metrics.unseen is None and section.metrics.difference is None and section.unseen is None
    np.testing.assert_array_equal(section.scores["dice"], SYNTHETIC)


def test_a_segmenter_that_misses_real_vessels_makes_it_invalid(eyes, tmp_path):
    verdict = _assessed(eyes, tmp_path, SYNTHETIC - 0.4, UNSEEN - 0.21).verdicts[0]
    assert (verdict.state, verdict.invalid) == (State.CANNOT_TELL, True)
    assert "0.490" in verdict.sentence


@pytest.mark.once
def test_scores_are_those_of_the_segmenter_at_its_threshold(eyes, tmp_path):
    context = EvaluationContext(**eyes, cache=Cache(tmp_path), settings=Settings(segmenter_steps=2))
    section = fidelity.evaluate(context)
    threshold = segmenters.threshold(context, segmenters.real_arm(context), 0)
    block = eyes["synthetic"].all()
    found = segmenters.find(segmenters.on_real(context), block) >= threshold
    rows = list(zip(block.masks, found, block.fields, strict=True))
    np.testing.assert_allclose(section.scores["dice"], [segmentation.f1(*row) for row in rows])
    np.testing.assert_allclose(section.scores["cl_dice"], [segmentation.cl_dice(*row) for row in rows])
    assert section.metrics.threshold == threshold


@pytest.mark.slow
def test_photographs_that_show_other_masks_fail_and_honest_ones_do_not(tmp_path):
    honest = _eyes(40, 30, 64)
    real = {"train": _eyes(0, 20, 64), "holdout": _eyes(20, 12, 64)}
    settings = Settings(quick=True, seeds=1, segmenter_steps=80, permutations=99)
    found = {}
    for name, synthetic in (("honest", honest), ("shuffled", utility.shuffled(honest))):
        section = fidelity.evaluate(EvaluationContext(synthetic, **real, cache=Cache(tmp_path), settings=settings))
        found[name] = section.verdicts[0].state
    assert found == {"honest": State.PASS, "shuffled": State.FAIL}
