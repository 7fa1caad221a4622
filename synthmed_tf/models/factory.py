"""From a configuration to networks with all their weights made."""

import keras
import tensorflow as tf

from synthmed_tf.config.schema import Config
from synthmed_tf.models import image_gan, layers, mask_gan, pyramid, ridge_gan
from synthmed_tf.models.mask_refiner import MaskRefiner
from synthmed_tf.models.segmenter import Segmenter


def mask_generator(config: Config) -> keras.Model:
    """Stage-I's generator: latent `(batch, latent_dim)` to `coverage_tanh` `(batch, size, size, 1)`.

    That of `coarse_to_fine` generates coarse maps `(batch, coarse_size, coarse_size, 2)` in [0, 1].
    """
    stage = config.stage1
    if stage.architecture == "coarse_to_fine":
        model = ridge_gan.RidgeGenerator(
            config.coarse_size, stage.latent_dim, stage.filters, stage.max_filters, stage.norm
        )
    elif stage.architecture == "dcgan":
        model = mask_gan.DCGANGenerator(config.size, stage.latent_dim, stage.filters)
    else:
        model = mask_gan.MaskGenerator(config.size, stage.latent_dim, stage.filters, stage.max_filters, stage.norm)
    return _made(model, tf.zeros((1, stage.latent_dim)))


def mask_discriminator(config: Config) -> keras.Model:
    """Stage-I's discriminator: `coverage_tanh` to logits `(batch, 1)`; of `coarse_to_fine`: maps to two logits."""
    stage = config.stage1
    if stage.architecture == "coarse_to_fine":
        size = config.coarse_size
        model = ridge_gan.RidgeDiscriminator(size, stage.discriminator_filters, stage.max_filters)
        return _made(model, tf.zeros((1, size, size, 2)))
    if stage.architecture == "dcgan":
        model = mask_gan.DCGANDiscriminator(stage.discriminator_filters)
    else:
        model = mask_gan.MaskDiscriminator(config.size, stage.discriminator_filters, stage.max_filters)
    return _made(model, _image(config, 1))


def mask_refiner(config: Config) -> keras.Model:
    """Stage-I's fine network: coarse maps and noise to distances; it takes other sizes too."""
    stage, size, factor = config.stage1_fine, config.coarse_size, config.size // config.coarse_size
    model = MaskRefiner(factor, stage.filters, stage.flow_steps, stage.noise, stage.guidance)
    return _made(model, tf.zeros((1, size, size, 2)), tf.zeros((1, size, size, factor**2 + 2)))


def image_generator(config: Config) -> keras.Model:
    """Stage-II's generator: condition (and style) to image `(batch, size, size, 3)` in [-1, 1].

    That of `pyramid` generates images `(batch, coarse_size, coarse_size, 3)`.
    """
    stage = config.stage2
    if stage.architecture == "pyramid":
        placed = config.data.field_of_view != "frame"
        steps = (stage.thumbnail_steps or stage.flow_steps, stage.flow_steps)
        model = pyramid.CoarseRenderer(config.coarse_size, stage.filters, steps, placed, stage.guidance)
        return _made(model, _image(config, 2), tf.zeros((1, stage.style_dim)))
    model = image_gan.ImageGenerator(
        size=config.size,
        filters=stage.filters,
        norm=stage.norm,
        upsampling=stage.upsampling,
        dropout=stage.dropout,
        style_dim=stage.style_dim,
        use_fov=stage.use_fov,
    )
    style = tf.zeros((1, stage.style_dim)) if stage.style_dim else None
    return _made(model, _image(config, 1 + stage.use_fov), style)


def fine_renderer(config: Config) -> keras.Model:
    """Stage-II's fine network: coarse image, condition and style to the image at full size."""
    model = pyramid.FineRenderer(config.size, config.stage2_fine.filters, config.stage2_fine.flow_steps)
    coarse = tf.zeros((1, config.coarse_size, config.coarse_size, 3))
    return _made(model, coarse, _image(config, 2), tf.zeros((1, config.stage2.style_dim)))


def image_discriminator(config: Config) -> keras.Model:
    """Stage-II's patch discriminator on (condition, image)."""
    model = image_gan.PatchDiscriminator(config.stage2.discriminator_filters, config.stage2.norm)
    return _made(model, _image(config, 1 + config.stage2.use_fov), _image(config, 3))


def style_encoder(config: Config) -> keras.Model:
    """Stage-II's encoder: image to the moments of its style."""
    return _made(image_gan.StyleEncoder(config.stage2.style_dim), _image(config, 3))


def segmenter(config: Config) -> keras.Model:
    """The segmenter: image to vessel logits `(batch, size, size, 1)`; it takes other sizes too."""
    stage = config.segmenter
    return _made(Segmenter(stage.filters, stage.levels, stage.norm), _image(config, 3))


def _made(network: keras.Model, *inputs: tf.Tensor | None) -> keras.Model:
    layers.name_by_place(network)
    layers.build_when_called(network)
    network(*inputs)
    return network


def _image(config: Config, channels: int) -> tf.Tensor:
    return tf.zeros((1, config.size, config.size, channels))
