"""The adversarial step by value: replicas, lazy R1, update counts, and the terms of both stages."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from helpers.steps import PLAIN, assert_equal_on_replicas, make_config, one_device, random_pairs, trained

from synthmed_tf.data import augmentation, pipeline
from synthmed_tf.models import latents
from synthmed_tf.training import losses
from synthmed_tf.training.adversarial import AdversarialStep
from synthmed_tf.training.stages import ImageStage, MaskStage, condition

CONFIG = make_config("gan", *PLAIN, "stage1.norm=instance", "stage1.r1_interval=2")


@functools.cache
def _on_one_device(name):
    """Three steps; several tests look at them, since each compiles for seconds."""
    return trained(name, CONFIG, one_device(), 3)


@functools.cache
def _papers_stage1(two_replicas):
    return trained("stage1", make_config("paper"), two_replicas, 3)[0]


@pytest.mark.parametrize("name", ["stage1", "stage2"])
def test_two_replicas_with_half_the_batch_are_one_with_the_whole(name, two_replicas):
    one, terms_of_one = _on_one_device(name)
    two, terms_of_two = trained(name, CONFIG, two_replicas, 3)
    for term, value in terms_of_one.items():
        np.testing.assert_allclose(terms_of_two[term], value, rtol=2e-3, err_msg=term)
    for network in ("generator", "discriminator", "generator_ema"):
        for a, b in zip(
            getattr(one.stage, network).get_weights(), getattr(two.stage, network).get_weights(), strict=True
        ):
            np.testing.assert_allclose(b, a, atol=2e-4)
    assert assert_equal_on_replicas(two, two_replicas) > 20


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        # The test above compares them with another normalization and optimizer.
        pytest.param("stage1", "gan", marks=pytest.mark.slow),
        pytest.param("stage2", "gan", marks=pytest.mark.slow),
        ("stage2", "paper"),
        ("segmenter", "demo"),
    ],
)
def test_every_variable_is_equal_on_every_replica(name, preset, two_replicas):
    step, _ = trained(name, make_config(preset), two_replicas, 2)
    assert assert_equal_on_replicas(step, two_replicas) > 20


def test_every_variable_of_the_papers_stage1_is_equal_on_every_replica(two_replicas):
    assert assert_equal_on_replicas(_papers_stage1(two_replicas), two_replicas) > 20


def test_the_generator_is_updated_as_often_as_configured(two_replicas):
    step = _papers_stage1(two_replicas)
    iterations = (update.optimizer.iterations for update in (step.generator_update, step.discriminator_update))
    assert [int(tf.convert_to_tensor(count)) for count in (*iterations, step.global_step)] == [6, 3, 3]


def test_r1_is_computed_when_it_is_due_and_weighs_as_many_times_more():
    step, terms = _on_one_device("stage1")
    batch = next(iter(pipeline.batches(random_pairs(), 8, 0, augmentation.Ranges())))
    due = step._lazy_r1(batch, tf.constant(4, tf.int64))
    np.testing.assert_allclose(due, 2.0 * 2 * step.stage.r1_term(batch), rtol=1e-5)
    np.testing.assert_array_equal(step._lazy_r1(batch, tf.constant(5, tf.int64)), np.zeros(8))
    assert terms["discriminator/r1"] > 0


def test_metrics_are_means_over_steps_and_add_up():
    _, terms = _on_one_device("stage2")
    for network in ("generator", "discriminator"):
        parts = [value for key, value in terms.items() if key.startswith(network) and not key.endswith("loss")]
        np.testing.assert_allclose(sum(parts), terms[f"{network}/loss"], rtol=1e-5)
    assert set(terms) == {
        *(f"generator/{term}" for term in ("adversarial", "l1", "features", "kl", "style", "loss")),
        *(f"discriminator/{term}" for term in ("adversarial", "loss")),
    }


def _generator_terms(stage, batch, generated):
    return stage.generator_terms(
        batch, generated, stage.discriminate_generated(batch, generated), stage.discriminate_real(batch)
    )


@pytest.mark.parametrize("updates", ["simultaneous", "alternating"])
@pytest.mark.parametrize("name", ["stage1", "stage2"])
def test_a_step_follows_the_gradient_of_its_loss(name, updates):
    """The generator's two-part gradient is that of its loss as a whole, and the discriminator's that of its own."""
    config = make_config("gan", "stage2.style_weight=0", "stage2.kl_weight=0", f"{name}.r1_gamma=0")
    with one_device().scope():
        stage = MaskStage(config, np.ones((32, 32, 1), np.float32)) if name == "stage1" else ImageStage(config)
        step = AdversarialStep(stage, one_device())
    batch = next(iter(pipeline.batches(random_pairs(), 8, 0, augmentation.Ranges())))
    with tf.GradientTape(persistent=True) as tape:
        generated = stage.generate(batch, 0)
        terms = _generator_terms(stage, batch, generated)
        generator_loss = tf.add_n([tf.reduce_mean(term) for term in terms.values()])
        logits = (stage.discriminate_real(batch)[0], stage.discriminate_generated(batch, generated)[0])
        discriminator_loss = tf.reduce_mean(losses.discriminator_loss(*logits))
    expected = tape.gradient(discriminator_loss, stage.discriminator.trainable_variables)
    expected += tape.gradient(generator_loss, stage.trained_with_generator)
    applied = []
    for update in (step.discriminator_update, step.generator_update):
        update.optimizer.apply_gradients = lambda pairs: applied.extend(gradient for gradient, _ in pairs)
    take = {"simultaneous": step._update_both, "alternating": step._update_in_turn}[updates]
    take(batch, tf.constant(0, tf.int64))
    for gradient, by_hand in zip(applied, expected, strict=True):
        np.testing.assert_allclose(gradient, by_hand, atol=1e-5)


def test_half_of_the_examples_are_compared_with_their_image():
    stage = ImageStage(make_config())
    batch = next(iter(pipeline.batches(random_pairs(), 8, 0, augmentation.Ranges())))
    generated = stage.generate(batch, 0)
    l1 = _generator_terms(stage, batch, generated)["l1"].numpy()
    by_hand = 2 * stage.config.l1_weight * np.mean(np.abs(generated["image"] - batch["image"]), axis=(1, 2, 3))
    np.testing.assert_allclose(l1[::2], by_hand[::2], rtol=1e-5)
    np.testing.assert_array_equal(l1[1::2], 0)
    seeds = tf.zeros(8, tf.int64)
    prior = latents.sample(seeds, batch["index"], stage.config.style_dim, latents.TRAIN_STYLE)
    np.testing.assert_array_equal(generated["style"][1::2], prior[1::2])


def test_stage1_sees_vessels_inside_the_field_of_view_alone():
    fov = np.zeros((32, 32, 1), np.float32)
    fov[:, :16] = 1
    stage = MaskStage(make_config("gan", "stage1.augment.shift=0"), fov)
    seen = stage._seen(tf.ones((2, 32, 32, 1)), {"index": tf.range(2, dtype=tf.int64)}, latents.AUGMENT_REAL).numpy()
    assert np.all(seen[:, :, :16] == 1) and np.all(seen[:, :, 16:] == -1)


def test_conditions_are_two_valued():
    coverage = tf.constant([0.0, 0.49, 0.5, 1.0], shape=(1, 2, 2, 1))
    given = condition(coverage, tf.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(given[0, ..., 0], [[-1, -1], [1, 1]])
    np.testing.assert_array_equal(given[0, ..., 1], np.ones((2, 2)))


def test_the_papers_losses_are_cross_entropies_and_l1_with_equal_weight():
    stage = ImageStage(make_config("paper"))
    batch = next(iter(pipeline.batches(random_pairs(), 8, 0, augmentation.Ranges())))
    generated = stage.generate(batch, 0)
    terms = _generator_terms(stage, batch, generated)
    assert set(terms) == {"adversarial", "l1"}
    np.testing.assert_allclose(terms["l1"], losses.l1_loss(batch["image"], generated["image"]))
