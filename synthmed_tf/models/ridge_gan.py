"""Stage-I, coarse: from a latent to two smooth maps that stand for a vessel tree (`data.vessel_maps`).

The generator works at half of the maps' size and doubles it once, smoothly, at the end. Maps are
`(batch, size, size, 2)` float32 in [0, 1]: ridge and calibre.
"""

import keras
import tensorflow as tf

from synthmed_tf.models import layers
from synthmed_tf.models.mask_gan import pyramid_widths

_PATCH_LEVEL = 2
_BACKGROUND_LOGIT = -1.0


class RidgeGenerator(keras.Model):
    """Two 3x3 convolutions a level from 4x4 pixels to half of the size; each level is modulated by the latent."""

    def __init__(
        self,
        size: int,
        latent_dim: int,
        filters: int = 32,
        max_filters: int = 256,
        norm: layers.Normalization = "instance",
    ):
        """Makes the network.

        Args:
            size: pixels a side of the maps, a power of two from 32.
            latent_dim: length of the latent.
            filters: at half of the size; doubled at each halving.
            max_filters: the most of any level.
            norm: normalization of every level.
        """
        super().__init__()
        self.size, self.latent_dim = size, latent_dim
        widths = pyramid_widths(size // 2, filters, max_filters)[::-1]
        self.linear = keras.layers.Dense(16 * widths[0], kernel_initializer="he_normal")
        self.coarse = [ModulatedBlock(width, norm) for width in widths[1:]]
        self.fine = [ModulatedBlock(width, norm) for width in widths[1:]]
        self.refine = layers.convolution(filters // 2)
        self.to_maps = layers.convolution(2)

    def call(self, latent: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Generates maps `(batch, size, size, 2)` in [0, 1] from latents `(batch, latent_dim)`."""
        linear = self.linear(latent)
        x = tf.nn.leaky_relu(tf.reshape(linear, (-1, 4, 4, linear.shape[-1] // 16)), 0.2)
        for coarse, fine in zip(self.coarse, self.fine, strict=True):
            x = fine(layers.upsample(coarse(x, latent, training=training)), latent, training=training)
        x = layers.upsample_smoothly(tf.nn.leaky_relu(self.refine(x), 0.2))
        return tf.sigmoid(tf.cast(self.to_maps(x), tf.float32) + _BACKGROUND_LOGIT)


class RidgeDiscriminator(keras.Model):
    """4x4 convolutions of stride 2 to 4x4 pixels with a minibatch statistic, and a logit for each patch on the way."""

    def __init__(self, size: int, filters: int = 32, max_filters: int = 256):
        """Makes the network; `filters`, at half of the size, are doubled at each halving up to `max_filters`."""
        super().__init__()
        self.size = size
        widths = pyramid_widths(size // 2, filters, max_filters)
        self.first = layers.convolution(widths[0])
        self.convolutions = [layers.convolution(width, 4, strides=2) for width in widths[1:]]
        self.last = layers.convolution(widths[-1])
        self.flatten = keras.layers.Flatten()
        self.to_logit = keras.layers.Dense(1)
        self.patch = layers.convolution(widths[_PATCH_LEVEL])
        self.to_patch_logits = keras.layers.Conv2D(1, 1)

    def call(self, maps: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Discriminates maps `(batch, size, size, 2)` in [0, 1].

        Returns:
            Logits `(batch, 1)` of the whole tree, and of patches, `(batch, size / 8, size / 8, 1)`.
        """
        x = tf.nn.leaky_relu(self.first(tf.nn.space_to_depth(2.0 * maps - 1.0, 2)), 0.2)
        patches = x
        for level, convolution in enumerate(self.convolutions, start=1):
            x = tf.nn.leaky_relu(convolution(x), 0.2)
            patches = x if level == _PATCH_LEVEL else patches
        patch_logits = self.to_patch_logits(tf.nn.leaky_relu(self.patch(patches), 0.2))
        x = tf.nn.leaky_relu(self.last(layers.minibatch_deviation(x)), 0.2)
        return tf.cast(self.to_logit(self.flatten(x)), tf.float32), tf.cast(patch_logits, tf.float32)


class ModulatedBlock(keras.layers.Layer):
    """Convolution, normalization, modulation by the latent, leaky ReLU."""

    def __init__(self, width: int, norm: layers.Normalization):
        super().__init__()
        self.convolution = layers.convolution(width)
        self.norm = layers.normalization(norm)
        self.modulation = layers.Modulation(width)

    def call(self, features: tf.Tensor, latent: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = self.norm(self.convolution(features), training=training)
        return tf.nn.leaky_relu(self.modulation(features, latent), 0.2)
