"""Both networks of Stage-I in one: from a latent through coarse maps to the mask at full size."""

import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage

from synthmed_tf.models import mask_refiner
from synthmed_tf.models.mask_refiner import Thresholds, find_vessels, quantize

_BORDER = 1 / 32
"""Of the side: how far from the border of the field of view faint vessels do not count."""

_FAINT, _CERTAIN = 76.5 / 255, 230 / 255
"""Probabilities there: what is less becomes 0, what is more becomes this."""

_UNLIMITED = 2.0
"""A limit of what is not near the border."""


class CoarseToFine(keras.Model):
    """Stands where a mask generator of one network does: its `coverage_tanh` is 1 where a vessel is, else -1."""

    def __init__(self, generator: keras.Model, refiner: keras.Model, fov: np.ndarray, thresholds: Thresholds):
        """Joins the networks.

        Args:
            generator: `ridge_gan.RidgeGenerator`, with its averaged weights.
            refiner: `mask_refiner.MaskRefiner`, with its own.
            fov: `(size, size, 1)`, bool.
            thresholds: of the probability.
        """
        super().__init__()
        self.generator, self.refiner, self.thresholds = generator, refiner, thresholds
        self._inside, self._coarse = fov, coarse_fov(fov, len(fov) // refiner.factor)

    def call(self, latent: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`coverage_tanh` `(batch, size, size, 1)` in {-1, 1}, float32, of latents `(batch, latent_dim)`."""
        probability = self.probability(self.generator(latent, training=False))
        return tf.where(find_vessels(probability, self.thresholds), 1.0, -1.0)

    def probability(self, maps: tf.Tensor) -> tf.Tensor:
        """Of a vessel at each pixel, rounded to 8 bits, from maps of the generator: `(batch, size, size, 1)`."""
        return within_field(vessel_probability(self.refiner, maps * self._coarse), self._inside)


def within_field(probability: tf.Tensor, fov: np.ndarray) -> tf.Tensor:
    """Probabilities 0 outside the field of view and, near its border, where they are faint.

    A vessel that meets the border makes a faint fan there, which the rule of `find_vessels` would turn into a knot.
    Near the border no probability is higher than 230 / 255 either, so that no piece begins there on its own.

    Args:
        probability: `(batch, size, size, 1)`, float32 in [0, 1].
        fov: `(size, size, 1)`, bool.

    Example:
        >>> fov = np.arange(64)[:, None, None] < np.full((1, 64, 1), 40)
        >>> within_field(tf.fill((1, 64, 64, 1), 0.25), fov)[0, 36:42, 0, 0].numpy()
        array([0.25, 0.25, 0.  , 0.  , 0.  , 0.  ], dtype=float32)
    """
    away = np.inf if fov.all() else ndimage.distance_transform_edt(fov[..., 0])[..., None]
    limits = np.select([~fov, away <= _BORDER * len(fov)], [0.0, _CERTAIN], _UNLIMITED)
    limits_u8 = tf.constant(np.round(limits * 255 / _UNLIMITED), tf.uint8)
    limits = tf.cast(limits_u8, tf.float32) * (_UNLIMITED / 255)
    kept = tf.minimum(probability, limits)
    # One map of limits, not two masks: it is a constant in every exported file.
    return tf.where(kept + limits < _FAINT + _CERTAIN, 0.0, kept)


def vessel_probability(refiner: keras.Model, maps: tf.Tensor) -> tf.Tensor:
    """What the refiner makes of maps `(batch, height, width, 2)` in [0, 1]; input and output are rounded to 8 bits.

    It learned from crops without their outermost `mask_refiner.MARGIN` pixels, so the maps get as many around them.
    """
    margin, (height, width) = mask_refiner.MARGIN, maps.shape[1:3]
    padded = tf.pad(quantize(maps), ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    logits = refiner(padded, training=False)
    first, factor = margin * refiner.factor, refiner.factor
    return quantize(tf.sigmoid(logits[:, first : first + factor * height, first : first + factor * width]))


def coarse_fov(fov: np.ndarray, size: int) -> np.ndarray:
    """The field of view `(full, full, 1)` in {0, 1} at the size of the maps, `(size, size, 1)` float32 in {0, 1}."""
    factor = len(fov) // size
    cells = np.asarray(fov, np.float32).reshape(size, factor, size, factor).mean(axis=(1, 3))
    return np.where(cells >= 0.5, np.float32(1), np.float32(0))[..., None]
