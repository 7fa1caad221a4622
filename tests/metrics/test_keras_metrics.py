"""Streaming metrics against the functions on arrays, batch by batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from synthmed_tf.data.phantom import generate_phantoms
from synthmed_tf.evaluation import kid_fid
from synthmed_tf.metrics import segmentation
from synthmed_tf.metrics.keras_metrics import KID, MaskedClDice, MaskedDice


@pytest.fixture(scope="module")
def images():
    """Masks, probabilities that are right more often than not, and fields of five eyes, `(5, 64, 64, 1)`."""
    samples = generate_phantoms(64, 5, seed=0)
    masks = np.stack([sample.mask >= 128 for sample in samples])
    probabilities = 0.6 * masks + 0.5 * np.random.default_rng(0).random(masks.shape)
    fields = np.stack([sample.fov >= 128 for sample in samples])
    fields[:, :20] = False
    return masks, probabilities.astype(np.float32), fields


@pytest.mark.parametrize(("metric", "score"), [(MaskedDice, segmentation.f1), (MaskedClDice, segmentation.cl_dice)])
def test_the_mean_over_batches_is_that_over_images(metric, score, images):
    masks, probabilities, fields = images
    made = metric(threshold=0.4)

    @tf.function
    def update(mask, probability, field):
        made.update_state(mask, probability, sample_weight=field)

    for rows in (slice(0, 3), slice(3, 5)):
        update(masks[rows].astype(np.float32), probabilities[rows], fields[rows].astype(np.float32))
    expected = [score(m[..., 0], p[..., 0] >= 0.4, f[..., 0]) for m, p, f in zip(*images, strict=True)]
    assert 0.3 < np.mean(expected) < 0.95
    assert float(made.result()) == pytest.approx(np.mean(expected), abs=1e-6)


@pytest.mark.parametrize("metric", [MaskedDice, MaskedClDice])
def test_without_a_field_every_pixel_counts_and_a_reset_forgets(metric, images):
    masks, probabilities, fields = images
    made = metric()
    made.update_state(masks, probabilities, fields)
    made.reset_state()
    assert float(made.result()) == 0
    made.update_state(masks[..., 0], masks[..., 0].astype(np.float32))
    assert float(made.result()) == 1


def test_an_image_without_vessels_is_right_if_none_is_found():
    made = MaskedDice()
    empty, full = np.zeros((1, 4, 4, 1), np.float32), np.ones((1, 4, 4, 1), np.float32)
    made.update_state(empty, empty)
    assert float(made.result()) == 1
    made.update_state(empty, full)
    assert float(made.result()) == 0.5


def test_dice_is_a_metric_of_model_evaluate(images):
    masks, probabilities, fields = images
    model = keras.Sequential([keras.layers.Input((64, 64, 1)), keras.layers.Activation("linear")])
    model.compile(loss="mse", weighted_metrics=[MaskedDice()])
    found = model.evaluate(
        probabilities, masks.astype(np.float32), sample_weight=fields[..., 0].astype(np.float32), verbose=0
    )
    expected = [segmentation.f1(m, p >= 0.5, f) for m, p, f in zip(*images, strict=True)]
    assert found[-1] == pytest.approx(np.mean(expected), abs=1e-6)


def test_kid_over_batches_is_kid_over_all_rows():
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(size=(30, 6)), rng.normal(0.3, 1.2, (21, 6))
    made = KID(6, capacity=32)

    @tf.function
    def update(real_rows, synthetic_rows):
        made.update_state(real_rows, synthetic_rows)

    for rows in (slice(0, 11), slice(11, 30)):
        update(tf.constant(real[rows]), tf.constant(synthetic[rows]))
    expected = kid_fid.kid(real, synthetic, rng, permutations=1).value
    assert float(made.result()) == pytest.approx(expected, rel=1e-4)


def test_kid_by_hand():
    made = KID(2, capacity=4)
    made.update_state([[0.0, 0.0], [2.0, 0.0]], [[0.0, 2.0], [0.0, 2.0]])
    # within real (0 / 2 + 1)^3 = 1, within synthetic (4 / 2 + 1)^3 = 27, between all 1
    assert float(made.result()) == pytest.approx(26)


def test_kid_refuses_more_rows_than_there_is_room_for():
    made = KID(2, capacity=3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="KID keeps 3 rows"):
        made.update_state(np.zeros((4, 2)), np.zeros((1, 2)))


@pytest.mark.parametrize("made", [MaskedDice(threshold=0.3), MaskedClDice("lines"), KID(3, 7)])
def test_a_metric_is_made_again_from_its_config(made):
    again = type(made).from_config(made.get_config())
    assert again.get_config() == made.get_config()
