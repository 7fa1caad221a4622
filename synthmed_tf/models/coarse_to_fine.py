"""Both networks of Stage-I in one: from a latent through coarse maps to the mask at full size."""

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.models import latents, mask_refiner
from synthmed_tf.models.flow import noise_of
from synthmed_tf.models.mask_refiner import Thresholds, find_vessels, quantize


class CoarseToFine(keras.Model):
    """Stands where a mask generator of one network does: its `coverage_tanh` is 1 where a vessel is, else -1."""

    def __init__(self, generator: keras.Model, refiner: keras.Model, fov: np.ndarray, thresholds: Thresholds):
        """Joins the networks.

        Args:
            generator: `ridge_gan.RidgeGenerator`, with its averaged weights.
            refiner: `mask_refiner.MaskRefiner`, with its own.
            fov: `(size, size, 1)`, bool.
            thresholds: of the distance.
        """
        super().__init__()
        self.generator, self.refiner, self.thresholds = generator, refiner, thresholds
        self._coarse = coarse_fov(fov, len(fov) // refiner.factor)

    def call(self, latent: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`coverage_tanh` `(batch, size, size, 1)` in {-1, 1}, float32, of latents `(batch, latent_dim)`."""
        maps = self.generator(latent, training=False) * self._coarse
        return tf.where(find_vessels(distances(self.refiner, maps, latent), self.thresholds), 1.0, -1.0)


def distances(refiner: keras.Model, maps: tf.Tensor, latent: tf.Tensor) -> tf.Tensor:
    """What the refiner makes of maps, smoothed (binomially, 3 x 3); input and output are rounded to 8 bits.

    It learned from crops without their outermost `mask_refiner.MARGIN` pixels, so the maps get as many around them.

    Args:
        refiner: `mask_refiner.MaskRefiner`.
        maps: `(batch, height, width, 2)`, float32 in [0, 1].
        latent: `(batch, latent_dim)`, whose last numbers choose the noise.

    Returns:
        `(batch, factor * height, factor * width, 1)`, float32 multiples of 1/255 in [0, 1].
    """
    margin, factor, (height, width) = mask_refiner.MARGIN, refiner.factor, maps.shape[1:3]
    padded = tf.pad(quantize(maps), ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    noise = noise_of(latent, (height + 2 * margin, width + 2 * margin, factor**2 + 2), latents.REFINER_NOISE)
    found, first = refiner(padded, noise, training=False), margin * factor - 1
    smoothed = found[:, first : first + factor * height + 2, first : first + factor * width + 2]
    for _ in range(2):
        smoothed = tf.nn.avg_pool2d(smoothed, 2, 1, "VALID")
    return quantize(smoothed)


def coarse_fov(fov: np.ndarray, size: int) -> np.ndarray:
    """The field of view `(full, full, 1)` in {0, 1} at the size of the maps, `(size, size, 1)` float32 in {0, 1}."""
    factor = len(fov) // size
    cells = np.asarray(fov, np.float32).reshape(size, factor, size, factor).mean(axis=(1, 3))
    return np.where(cells >= 0.5, np.float32(1), np.float32(0))[..., None]
