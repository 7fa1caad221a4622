"""The segmenters of the evaluation: what they are trained on, that they are cached, and what they find."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from synthmed_tf.data.phantom import generate_phantoms
from synthmed_tf.data.pipeline import stack_samples
from synthmed_tf.evaluation import segmenters
from synthmed_tf.evaluation.context import Cache, EvaluationContext, Settings
from synthmed_tf.evaluation.pairs import ArrayPairs, Block
from synthmed_tf.metrics import segmentation
from synthmed_tf.metrics.segmentation import best_threshold

SIZE = 64


def _pairs(first, count):
    samples = generate_phantoms(SIZE, first + count, seed=1)[first:]
    block = Block(
        np.stack([sample.image for sample in samples]),
        np.stack([sample.mask[..., 0] >= 128 for sample in samples]),
        np.stack([sample.fov[..., 0] >= 128 for sample in samples]),
    )
    return ArrayPairs(block, [sample.name for sample in samples])


@pytest.fixture(scope="module")
def train():
    return _pairs(0, 6)


def _context(folder, train, steps=3, **more):
    settings = Settings(segmenter_steps=steps)
    return EvaluationContext(train, train, None, Cache(folder), settings, **more)


def test_rows_are_chosen_evenly():
    np.testing.assert_array_equal(segmenters.evenly(3, 5), [0, 1, 2])
    np.testing.assert_array_equal(segmenters.evenly(10, 4), [0, 2, 5, 7])


def test_the_training_array_is_as_the_pipeline_has_it_and_no_larger_than_what_is_sampled(train):
    array = segmenters.training_array(train, 3)
    block = train.read([0, 2, 4])
    assert (array.shape, array.dtype) == ((3, SIZE, SIZE, 5), np.uint8)
    np.testing.assert_array_equal(array[..., :3], block.images)
    np.testing.assert_array_equal(array[..., 3] == 255, block.masks)
    np.testing.assert_array_equal(array[..., 4] == 255, block.fields)
    samples = generate_phantoms(SIZE, 6, seed=1)
    np.testing.assert_array_equal(segmenters.training_array(train, 99)[..., 4], stack_samples(samples)[..., 4])


def test_the_training_array_has_a_largest_size():
    assert segmenters.most_pairs(128) == 2000
    assert segmenters.most_pairs(512) == 409  # 512 MB at 5 bytes a pixel
    assert segmenters.most_pairs(20_000) == 1


def test_nothing_is_found_outside_the_field_and_the_batch_does_not_matter(train):
    model = segmenters.untrained(SIZE, 0)
    block = train.read([0, 1, 2] * 7)
    found = segmenters.find(model, block)
    assert (found.shape, found.dtype) == ((21, SIZE, SIZE), np.float32)
    assert not found[~block.fields].any()
    seen = tf.constant(block.images[:1] / np.float32(127.5) - np.float32(1.0))
    expected = tf.sigmoid(model(seen, training=False)).numpy()[0, ..., 0] * block.fields[0]
    for row in (0, 18):
        np.testing.assert_allclose(found[row], expected, atol=1e-6)


def test_what_lies_outside_the_field_is_not_seen(train):
    model, block = segmenters.untrained(SIZE, 0), train.read([0])
    lit = np.where(block.fields[..., None], block.images, np.uint8(200))
    again = segmenters.find(model, Block(lit, block.masks, block.fields))
    np.testing.assert_array_equal(segmenters.find(model, block), again)


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    """A case whose segmenter was trained for three steps, the segmenter, and what was reported."""
    seen = []
    context = _context(tmp_path_factory.mktemp("cache"), train, progress=lambda *facts: seen.append(facts))
    return context, segmenters.on_real(context), seen


def _assert_equal_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_segmenter_is_trained_once_and_reports_its_steps(trained):
    context, model, seen = trained
    _assert_equal_weights(segmenters.on_real(context), model)
    assert seen == [("segmenter real/0", 3, 3)]


def test_the_same_training_gives_the_same_weights(trained, train, tmp_path):
    _assert_equal_weights(segmenters.on_real(_context(tmp_path, train)), trained[1])


def test_another_seed_begins_with_other_weights():
    one, other = (segmenters.untrained(SIZE, seed).get_weights()[0] for seed in (0, 1))
    assert np.abs(one - other).max() > 0.01


@pytest.mark.parametrize(
    "change",
    [
        lambda context, arm: (context, arm, 1),
        lambda context, arm: (context, replace(arm, name="other"), 0),
        lambda context, arm: (context, replace(arm, sets=arm.sets * 2), 0),
        lambda context, arm: (context, replace(arm, augmented=False), 0),
        lambda context, arm: (replace(context, settings=Settings(segmenter_steps=4)), arm, 0),
        lambda context, arm: (replace(context, settings=Settings(segmenter_steps=3, seed=1)), arm, 0),
    ],
    ids=["seed", "arm", "pairs", "augmentation", "steps", "seed of all"],
)
def test_the_key_names_all_that_the_weights_depend_on(change, train, tmp_path):
    context = _context(tmp_path, train)
    assert segmenters.key(*change(context, segmenters.real_arm(context))) != segmenters.key_on_real(context)


def test_the_threshold_is_the_best_for_the_training_pairs(trained):
    context, model, _ = trained
    block = context.train.all()
    expected = best_threshold(block.masks, segmenters.find(model, block), block.fields)
    assert segmenters.threshold(context, segmenters.real_arm(context), 0) == expected


def test_a_mixed_batch_has_as_many_pairs_of_each_set(train):
    dark, bright = (segmenters.training_array(train, 9) for _ in range(2))
    dark[..., :3], bright[..., :3] = 0, 255
    for batch in segmenters.batches([dark, bright], 0, augmented=False).take(3):
        inside = batch["fov"].numpy()[..., 0] > 0
        seen = [image[mask].mean() for image, mask in zip(batch["image"].numpy(), inside, strict=True)]
        assert seen == [-1] * 4 + [1] * 4


@pytest.mark.slow
def test_vessels_of_unseen_eyes_are_found(tmp_path):
    context = _context(tmp_path, _pairs(0, 30), steps=150)
    block = _pairs(40, 8).all()
    found = segmenters.find(segmenters.on_real(context), block) >= 0.5
    dice = [segmentation.f1(*row) for row in zip(block.masks, found, block.fields, strict=True)]
    assert np.mean(dice) > 0.75
