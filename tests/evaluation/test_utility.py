"""The utility section: its arms, its verdict on planted scores, and the whole of it on procedural trees."""

import math

import numpy as np
import pytest

from synthmed_tf.data.phantom import generate_phantoms
from synthmed_tf.evaluation import comparison, utility
from synthmed_tf.evaluation.context import Cache, EvaluationContext, Settings
from synthmed_tf.evaluation.pairs import ArrayPairs, Block
from synthmed_tf.evaluation.utility import MIXED, PLAIN, REAL, SHUFFLED, STAGE2_ON_REAL_MASKS, SYNTHETIC
from synthmed_tf.evaluation.verdict import LeftOut, State
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.metrics import segmentation

SIZE = 64


def _eyes(first, count, size=SIZE, each=1):
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
    return {"train": _eyes(0, 6, 32, each=2), "holdout": _eyes(6, 8, 32, each=2), "synthetic": _eyes(20, 5, 32)}


@pytest.fixture
def context(eyes, tmp_path):
    return EvaluationContext(**eyes, cache=Cache(tmp_path))


def _planted(context, seeds=2, **dice):
    """Scores of arms, each `(holdout pairs,)` of mean Dice; the seeds lie 0.01 apart."""
    count = len(context.holdout)

    def scored(values, seed):
        image = {name: np.full(count, 0.5) for name in ("cl_dice", "auc", "mcc")}
        image["dice"] = np.broadcast_to(values, count) + 0.01 * (seed - (seeds - 1) / 2)
        image |= {name: np.full(count, 100) for name in segmentation.COUNTS}
        return utility.Segmented(0.25, {"holdout": image})

    planted = {name: tuple(scored(values, seed) for seed in range(seeds)) for name, values in dice.items()}
    made = tuple(utility.Arm(name, (context.train,)) for name in dice)
    return utility.assess(context, made, (), planted)


def _verdict(context, **dice):
    return _planted(context, **dice).verdicts[0]


REAL_DICE = np.linspace(0.7, 0.8, 8)
NOISE = np.array([0.004, -0.002, 0.001, -0.003, 0.002, 0.001, -0.001, -0.002])


@pytest.mark.parametrize(
    ("change", "state"), [(0.01, State.PASS), (-0.021, State.CANNOT_TELL), (-0.06, State.FAIL)], ids=str
)
def test_the_state_follows_the_difference(change, state, context):
    verdict = _verdict(context, real=REAL_DICE, synthetic=REAL_DICE + change + NOISE, shuffled=np.full(8, 0.2))
    assert (verdict.question, verdict.state, verdict.invalid) == ("utility", state, False)
    assert f"{change:+.3f}" in verdict.sentence
    assert (verdict.needed is None) == (state != State.CANNOT_TELL)


def test_what_is_needed_is_said_in_patients(context):
    noise = NOISE * 5
    verdict = _verdict(context, real=REAL_DICE, synthetic=REAL_DICE - 0.015 + noise)
    sd = comparison.per_patient(noise, context.holdout.patients).std(ddof=1)
    assert f"about {comparison.units_needed(0.005, sd)} unseen patients" in verdict.needed


def test_seeds_are_averaged_and_patients_are_the_unit(context):
    section = _planted(context, real=REAL_DICE, synthetic=REAL_DICE - 0.03 + NOISE)
    patient, image = section.metrics.compared
    by_patient = comparison.per_patient(NOISE - 0.03, context.holdout.patients)
    expected = comparison.paired(by_patient, np.zeros(4), np.random.default_rng(0))
    assert (patient.unit, patient.units, patient.least_p) == ("patient", 4, 2 / 16)
    assert (patient.mean, patient.low, patient.high) == pytest.approx((expected.mean, expected.low, expected.high))
    assert (image.unit, image.units, image.least_p) == ("image", 8, 2 / 256)
    result = section.metrics.results[0]
    assert (result.arm, result.images, result.patients) == ("real", 8, 4)
    assert (result.dice, result.dice_sd) == pytest.approx((0.75, 0.01 / math.sqrt(2)))
    assert (result.pooled_dice, result.macro_f1) == (0.5, 0.5)


def test_real_pairs_no_better_than_shuffled_ones_make_it_invalid(context):
    verdict = _verdict(context, real=REAL_DICE, synthetic=REAL_DICE, shuffled=REAL_DICE - 0.09)
    assert (verdict.state, verdict.invalid) == (State.CANNOT_TELL, True)
    assert "+0.090" in verdict.sentence


def test_one_patient_cannot_tell(eyes, tmp_path):
    context = EvaluationContext(**eyes | {"holdout": _eyes(6, 2, 32, each=2)}, cache=Cache(tmp_path))
    verdict = _verdict(
        context, real=np.array([0.8, 0.8]), synthetic=np.array([0.5, 0.5]), shuffled=np.array([0.1, 0.1])
    )
    assert (verdict.state, verdict.invalid) == (State.CANNOT_TELL, False)
    assert "one patient gives no interval" in verdict.sentence and verdict.needed == "more unseen patients"


def test_without_test_pairs_nothing_is_trained(eyes, tmp_path):
    section = utility.evaluate(EvaluationContext(**eyes | {"holdout": None}, cache=Cache(tmp_path)))
    assert section.verdicts[0].state == State.CANNOT_TELL
    assert (section.metrics.arms, {one.name for one in section.metrics.left_out}) == ((), set(utility.MEANINGS))
    assert not list(tmp_path.iterdir())


def test_each_arm_is_there_or_has_a_reason(context, eyes, tmp_path):
    found, left_out = utility.arms_of(context)
    assert {arm.name for arm in found} == {REAL, SYNTHETIC, MIXED, PLAIN, SHUFFLED}
    reason = "the artifact was not given (--artifact)"
    assert left_out == (LeftOut(name=STAGE2_ON_REAL_MASKS, reason=reason),)
    quick = EvaluationContext(**eyes, cache=Cache(tmp_path), settings=Settings(quick=True))
    found, left_out = utility.arms_of(quick)
    assert {arm.name for arm in found} == {REAL, SYNTHETIC, MIXED, SHUFFLED}
    assert {one.name for one in left_out} == {PLAIN, STAGE2_ON_REAL_MASKS}


def test_a_shuffled_mask_is_that_of_another_patient():
    pairs = _eyes(0, 7, 32, each=3)
    block, moved = pairs.all(), utility.shuffled(pairs).all()
    np.testing.assert_array_equal(moved.images, block.images)
    whose = [int(np.argmax([np.array_equal(mask, other) for other in block.masks])) for mask in moved.masks]
    assert sorted(whose) == list(range(7))
    assert all(pairs.patients[i] != pairs.patients[j] for i, j in enumerate(whose))


def test_masks_cannot_be_shuffled_where_one_patient_has_most_images(eyes, tmp_path):
    context = EvaluationContext(**eyes | {"train": _eyes(0, 5, 32, each=3)}, cache=Cache(tmp_path))
    [left_out] = [one for one in utility.arms_of(context)[1] if one.name == SHUFFLED]
    assert "phantom_00000 has 3 of 5 images" in left_out.error and "phantom" not in left_out.reason


def test_generated_pairs_are_stage_two_on_real_masks(tiny_artifact, eyes, tmp_path):
    context = EvaluationContext(**eyes | {"synthetic": _eyes(0, 13, 32)}, cache=Cache(tmp_path), artifact=tiny_artifact)
    generated = utility.Stage2OnRealMasks(context)
    assert len(generated) == 12  # two styles of six masks
    masks = context.train.all().masks
    block = generated.read([7, 2])
    opened = open_artifact(tiny_artifact, "savedmodel")
    expected = opened.translate(masks[[1, 2], ..., None] * np.uint8(255), np.zeros(2, int), np.array([7, 2]))
    np.testing.assert_array_equal(block.images, expected)
    np.testing.assert_array_equal(block.masks, masks[[1, 2]] & block.fields)
    np.testing.assert_array_equal(block.fields[0], generated.read(range(12)).images.max(axis=(0, 3)) > 0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One cache, so that real and shuffled pairs are learnt once."""
    return tmp_path_factory.mktemp("shared")


def _evaluated(synthetic, folder):
    settings = Settings(quick=True, seeds=1, segmenter_steps=80, permutations=99)
    context = EvaluationContext(synthetic, _eyes(0, 20), _eyes(20, 8), Cache(folder), settings)
    section = utility.evaluate(context)
    return section.verdicts[0], {result.arm: result.dice for result in section.metrics.results}


@pytest.mark.slow
def test_the_training_set_itself_is_as_useful_as_the_training_set(shared):
    verdict, dice = _evaluated(_eyes(0, 20), shared)
    assert verdict.state == State.PASS
    assert dice[SYNTHETIC] == dice[REAL] > dice[SHUFFLED] + 0.3


@pytest.mark.slow
def test_shuffled_masks_are_worth_no_more_than_the_floor(shared):
    verdict, dice = _evaluated(utility.shuffled(_eyes(30, 40)), shared)
    assert verdict.state == State.FAIL
    assert dice[SYNTHETIC] == pytest.approx(dice[SHUFFLED], abs=0.06)
    assert dice[REAL] > dice[SHUFFLED] + 0.3
