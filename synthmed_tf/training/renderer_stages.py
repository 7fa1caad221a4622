"""Stage-II as a pyramid, as two stages: both learn detail by flow matching, from crops.

No discriminator takes part, so that nothing makes vessels easier to see than those of real photographs.
"""

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.config.schema import Config, Stage2Config, Stage2FineConfig
from synthmed_tf.data import augmentation
from synthmed_tf.data.map_pipeline import Relighting, map_batches
from synthmed_tf.data.pipeline import COVERAGE, FOV, IMAGE
from synthmed_tf.data.vessel_maps import reduce_maps
from synthmed_tf.models import factory, latents, layers, pyramid
from synthmed_tf.training.flow_loss import flow_loss
from synthmed_tf.training.stages import Batch, Terms, random_numbers

_LAST_RATE = 0.05
_LEAST_SHARE = 0.02
"""Of a pixel in the field of view: below that it lies outside."""

_NOISES = 4
"""Noises and times for each thumbnail: they are small, and there are few of them."""

_ERASED_FROM = (-0.2, 0.8)
"""Mean and standard deviation of the height from which a smooth field erases vessels: more than half of them."""


class CoarseRendererStage:
    """The image of at most 128 pixels; a batch has `maps` `(batch, coarse, coarse, 5)` in [0, 1], and `index`.

    Attributes:
        network, network_ema: `pyramid.CoarseRenderer`, trained, and its average, float32 in any precision.
        learning_rate: falls as a half cosine.
        size: pixels a side of its images.
    """

    name = "stage2"

    def __init__(self, config: Config, pairs: np.ndarray):
        """Makes the networks.

        Args:
            config: the run's configuration.
            pairs: `(n, size, size, 5)` uint8, the training pairs.
        """
        self.config, self.seed, self.size = config.stage2, config.seed, config.coarse_size
        self.crop = min(self.config.crop, self.size)
        self.learning_rate = _falling(self.config.optimizer.generator_rate, self.config, pairs)
        self._pairs = _cut(reduce_maps(pairs, max(1, config.size // (2 * self.size))))
        self._ranges, self._light = augmentation.ranges_of(config.data), _relighting(self.config, self._pairs)
        with layers.made_in(config.precision):
            self.network = factory.image_generator(config)
        self.network_ema = factory.image_generator(config)
        self.network_ema.set_weights(self.network.get_weights())

    def batches(self, **place: int) -> tf.data.Dataset:
        """The input from a place in the stream on, as for `map_batches`."""
        arguments = (self._pairs, self.size, self.size, self.config.batch_size, self.seed, self._ranges)
        return map_batches(*arguments, elastic=self.config.elastic, light=self._light, **place)

    def terms(self, batch: Batch) -> Terms:
        """The squared error of both velocities inside the field of view, `(batch,)`; in a replica's context."""
        image, coverage, fov = _split(batch, self.seed, self.config.colour)
        values, small = pyramid.thumbnail_values(image, fov), tf.cast(pyramid.pooled(fov) > 0.0, tf.float32)
        given = pyramid.thumbnail_condition(self._erased(coverage, batch), fov, self.network.placed)
        seen = tf.concat([values, small, given], axis=-1)
        thumbnails = self.network.thumbnails
        streams = (latents.THUMBNAIL_FLOW_NOISE, latents.THUMBNAIL_FLOW_TIME)
        seen = tf.repeat(seen, _NOISES, axis=0)
        terms = {"thumbnail_velocity": flow_loss(thumbnails, seen, _NOISES, self.seed, batch, streams)}
        base, detail = pyramid.coarse_detail(image, fov)
        inside = tf.cast(fov > 0.0, tf.float32)
        condition = pyramid.coarse_condition(coverage, fov, base, self.network.placed)
        seen = tf.concat([detail, inside, condition], axis=-1)
        crops = _crops(seen, self._unit(batch, 2 * self.config.crops), self.crop)
        return terms | {"velocity": flow_loss(self.network.network, crops, self.config.crops, self.seed, batch)}

    def _erased(self, coverage: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Coverage without the vessels of random regions, so that no thumbnail hangs on every vessel of its mask.

        A generated mask is unlike every real one somewhere; networks that were given whole masks made dim discs of it.
        """
        normal = random_numbers(self.seed, batch, 1 + augmentation.CONTROLS**2, latents.THUMBNAIL_ERASED)
        line = augmentation.centers(self.size)[None]
        mean, deviation = _ERASED_FROM
        height = mean + deviation * normal[:, :1, None]
        return tf.where((augmentation.smooth_field(line, line, normal[:, 1:]) < height)[..., None], coverage, 0.0)

    def _unit(self, batch: Batch, count: int) -> tf.Tensor:
        return (random_numbers(self.seed, batch, count, latents.CROP, "uniform") + 1.0) / 2.0


class FineRendererStage:
    """Detail at full size; a batch has `maps` `(batch, crop, crop, 5)` in [0, 1], and `index`.

    It learns from the pixels as they are, flipped at most: an image that is turned or warped is sampled between its
    pixels, which makes thin vessels faint.

    Attributes:
        network, network_ema: `pyramid.FineRenderer`, trained, and its average, float32 in any precision.
        learning_rate: falls as a half cosine.
        coarse: the coarse renderer, whose images those between steps are made of; None for real ones.
    """

    name = "stage2_fine"

    def __init__(self, config: Config, pairs: np.ndarray, coarse: keras.Model | None = None):
        """Makes the networks; the arguments are those of `CoarseRendererStage`, and the coarse renderer."""
        self.config, self.seed, self.coarse = config.stage2_fine, config.seed, coarse
        self.size, self.factor = config.size, config.size // config.coarse_size
        self.crop = min(self.config.crop, self.size)
        self.learning_rate = _falling(self.config.learning_rate, self.config, pairs)
        self._colour = config.stage2.colour
        self._pairs = _cut(pairs)
        flips = {name: getattr(config.data.augment, name) for name in ("flip_horizontal", "flip_vertical")}
        self._ranges, self._light = augmentation.Ranges(**flips), _relighting(config.stage2, self._pairs)
        with layers.made_in(config.precision):
            self.network = factory.fine_renderer(config)
        self.network_ema = factory.fine_renderer(config)
        self.network_ema.set_weights(self.network.get_weights())

    def batches(self, **place: int) -> tf.data.Dataset:
        """The input from a place in the stream on, as for `map_batches`."""
        arguments = (self._pairs, self.size, self.crop, self.config.batch_size, self.seed, self._ranges)
        return map_batches(*arguments, step=self.factor, light=self._light, **place)

    def terms(self, batch: Batch) -> Terms:
        """The squared error of the velocity inside the field of view, `(batch,)`; in a replica's context."""
        image, coverage, share = _split(batch, self.seed, self._colour)
        fov = tf.round(share)
        base, detail = pyramid.fine_detail(image, fov, self.factor)
        condition = tf.concat([2.0 * tf.round(coverage) - 1.0, 2.0 * fov - 1.0], axis=-1)
        seen = tf.concat([detail, fov, pyramid.fine_condition(condition, base)], axis=-1)
        return {"velocity": flow_loss(self.network.network, seen, 1, self.seed, batch)}


def _falling(rate: float, config: Stage2Config | Stage2FineConfig, pairs: np.ndarray):
    return keras.optimizers.schedules.CosineDecay(rate, config.total_steps(len(pairs)), _LAST_RATE)


def _cut(pairs: np.ndarray) -> np.ndarray:
    """Coverage in two values and black outside the field of view, as what generates is given them."""
    inside = pairs[..., FOV] >= 128
    vessels = np.where((pairs[..., COVERAGE] >= 128) & inside, 255, 0)
    return np.concatenate([pairs[..., IMAGE] * inside, vessels, np.where(inside, 255, 0)], axis=-1).astype(np.uint8)


def _relighting(config: Stage2Config, pairs: np.ndarray) -> Relighting | None:
    """How the light of the cut pairs changes; None where it stays."""
    if not config.tones and not config.illumination:
        return None
    tones = augmentation.measure_tones(pairs[..., IMAGE], pairs[..., FOV]) if config.tones else None
    return Relighting(tones, config.illumination)


def _split(batch: Batch, seed: int, strength: float) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Images in [-1, 1], with their colors changed, black outside; coverage and field of view in [0, 1].

    The color of a pixel on the border is that of its part in the field of view.
    """
    maps = batch["maps"]
    fov = tf.where(maps[..., FOV] < _LEAST_SHARE, 0.0, maps[..., FOV])
    light = tf.minimum(maps[..., IMAGE] / tf.maximum(fov, _LEAST_SHARE), 1.0)
    image = tf.where(fov > 0.0, 2.0 * light - 1.0, -1.0)
    if strength:
        numbers = random_numbers(seed, batch, augmentation.COLOUR_NUMBERS, latents.AUGMENT_COLOUR, "uniform")
        image = augmentation.colour(image, (numbers + 1.0) / 2.0, strength)
    return image, maps[..., COVERAGE] * tf.cast(fov > 0.0, tf.float32), fov


def _crops(images: tf.Tensor, unit: tf.Tensor, side: int) -> tf.Tensor:
    """Squares at random places, those of one image after each other: `(batch * crops, side, side, channels)`.

    Args:
        images: `(batch, size, size, channels)`.
        unit: `(batch, 2 * crops)`, uniform in (0, 1): rows, then columns.
        side: of a square, in pixels; squares begin at even pixels.
    """
    places = (images.shape[1] - side) // 2 + 1
    first = tf.reshape(2 * tf.cast(tf.floor(unit * places), tf.int32), (-1, 2, unit.shape[1] // 2))
    lines = first[..., None] + tf.range(side)
    repeated = tf.repeat(images, unit.shape[1] // 2, axis=0)
    rows, columns = (tf.reshape(lines[:, axis], (-1, side)) for axis in range(2))
    return tf.gather(tf.gather(repeated, rows, batch_dims=1), columns, axis=2, batch_dims=1)
