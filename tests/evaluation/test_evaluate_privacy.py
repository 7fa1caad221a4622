"""Sets whose answer on privacy is known.

The leak of shrinking bandwidth and the weak leak are in `test_attacks`, augmented copies in `test_copy_audit`.
"""

import io

import numpy as np
import pytest
from helpers import evaluating, tiny
from PIL import Image
from scipy import ndimage

from synthmed_tf.data.sources import find_pairs
from synthmed_tf.evaluation import copy_audit, copy_candidates, membership, membership_audit, privacy
from synthmed_tf.evaluation.context import Settings
from synthmed_tf.evaluation.features import appearance
from synthmed_tf.evaluation.nearest_neighbours import vector_distances
from synthmed_tf.evaluation.pairs import Block, load_real
from synthmed_tf.evaluation.transforms import Transform
from synthmed_tf.evaluation.two_sample_tests import robust_scores
from synthmed_tf.evaluation.verdict import State
from synthmed_tf.models import factory
from synthmed_tf.models.chained_generator import Chain

pytestmark = pytest.mark.slow

SIDE, TRAIN, HOLDOUT = 64, 14, 8
SETTINGS = Settings(quick=True, segmenter_steps=100, permutations=199)


@pytest.fixture(scope="module")
def real():
    return evaluating.generated(SIDE, range(TRAIN + HOLDOUT))


@pytest.fixture(scope="module")
def train(real):
    return evaluating.picked(real, range(TRAIN))


@pytest.fixture(scope="module")
def holdout(real):
    return evaluating.picked(real, range(TRAIN, TRAIN + HOLDOUT))


@pytest.fixture(scope="module")
def evaluated(train, holdout, tmp_path_factory):
    """Evaluates a set with the same real pairs; what does not depend on the set is cached."""
    folder = tmp_path_factory.mktemp("cache")
    return lambda synthetic, held=holdout: privacy.evaluate(
        evaluating.make_context(folder, synthetic, train, held, SETTINGS)
    )


def _augmented(block):
    """Mirrored, turned by 10 degrees, shifted, recoloured and compressed."""
    moved = Transform((True, False), 10, 1.0, 0.05, -0.04)
    light = np.stack([moved.warp(block.images[0, ..., c] / 255.0) for c in (2, 0, 1)], axis=-1)
    file = io.BytesIO()
    Image.fromarray(np.rint(200 * light).astype(np.uint8)).save(file, "JPEG", quality=50)
    return Block(
        np.asarray(Image.open(file))[None], moved.warp(block.masks[0])[None], moved.warp(block.fields[0])[None]
    )


def _spliced(block, into):
    masks, images = into.masks.copy(), into.images.copy()
    half = np.s_[:, : SIDE // 2]
    masks[half], images[half] = block.masks[half], block.images[half]
    return Block(images, masks, into.fields)


def _rendered_again(block):
    """Images of these masks by a Stage-II."""
    config = tiny.make_config("gan", f"size={SIDE}")
    generators = (factory.mask_generator(config), factory.image_generator(config))
    for generator in generators:
        generator.set_weights(tiny.random_weights(generator, 0))
    chain = Chain(config, *generators, 0.0, 255 * block.fields[0, ..., None].astype(np.uint8))
    index = np.arange(len(block.masks), dtype=np.int64)
    images = chain.translate(255 * block.masks[..., None].astype(np.uint8), 0 * index, index)["image"].numpy()
    return Block(images * block.fields[..., None], block.masks, block.fields)


def test_copies_of_every_sort_fail_with_the_names_of_their_originals(evaluated, train):
    others = evaluating.generated(SIDE, range(12), seed=9)
    copies = (
        _augmented(evaluating.picked(train, [1])),
        _spliced(evaluating.picked(train, [2]), evaluating.picked(others, [11])),
        _rendered_again(evaluating.picked(train, [3])),
    )
    section = evaluated(evaluating.joined(evaluating.picked(others, range(10)), *copies))
    assert section.verdicts[0].state is State.FAIL
    named = {copy.synthetic: copy.patient for copy in section.metrics.copies}
    assert named == {"synthetic-10": "train-1", "synthetic-11": "train-2", "synthetic-12": "train-3"}


def test_one_exact_copy_in_500_fails_and_is_named(evaluated, train):
    synthetic = evaluating.joined(evaluating.generated(SIDE, range(499), seed=9), evaluating.picked(train, [5]))
    section = evaluated(synthetic)
    assert section.verdicts[0].state is State.FAIL
    [copy] = section.metrics.copies
    assert (copy.synthetic, copy.real) == ("synthetic-499", "train-5")
    assert "synthetic-499 is train-5 of patient train-5" in section.verdicts[0].private[0]


def test_the_training_set_itself_fails_twice(evaluated, train):
    section = evaluated(train)
    copies, membership = section.verdicts
    assert copies.state is State.FAIL and len(section.metrics.copies) == TRAIN
    assert membership.state is State.FAIL
    # all distances are 0, so that U = 0 with 14 synthetic and 8 unseen pairs
    least = (0.5 - TRAIN * HOLDOUT / 2) / np.sqrt(TRAIN * HOLDOUT * (TRAIN + HOLDOUT + 1) / 12)
    assert [one.z for one in section.metrics.nearness] == [pytest.approx(least)] * 2
    assert section.metrics.attacks[0].auc == 1.0


def test_a_holdout_of_another_camera_without_a_leak_is_invalid_and_no_failure(evaluated, holdout):
    dull = ndimage.gaussian_filter(holdout.images, (0, 1.0, 1.0, 0))[..., [1, 0, 2]] // 2
    section = evaluated(evaluating.generated(SIDE, range(12), seed=9), Block(dull, holdout.masks, holdout.fields))
    copies, membership = section.verdicts
    assert copies.state is not State.FAIL
    assert (membership.state, membership.invalid) == (State.CANNOT_TELL, True)
    assert section.metrics.control.fired


@pytest.mark.parametrize("size", [64, 128])
def test_no_child_is_a_copy_of_another_and_augmented_children_are_found(real_data, size):
    found = load_real(find_pairs(real_data / "chase_db1").pairs, size)
    block, patients = found.all(), np.array(found.patients)
    seen = patients < "11"
    gallery = copy_audit.RealGallery(evaluating.picked(block, seen))
    impostors = copy_audit.search_copies(
        evaluating.picked(block, seen), None, gallery, patients[seen][:, None] == patients[seen][None]
    )
    limits = copy_audit.thresholds(impostors["score"], 1000)
    unseen = copy_audit.search_copies(evaluating.picked(block, ~seen), None, gallery)
    assert (np.nan_to_num(unseen["score"]) < np.nan_to_num(limits, nan=1)).all()
    augmented = copy_audit.search_copies(
        copy_audit.augmented(evaluating.picked(block, seen), np.random.default_rng(0)), None, gallery
    )
    own = augmented["real"] == np.arange(seen.sum())[:, None]
    assert all(
        search.recall == 1
        for search in copy_audit.searches(unseen["score"], impostors["score"], augmented["score"], own, limits)
    )


POOL, SYNTHETIC, TIMES = 140, 60, 200


@pytest.fixture(scope="module")
def pool():
    """Honest pairs: their scores against a fixed gallery, and the distances of all to all."""
    block = evaluating.generated(SIDE, range(POOL), seed=42)
    gallery = copy_audit.RealGallery(evaluating.generated(SIDE, range(TRAIN + HOLDOUT), seed=41))
    scores = copy_audit.search_copies(block, None, gallery)["score"]
    posed = copy_candidates.posed(block.masks, copy_candidates.poses(copy_audit.FLIPS))
    similarity = copy_candidates.similarity(block.masks, posed)[0][0]
    features = np.array([list(appearance(*row).values()) for row in zip(block.images, block.fields, strict=True)])
    return scores, np.clip(1 - similarity, 0, None).astype(float), features


def _honest(pool, rng):
    """Train, holdout and synthetic set from the pool: the verdict on membership."""
    _, away, features = pool
    order = rng.permutation(POOL)
    ours, others = order[: TRAIN + HOLDOUT], order[-SYNTHETIC:]
    member, patients = np.arange(len(ours)) < TRAIN, np.arange(len(ours)).astype(str)
    near, scores = [], {}
    scaled = robust_scores(features[ours], features[others])
    images = (vector_distances(scaled[1], scaled[0]), vector_distances(scaled[0], scaled[0]))
    for what, (to_real, among) in {
        "mask": (away[np.ix_(others, ours)], away[np.ix_(ours, ours)]),
        "image": images,
    }.items():
        between = among[np.ix_(~member, member)]
        near.append(membership.nearness(what, to_real, between, member, patients, rng, 199))
        scores |= dict(membership.distance_scores(what, to_real.T, None))
    attacks = membership.attack_all(scores, member, patients, rng)
    control = membership.control(features[ours], member, patients, rng, 199)
    return membership_audit.answer(*membership.adjusted(attacks, near), control).state


@pytest.mark.parametrize("impostors", [4, 8, TRAIN + HOLDOUT])
def test_real_against_real_is_seldom_a_copy_however_few_the_impostors(pool, impostors):
    scores, alarms = pool[0], 0
    for seed in range(TIMES):
        order = np.random.default_rng(seed).permutation(POOL)
        limits = copy_audit.thresholds(scores[order[:impostors]], SYNTHETIC)
        alarms += np.nanmax(scores[order[-SYNTHETIC:]] - limits) >= 0
    assert alarms <= 0.05 * TIMES


def test_real_against_real_seldom_fails(pool):
    states = [_honest(pool, np.random.default_rng(seed)) for seed in range(TIMES)]
    assert states.count(State.FAIL) <= 0.05 * TIMES
    assert State.PASS not in states  # 14 and 8 patients exclude nothing
