"""Styles are generated as those of the training photographs are distributed."""

import json

import numpy as np
import pytest
import tensorflow as tf
from helpers.tiny import make_config

from synthmed_tf.data.pipeline import FOV, IMAGE
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.exporter import _identity, make_chain
from synthmed_tf.models import latents, style_prior
from synthmed_tf.models.style_prior import StylePrior
from synthmed_tf.training import snapshot
from synthmed_tf.training.sampling import fit_styles, generate_images
from synthmed_tf.training.stages import ImageStage


@pytest.fixture(scope="module")
def prior():
    return StylePrior(np.float32([1, -2, 0]), np.float32([[2, 0, 0], [1, 0.5, 0], [0, 0, 1]]))


@pytest.fixture(scope="module")
def stage():
    return ImageStage(make_config("gan"))


@pytest.fixture(scope="module")
def pairs():
    return np.random.default_rng(0).integers(0, 256, (20, 32, 32, 5), np.uint8)


@pytest.fixture
def with_styles(tiny_run, prior):
    """Both snapshots of the tiny run, Stage-II's with styles."""
    masks, images = (snapshot.load(tiny_run / name / "snapshot") for name in ("stage1", "stage2"))
    return masks, snapshot.Snapshot(**(vars(images) | {"styles": prior}))


def test_the_covariance_is_that_of_the_means_plus_the_mean_variance():
    fitted = style_prior.fit(np.float32([[0, 1], [2, 5]]), np.log(np.float32([[1, 3], [3, 5]])))
    np.testing.assert_allclose(fitted.mean, [1, 3])
    np.testing.assert_allclose(fitted.factor @ fitted.factor.T, [[2 + 2, 4], [4, 8 + 4]], rtol=1e-6)
    assert fitted.factor[0, 1] == 0


def test_styles_without_a_spread_of_their_own_have_a_distribution_too():
    fitted = style_prior.fit(np.float32([[0, 0, 0], [2, 2, 2]]), np.full((2, 3), -80, np.float32))
    np.testing.assert_allclose(fitted.factor @ fitted.factor.T, np.full((3, 3), 2), atol=1e-5)


def test_one_number_is_a_style_too():
    fitted = style_prior.fit(np.float32([[1], [3]]), np.zeros((2, 1), np.float32))
    np.testing.assert_allclose((fitted.mean, fitted.factor[0]), [[2], [np.sqrt(3)]], rtol=1e-6)


def test_styles_of_normal_numbers(prior):
    for kind in (np.asarray, tf.constant):
        np.testing.assert_allclose(prior.style(kind(np.float32([[0, 0, 0], [1, 2, 3]]))), [[1, -2, 0], [3, 0, 3]])


def test_what_is_fitted_is_what_the_encoder_reads_from_the_images(stage, pairs):
    config = make_config("gan")
    fitted = fit_styles(stage, config, pairs)
    seen = pairs[..., IMAGE] * (pairs[..., FOV] >= 128) / np.float32(127.5) - np.float32(1)
    means, log_variances = (moments.numpy() for moments in stage.encoder(seen))
    expected = np.cov(means, rowvar=False) + np.diag(np.exp(log_variances).mean(axis=0))
    np.testing.assert_allclose(fitted.mean, means.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(fitted.factor @ fitted.factor.T, expected, atol=1e-5)


def test_nothing_is_fitted_where_there_is_no_style_or_it_is_not_asked_for(stage, pairs):
    assert fit_styles(stage, make_config("gan", "stage2.calibrate_styles=false"), pairs) is None
    paper = make_config("paper")
    assert fit_styles(ImageStage(paper), paper, pairs) is None


def test_generated_images_have_the_fitted_styles(stage, pairs, prior):
    config = make_config("gan")
    generated = generate_images(stage, config, pairs[:2], 5, prior)
    zeros, index = tf.zeros(2, tf.int64), tf.constant([5, 6], tf.int64)
    style = latents.sample(zeros, index, 3, latents.STYLE).numpy() @ prior.factor.T + prior.mean
    condition = np.where(pairs[:2, ..., 3:] >= 128, np.float32(1), np.float32(-1))
    expected = np.round((stage.generator_ema(condition, tf.constant(style)).numpy() + 1) * 127.5)
    np.testing.assert_allclose(generated, expected, atol=1)


def test_the_chain_generates_with_them_and_takes_normal_numbers(with_styles, prior, tiny_run):
    plain = make_chain(with_styles[0], snapshot.load(tiny_run / "stage2" / "snapshot"), tiny_run)
    chain = make_chain(*with_styles, tiny_run)
    latent = tf.constant(np.random.default_rng(1).normal(size=(3, 6)), tf.float32)
    normal = np.random.default_rng(2).normal(size=(3, 3)).astype(np.float32)
    generated = chain.from_latent(latent, tf.constant(normal))
    expected = plain.from_latent(latent, tf.constant(normal @ prior.factor.T + prior.mean))
    np.testing.assert_allclose(generated["image"].numpy().astype(int), expected["image"], atol=1)
    assert (
        np.abs(generated["image"].numpy().astype(int) - plain.from_latent(latent, tf.constant(normal))["image"]).max()
        > 5
    )


def test_the_snapshot_keeps_them_and_another_model_has_another_identity(with_styles, prior, tiny_run, tmp_path):
    snapshot.save(with_styles[1], tmp_path / "s")
    read = snapshot.load(tmp_path / "s").styles
    np.testing.assert_array_equal(read.mean, prior.mean)
    np.testing.assert_array_equal(read.factor, prior.factor)
    plain = snapshot.load(tiny_run / "stage2" / "snapshot")
    assert plain.styles is None and _identity(*with_styles) != _identity(with_styles[0], plain)


def test_styles_of_another_length_are_damage(with_styles, tmp_path):
    snapshot.save(with_styles[1], tmp_path / "s")
    facts = json.loads((tmp_path / "s" / "snapshot.json").read_text())
    facts["styles"]["mean"] = [0.0]
    (tmp_path / "s" / "snapshot.json").write_text(json.dumps(facts))
    with pytest.raises(SynthMedError, match="the styles are not of 3 numbers"):
        snapshot.load(tmp_path / "s")
