"""Stage-II as a pyramid: terms by value, replicas, precision, exact resume, and what is generated between steps."""

import functools
import json

import numpy as np
import pytest
import tensorflow as tf
from helpers.steps import (
    COARSE,
    assert_equal_on_replicas,
    make_config,
    one_device,
    random_pairs,
    trained,
    without_last_checkpoint,
)

from synthmed_tf.config.schema import load_config
from synthmed_tf.data import augmentation
from synthmed_tf.models import latents, pyramid
from synthmed_tf.training import run, snapshot
from synthmed_tf.training.renderer_stages import CoarseRendererStage, FineRendererStage, _crops
from synthmed_tf.training.sampling import render_images
from synthmed_tf.training.validation import VALIDATION

STAGES = ("stage2", "stage2_fine")
SLOWLY = ("stage2.optimizer.generator_rate=1e-5", "stage2_fine.learning_rate=1e-5")


def _config(*overrides):
    return make_config("recommended", *COARSE, *overrides)


def _numbers(batch, count, stream):
    index = batch["index"]
    return latents.sample(tf.zeros_like(index), index, count, stream).numpy()


@functools.cache
def _on_one_device(name):
    """Two steps; two tests compare with them, since each compiles for seconds."""
    return trained(name, _config(*SLOWLY), one_device(), 2)


@pytest.mark.parametrize("name", [pytest.param("stage2", marks=pytest.mark.slow), "stage2_fine"])
def test_two_replicas_with_half_the_batch_are_one_with_the_whole(name, two_replicas):
    one, terms_of_one = _on_one_device(name)
    two, terms_of_two = trained(name, _config(*SLOWLY), two_replicas, 2)
    for term, value in terms_of_one.items():
        np.testing.assert_allclose(terms_of_two[term], value, rtol=2e-3, err_msg=term)
    for network in ("network", "network_ema"):
        weights = (getattr(step.stage, network).get_weights() for step in (one, two))
        for a, b in zip(*weights, strict=True):
            np.testing.assert_allclose(b, a, atol=2e-4)
    assert assert_equal_on_replicas(two, two_replicas) > 20


@pytest.mark.once
@pytest.mark.parametrize("name", [pytest.param("stage2", marks=pytest.mark.slow), "stage2_fine"])
def test_mixed_precision_follows_float32(name):
    _, expected = _on_one_device(name)
    _, terms = trained(name, _config(*SLOWLY, "precision=mixed_bfloat16"), one_device(), 2)
    for term, value in expected.items():
        np.testing.assert_allclose(terms[term], value, rtol=0.05, err_msg=term)


def test_an_untrained_network_misses_all_of_the_velocity():
    """Its velocity is 0, so that the loss is the mean square of detail minus noise."""
    stage = FineRendererStage(_config("stage2.colour=0"), random_pairs(64))
    batch = next(iter(stage.batches()))
    share = batch["maps"].numpy()[..., 4:]
    fov = np.round(share)
    light = np.where(share < 0.02, 0, np.minimum(batch["maps"].numpy()[..., :3] / np.maximum(share, 0.02), 1))
    cells = [values.reshape(8, 16, 2, 16, 2, -1).mean(axis=(2, 4)) for values in (light * fov, fov)]
    low, weights = (tf.image.resize(values, (32, 32)).numpy() for values in cells)
    detail = 20 * 2 * (light - low / np.maximum(weights, 1e-6))
    noise = _numbers(batch, 32 * 32 * 3, latents.FLOW_NOISE).reshape(8, 32, 32, 3)
    pixels = fov.sum(axis=(1, 2, 3)) + 1
    by_hand = ((detail * fov - noise) ** 2 * fov).sum(axis=(1, 2, 3)) / (3 * pixels)
    np.testing.assert_allclose(stage.terms(batch)["velocity"], by_hand, rtol=1e-3)


def test_the_coarse_losses_are_those_of_the_thumbnail_and_of_the_crops_of_an_example():
    pairs = random_pairs(64)
    pairs[:, :, :21, 4] = 0
    stage = CoarseRendererStage(_config("stage2.colour=0"), pairs)
    batch = next(iter(stage.batches()))
    maps = batch["maps"].numpy()
    fov = np.where(maps[..., 4:] < 0.02, 0, maps[..., 4:])
    light = np.minimum(maps[..., :3] / np.maximum(fov, 0.02), 1)
    image, inside = np.where(fov > 0, 2 * light - 1, -1), (fov > 0).astype(np.float32)
    assert 0.1 < inside.mean() < 1 and ((fov > 0) & (fov < 0.9)).any()
    terms = stage.terms(batch)

    weights = fov.reshape(8, 8, 4, 8, 4, 1)
    share = weights.mean(axis=(2, 4))
    sums = ((image + 1) * fov).reshape(8, 8, 4, 8, 4, 3).mean(axis=(2, 4))
    thumbnail = 2 * (np.where(share > 0, sums / np.maximum(share, 1e-6), 0) - 1)
    noise = _numbers(batch, 4 * 8 * 8 * 3, latents.THUMBNAIL_FLOW_NOISE).reshape(8, 4, 8, 8, 3)
    within = (share > 0).astype(np.float32)
    error = ((thumbnail[:, None] - noise) ** 2 * within[:, None]).sum(axis=(2, 3, 4)).mean(axis=1)
    np.testing.assert_allclose(terms["thumbnail_velocity"], error / (3 * (within.sum(axis=(1, 2, 3)) + 1)), rtol=0.02)

    # A pixel on the border of the field may fall on either side of the least share.
    _, detail = pyramid.coarse_detail(tf.constant(image, tf.float32), tf.constant(fov))
    unit = (latents.sample(tf.zeros(8, tf.int64), batch["index"], 4, latents.CROP, "uniform") + 1) / 2
    first = 2 * np.floor(unit.numpy() * 9).astype(int)
    noise = _numbers(batch, 2 * 16 * 16 * 3, latents.FLOW_NOISE).reshape(8, 2, 16, 16, 3)
    by_hand = np.zeros(8)
    for row in range(8):
        for crop in range(2):
            top, left = first[row, crop], first[row, 2 + crop]
            here = (row, slice(top, top + 16), slice(left, left + 16))
            error = (detail.numpy()[here] - noise[row, crop]) ** 2 * inside[here]
            by_hand[row] += error.sum() / (3 * (inside[here].sum() + 1)) / 2
    np.testing.assert_allclose(terms["velocity"], by_hand, rtol=0.02)


def test_vessels_of_random_regions_are_hidden_from_the_thumbnails_alone():
    stage = CoarseRendererStage(_config("stage2.colour=0"), random_pairs(64))
    for network in (stage.network.thumbnails, stage.network.network):
        network.to_velocity.kernel.assign(tf.random.stateless_normal(network.to_velocity.kernel.shape, (0, 1)))
    batch = next(iter(stage.batches()))
    normal = _numbers(batch, 26, latents.THUMBNAIL_ERASED)
    line = augmentation.centers(32)[None]
    field = augmentation.smooth_field(line, line, tf.constant(normal[:, 1:])).numpy()
    erased = field >= -0.2 + 0.8 * normal[:, 0, None, None]
    assert 0.4 < erased.mean() < 0.8
    other = np.array(batch["maps"])
    other[..., 3] = np.where(erased, 1 - other[..., 3], other[..., 3])
    terms, changed = stage.terms(batch), stage.terms(batch | {"maps": tf.constant(other)})
    np.testing.assert_array_equal(changed["thumbnail_velocity"], terms["thumbnail_velocity"])
    assert np.abs(changed["velocity"] - terms["velocity"]).max() > 1e-3
    other[..., 3] = 1 - other[..., 3]
    changed = stage.terms(batch | {"maps": tf.constant(other)})["thumbnail_velocity"]
    assert (np.abs(changed - terms["thumbnail_velocity"]) > 1e-3)[(~erased).any(axis=(1, 2))].all()


def test_crops_are_squares_at_even_places():
    image = np.arange(2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8, 1)
    unit = np.float32([[0.0, 0.99, 0.4, 0.0], [0.99, 0.5, 0.99, 0.4]])
    crops = _crops(tf.constant(image), tf.constant(unit), 4).numpy()
    # Three places an axis: 0, 2 and 4. Rows come first, then columns.
    expected = [(0, 0, 2), (0, 4, 0), (1, 4, 4), (1, 2, 2)]
    for crop, (row, top, left) in zip(crops, expected, strict=True):
        np.testing.assert_array_equal(crop, image[row, top : top + 4, left : left + 4])


@pytest.mark.once
def test_images_between_steps_come_from_real_ones_averaged_down_where_there_is_no_coarse_network():
    config, pairs = _config(), random_pairs(64)
    coarse, fine = CoarseRendererStage(config, pairs), FineRendererStage(config, pairs)
    assert render_images(coarse, config, pairs[:2], 0).shape == (2, 32, 32, 3)
    shown = render_images(fine, config, pairs[:2], 0).astype(float)
    assert shown.shape == (2, 64, 64, 3)
    averages = [images.reshape(2, 32, 2, 32, 2, 3).mean(axis=(2, 4)) for images in (shown, pairs[:2, ..., :3])]
    assert np.abs(averages[0] - averages[1]).mean() < 2
    chained = FineRendererStage(config, pairs, coarse.network_ema)
    assert np.abs(render_images(chained, config, pairs[:2], 0) - shown).mean() > 5


TINY = ("stage2.batch_size=4", "stage2_fine.batch_size=4", "stage2.filters=4", "stage2_fine.filters=4")
TINY += ("steps_per_loop=2", "save_every=2", "validate_every=2")


def _train(folder):
    options = (*COARSE, *TINY, "stage2.steps=4", "stage2_fine.steps=4")
    run.train(load_config("recommended", overrides=options), "phantom", folder, ("stage2",), lambda line: None)


@pytest.mark.once
def test_stage2_is_both_networks_and_a_resumed_run_ends_with_the_same_bits(tmp_path):
    _train(tmp_path / "whole")
    _train(without_last_checkpoint(tmp_path / "whole", tmp_path / "resumed", 4))
    for name in STAGES:
        whole, resumed = (snapshot.load(tmp_path / kind / name / "snapshot") for kind in ("whole", "resumed"))
        assert whole.step == resumed.step == 4
        for a, b in zip(whole.weights, resumed.weights, strict=True):
            np.testing.assert_array_equal(a, b)
        metrics = [json.loads(line) for line in (tmp_path / "whole" / name / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in metrics] == [2, 4] and all(VALIDATION in line for line in metrics)
