"""The segmenter: its shapes, its reach, its tiles, and what a step asks of its stage."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from synthmed_tf.config.schema import load_config
from synthmed_tf.metrics import segmentation_losses
from synthmed_tf.models import factory, layers
from synthmed_tf.models.segmenter import Segmenter, least_tile, probabilities, tiled_probabilities
from synthmed_tf.training.segmenter_stage import SegmenterStage


def _config(*overrides):
    return load_config("gan", overrides=("size=32", "segmenter.filters=4", "segmenter.levels=2", *overrides))


def _segmenter(levels, norm="batch", filters=4):
    """With weights that make the whole range of probabilities."""
    model, rng = Segmenter(filters, levels, norm), np.random.default_rng(1)
    model(tf.zeros((1, 32, 32, 3)))
    kernels = [2.0 * rng.normal(0, 1 / np.sqrt(np.prod(w.shape[:-1])), w.shape) for w in model.get_weights()]
    model.set_weights([k if k.ndim > 1 else w for k, w in zip(kernels, model.get_weights(), strict=True)])
    return model


def _image(height, width):
    return np.random.default_rng(0).uniform(-1, 1, (height, width, 3)).astype(np.float32)


def _batch(examples=4, size=32):
    rng = np.random.default_rng(2)
    fov = np.zeros((examples, size, size, 1), np.float32)
    fov[:, 4:28, 4:28] = 1.0
    return {
        "image": tf.constant(rng.uniform(-1, 1, (examples, size, size, 3)), tf.float32),
        "coverage": tf.constant(rng.random((examples, size, size, 1)) ** 3, tf.float32),
        "fov": tf.constant(fov),
        "index": tf.range(examples, dtype=tf.int64),
    }


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_logits_have_the_images_size(norm):
    model = factory.segmenter(_config(f"segmenter.norm={norm}"))
    for height, width in ((32, 32), (36, 20)):
        logits = model(tf.zeros((2, height, width, 3)))
        assert logits.shape == (2, height, width, 1) and logits.dtype == tf.float32


def test_the_network_has_the_parameters_of_its_layers():
    blocks = [(3, 4), (4, 8), (8, 16), (16, 8), (8, 4)]  # 16 = 8 from below and 8 across
    convolutions = sum(9 * (a * b + b * b) + 2 * 4 * b for a, b in blocks)
    narrow, head = (16 * 8 + 8) + (8 * 4 + 4), 4 + 1
    assert factory.segmenter(_config()).count_params() == convolutions + narrow + head


def test_an_untrained_network_begins_near_the_share_of_vessels():
    model = factory.segmenter(_config())
    model.to_logits.kernel.assign(tf.zeros_like(model.to_logits.kernel))
    np.testing.assert_allclose(
        probabilities(model, tf.zeros((1, 8, 8, 3))), np.full((1, 8, 8, 1), 1 / (1 + np.exp(2.0))), rtol=1e-6
    )


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_logit_depends_on_the_pixels_within_reach_alone(levels):
    model = _segmenter(levels)
    size = 2 * model.reach + (4 << levels)
    image = tf.constant(_image(size, size)[None])
    middle = size // 2
    with tf.GradientTape() as tape:
        tape.watch(image)
        logit = model(image)[0, middle, middle, 0]
    rows = np.flatnonzero(np.abs(tape.gradient(logit, image)[0]).sum(axis=(1, 2)))
    farthest = max(middle - rows[0], rows[-1] - middle)
    assert model.reach == 7 * 2**levels
    assert model.reach / 2 < farthest <= model.reach


def test_tiles_give_what_the_whole_image_gives():
    model, image = _segmenter(levels=1), _image(150, 203)
    whole = tiled_probabilities(model, image, tile=256)
    assert whole.shape == (150, 203) and whole.std() > 0.05
    padded = np.pad(image, ((0, 0), (0, 1), (0, 0)), constant_values=-1)[None]
    np.testing.assert_allclose(whole, probabilities(model, padded)[0, :, :203, 0], atol=1e-6)
    for tile in (56, 57, 80):
        np.testing.assert_allclose(tiled_probabilities(model, image, tile), whole, atol=1e-5)


def test_tiles_give_the_same_with_flips():
    model, image = _segmenter(levels=1), _image(100, 64)
    whole = tiled_probabilities(model, image, 128, flips=True)
    np.testing.assert_allclose(tiled_probabilities(model, image, 56, flips=True), whole, atol=1e-5)


@pytest.mark.parametrize("levels", [1, 3, 5])
def test_the_smallest_tile_covers_every_pixel(levels):
    def constant(images, training):
        return tf.fill((*images.shape[:3], 1), 0.5)

    model = Segmenter(2, levels)
    model.call = constant
    found = tiled_probabilities(model, np.zeros((9 << levels, 21 << levels, 3), np.float32), least_tile(levels))
    np.testing.assert_allclose(found, np.full_like(found, 1 / (1 + np.exp(-0.5))), rtol=1e-5)


def test_flips_are_the_mean_of_four_mirrored_runs():
    model, images = _segmenter(levels=2), _image(16, 24)[None]
    runs = [
        probabilities(model, images[:, ::down, ::right])[:, ::down, ::right] for down in (1, -1) for right in (1, -1)
    ]
    assert np.abs(runs[0] - runs[3]).max() > 0.05
    np.testing.assert_allclose(probabilities(model, images, flips=True), np.mean(runs, axis=0), atol=1e-6)


def test_a_mirrored_image_gives_the_mirrored_result_with_flips():
    model, images = _segmenter(levels=2), _image(16, 24)[None]
    one, other = (probabilities(model, p, flips=True) for p in (images, images[:, :, ::-1]))
    np.testing.assert_allclose(other[:, :, ::-1], one, atol=1e-6)


def test_the_stages_terms_are_the_losses_inside_the_field_of_view():
    stage, batch = SegmenterStage(_config("segmenter.dice_weight=0.5")), _batch()
    terms = stage.terms(batch)
    logits = stage.network(batch["image"], training=True)
    target = tf.cast(batch["coverage"] > 0.5, tf.float32)
    np.testing.assert_allclose(
        terms["cross_entropy"], segmentation_losses.masked_cross_entropy(target, logits, batch["fov"]), rtol=1e-5
    )
    np.testing.assert_allclose(
        terms["dice"], 0.5 * segmentation_losses.dice_loss(target, logits, batch["fov"]), rtol=1e-5
    )


def test_without_weight_there_is_no_dice_term():
    assert set(SegmenterStage(_config("segmenter.dice_weight=0")).terms(_batch())) == {"cross_entropy"}


def test_what_lies_outside_the_field_of_view_is_not_learnt_from():
    stage, batch = SegmenterStage(_config()), _batch()
    changed = batch | {"coverage": batch["coverage"] * batch["fov"]}
    for name, value in stage.terms(batch).items():
        np.testing.assert_array_equal(stage.terms(changed)[name], value)


def test_the_averaged_network_begins_as_the_trained_one():
    stage = SegmenterStage(_config())
    for one, other in zip(stage.network.get_weights(), stage.network_ema.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_two_replicas_have_the_losses_of_one(two_replicas):
    batch = _batch(4)
    keras.utils.set_random_seed(3)
    one = SegmenterStage(_config()).terms(batch)
    with two_replicas.scope():
        keras.utils.set_random_seed(3)
        stage = SegmenterStage(_config())
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: {
            name: value[2 * context.replica_id_in_sync_group :][:2]  # batch statistics are those of both
            for name, value in batch.items()
        }
    )
    terms = tf.function(lambda given: two_replicas.run(stage.terms, args=(given,)))(halves)
    for name, value in one.items():
        both = np.concatenate([part.numpy() for part in two_replicas.experimental_local_results(terms[name])])
        np.testing.assert_allclose(both, value, rtol=1e-4)


def test_training_finds_a_line_that_is_there():
    stage = SegmenterStage(_config())
    batch, optimizer = _batch(), keras.optimizers.Adam(1e-2)
    line = np.zeros((4, 32, 32, 1), np.float32)
    for i in range(4):
        line[i, 6 + 5 * i, 4:28] = 1.0
    batch |= {"image": tf.constant(np.repeat(line, 3, axis=-1) - 1.0), "coverage": tf.constant(line)}
    optimizer.build(stage.network.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.add_n(list(stage.terms(batch).values())))
        variables = stage.network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    for _ in range(60):
        step()
    found = stage.network(batch["image"], training=False)
    inside = batch["fov"].numpy() > 0
    np.testing.assert_array_equal(found.numpy()[inside] > 0, line[inside] > 0.5)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_gives_float32_losses_that_train(precision):
    stage = SegmenterStage(_config(f"precision={precision}"))
    with tf.GradientTape() as tape:
        terms = stage.terms(_batch())
        loss = tf.reduce_mean(tf.add_n(list(terms.values())))
    gradients = tape.gradient(loss, stage.network.trainable_variables)
    assert stage.network.to_logits.compute_dtype == precision.removeprefix("mixed_")
    assert all(term.dtype == tf.float32 and term.shape == (4,) for term in terms.values())
    assert all(gradient.dtype == tf.float32 and np.isfinite(gradient).all() for gradient in gradients)


def test_the_segmenter_keeps_its_weights_through_a_checkpoint(tmp_path):
    model, other = _segmenter(2), factory.segmenter(_config())
    path = tf.train.Checkpoint(model=layers.plain_variables(model)).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=layers.plain_variables(other)).read(path).assert_consumed()
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
