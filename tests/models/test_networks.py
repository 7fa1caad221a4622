"""Conformance: every network, at its smallest, through shapes, ranges, determinism and both presets' layouts."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from synthmed_tf.config import schema as configuration
from synthmed_tf.models import factory, image_gan, layers, mask_gan
from synthmed_tf.models.flow import FlowBlock

SMALL = ("stage1.filters=4", "stage1.discriminator_filters=4", "stage2.filters=4", "stage2.discriminator_filters=4")


def _config(preset, size, *overrides):
    return configuration.load_config(preset, overrides=(f"size={size}", *SMALL, *overrides))


def _conv(inputs, outputs, kernel, bias=True):
    return kernel * kernel * inputs * outputs + (outputs if bias else 0)


@pytest.mark.parametrize("preset", ["paper", "gan", "demo"])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_networks_map_what_they_say_at_every_size(preset, size):
    config = _config(preset, size)
    latent = tf.random.uniform((2, config.stage1.latent_dim), -1, 1)
    coverage_tanh = factory.mask_generator(config)(latent)
    assert coverage_tanh.shape == (2, size, size, 1) and coverage_tanh.dtype == tf.float32
    assert float(tf.reduce_min(coverage_tanh)) >= -1 and float(tf.reduce_max(coverage_tanh)) <= 1
    assert factory.mask_discriminator(config)(coverage_tanh).shape == (2, 1)
    condition = tf.ones((2, size, size, 1 + config.stage2.use_fov))
    style = tf.random.normal((2, config.stage2.style_dim)) if config.stage2.style_dim else None
    image = factory.image_generator(config)(condition, style)
    assert image.shape == (2, size, size, 3) and image.dtype == tf.float32
    logits, features = factory.image_discriminator(config)(condition, image)
    assert logits.shape == (2, size // 8, size // 8, 1)
    assert [f.shape[1] for f in features] == [size // 2, size // 4, size // 8, size // 8]


@pytest.mark.parametrize(("size", "coarse"), [(32, 32), (128, 64), (256, 128), (256, 32)])
def test_the_networks_of_coarse_to_fine_map_what_they_say(size, coarse):
    config = _config("recommended", size, f"stage1.coarse_size={coarse}", "stage1_fine.filters=4")
    maps = factory.mask_generator(config)(tf.random.normal((2, config.stage1.latent_dim)))
    assert maps.shape == (2, coarse, coarse, 2) and maps.dtype == tf.float32
    assert float(tf.reduce_min(maps)) >= 0 and float(tf.reduce_max(maps)) <= 1
    whole, patches = factory.mask_discriminator(config)(maps)
    assert whole.shape == (2, 1) and patches.shape == (2, coarse // 8, coarse // 8, 1)
    noise = tf.random.normal((2, coarse, coarse, (size // coarse) ** 2 + 2))
    refined = factory.mask_refiner(config)(maps, noise)
    assert refined.shape == (2, size, size, 1) and refined.dtype == tf.float32


def test_a_network_is_called_once_when_it_is_made(monkeypatch):
    """Keras 3 would trace a layer of layers to make their weights, and those within once more: 6 calls of a block."""
    calls, call = [], FlowBlock.call
    monkeypatch.setattr(FlowBlock, "call", lambda block, *given, **options: calls.append(block) or call(block, *given))
    network = factory.fine_renderer(_config("recommended", 256, "stage2_fine.filters=4", "stage2_fine.flow_steps=1"))
    blocks = [layer for layer in network._flatten_layers() if isinstance(layer, FlowBlock)]
    # The midpoint method evaluates the network twice a step.
    assert len(blocks) == 6 and sorted(map(calls.count, blocks)) == [2] * 6


@pytest.mark.parametrize("preset", ["paper", "gan"])
def test_names_in_the_graph_do_not_depend_on_what_was_made_before(preset):
    """TensorFlow sums gradients in the order of these names, so the last bits would depend on it too."""
    config = _config(preset, 32)
    condition, image = tf.ones((1, 32, 32, 1 + config.stage2.use_fov)), tf.zeros((1, 32, 32, 3))
    style = tf.zeros((1, config.stage2.style_dim)) if config.stage2.style_dim else None
    inputs = {
        factory.mask_generator: (tf.zeros((1, config.stage1.latent_dim)),),
        factory.mask_discriminator: (condition[..., :1],),
        factory.image_generator: (condition, style),
        factory.image_discriminator: (condition, image),
        factory.segmenter: (image,),
    }
    if style is not None:
        inputs[factory.style_encoder] = (image,)
    for make, tensors in inputs.items():
        names = []
        for _ in range(2):
            graph = tf.function(make(config)).get_concrete_function(*tensors).graph
            names.append([operation.name for operation in graph.get_operations()])
        assert len(names[0]) > 20 and names[0] == names[1]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["paper", "gan"])
@pytest.mark.parametrize("size", [256, 512, 1024])
def test_large_sizes_too(preset, size):
    test_networks_map_what_they_say_at_every_size(preset, size)


def test_the_papers_stage1_has_the_published_layers():
    generator = mask_gan.DCGANGenerator(512, 100, 64)
    generator(tf.zeros((1, 100)))
    widths = [512, 256, 128, 64, 1]
    linear = 100 * 32 * 32 * 512 + 32 * 32 * 512
    norms = 4 * (512 + 256 + 128 + 64)
    assert generator.count_params() == linear + norms + sum(_conv(a, b, 5) for a, b in itertools.pairwise(widths))
    discriminator = mask_gan.DCGANDiscriminator(64)
    discriminator(tf.zeros((1, 512, 512, 1)))
    widths = [1, 64, 128, 256, 512]
    convolutions = sum(_conv(a, b, 5) for a, b in itertools.pairwise(widths))
    assert discriminator.count_params() == convolutions + 4 * (128 + 256 + 512) + 32 * 32 * 512 + 1


def test_the_papers_stage2_has_eight_levels_at_512():
    config = configuration.load_config("paper")
    generator = factory.image_generator(config)
    widths = [64, 128, 256, 512, 512, 512, 512, 512]
    down = sum(_conv(a, b, 4) for a, b in itertools.pairwise([1, *widths]))
    up_out = [512, 512, 512, 512, 256, 128, 64]
    up_in = [512] + [2 * width for width in up_out[:-1]]
    up = sum(_conv(a, b, 4) for a, b in zip(up_in, up_out, strict=True)) + _conv(128, 3, 4)
    norms = 4 * (sum(widths[1:-1]) + sum(up_out))
    assert generator.count_params() == down + up + norms


@pytest.mark.parametrize(("size", "levels"), [(32, 4), (64, 5), (128, 6), (512, 8), (1024, 9)])
def test_the_depth_follows_the_size(size, levels):
    assert len(image_gan.ImageGenerator(size, filters=4).down) == levels


def test_outside_the_field_of_view_the_image_is_black_exactly():
    config = _config("gan", 32)
    fov = np.full((1, 32, 32, 1), -1.0, np.float32)
    fov[:, 8:24, 8:24] = 1.0
    condition = tf.concat([tf.ones_like(fov), fov], axis=-1)
    image = factory.image_generator(config)(condition, tf.zeros((1, config.stage2.style_dim))).numpy()
    outside = np.broadcast_to(fov < 0, image.shape)
    assert np.all(image[outside] == -1.0) and np.all(np.abs(image[~outside]) < 1.0)


def test_dropout_is_decided_by_its_seed():
    config = _config("paper", 32)
    generator, condition = factory.image_generator(config), tf.ones((1, 32, 32, 1))

    def generate(seed):
        return generator(condition, training=True, dropout_seed=tf.constant([seed, 0])).numpy()

    np.testing.assert_array_equal(generate(1), generate(1))
    assert np.abs(generate(1) - generate(2)).max() > 1e-4
    np.testing.assert_array_equal(generator(condition), generator(condition))


@pytest.mark.parametrize("make", [factory.mask_generator, factory.mask_discriminator, factory.image_generator])
def test_layers_of_one_shape_do_not_share_their_initial_weights(make):
    kernels = [w.numpy() for w in make(_config("paper", 32)).trainable_weights if len(w.shape) == 4]
    for i, one in enumerate(kernels):
        assert not any(one.shape == other.shape and np.array_equal(one, other) for other in kernels[:i])


def test_the_same_seed_gives_the_same_weights():
    config = _config("gan", 32)
    keras.utils.set_random_seed(5)
    first = factory.mask_generator(config).get_weights()
    keras.utils.set_random_seed(5)
    for one, other in zip(first, factory.mask_generator(config).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("preset", ["gan", "paper"])
def test_networks_keep_their_weights_through_a_checkpoint(preset, tmp_path):
    config = _config(preset, 32)
    for make in (
        factory.mask_generator,
        factory.mask_discriminator,
        factory.image_generator,
        factory.image_discriminator,
    ):
        model, other = make(config), make(config)
        path = tf.train.Checkpoint(model=layers.plain_variables(model)).write(str(tmp_path / "checkpoint"))
        tf.train.Checkpoint(model=layers.plain_variables(other)).read(path).assert_consumed()
        for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
