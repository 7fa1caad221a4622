"""Stage-I: from a latent to the geometry, a map of how much of each pixel vessels cover.

`DCGANGenerator` and `DCGANDiscriminator` are the paper's pair (after Radford et al. 2016); `MaskGenerator` and
`MaskDiscriminator` are that of the preset `gan`. All of them generate and discriminate `coverage_tanh`
`(batch, size, size, 1)`, float32 in [-1, 1]: -1 is background, 1 is vessel, and the edges in between are as soft as a
camera's pixels make them. A two-valued mask is the `coverage_tanh` above a threshold.
"""

import keras
import tensorflow as tf

from synthmed_tf.models import layers


class DCGANGenerator(keras.Model):
    """The paper's Stage-I generator: a linear layer and four 5x5 transposed convolutions with batch normalization."""

    def __init__(self, size: int, latent_dim: int, filters: int = 64):
        """Makes the network.

        Args:
            size: pixels a side, divisible by 16.
            latent_dim: length of the latent.
            filters: of the last hidden layer; the first has eight times as many.
        """
        super().__init__()
        self.size, self.latent_dim, self.filters = size, latent_dim, filters
        self.start = size // 16
        widths = (4 * filters, 2 * filters, filters)
        self.linear = keras.layers.Dense(self.start**2 * 8 * filters, kernel_initializer=layers.narrow_normal())
        self.first_norm = layers.normalization("batch")
        self.hidden = [_dcgan_transposed(width) for width in widths]
        self.norms = [layers.normalization("batch") for _ in widths]
        self.to_coverage = _dcgan_transposed(1)

    def call(self, latent: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Generates `coverage_tanh` `(batch, size, size, 1)` from latents `(batch, latent_dim)` in (-1, 1)."""
        x = tf.reshape(self.linear(latent), (-1, self.start, self.start, 8 * self.filters))
        x = tf.nn.relu(self.first_norm(x, training=training))
        for convolution, norm in zip(self.hidden, self.norms, strict=True):
            x = tf.nn.relu(norm(convolution(x), training=training))
        return tf.tanh(tf.cast(self.to_coverage(x), tf.float32))


class DCGANDiscriminator(keras.Model):
    """The paper's Stage-I discriminator: four 5x5 convolutions of stride 2 and a linear layer to one logit."""

    def __init__(self, filters: int = 64):
        super().__init__()
        self.filters = filters
        widths = (filters, 2 * filters, 4 * filters, 8 * filters)
        self.convolutions = [
            keras.layers.Conv2D(width, 5, strides=2, padding="same", kernel_initializer=layers.narrow_normal())
            for width in widths
        ]
        self.norms = [layers.normalization("none" if i == 0 else "batch") for i in range(len(widths))]
        self.flatten = keras.layers.Flatten()
        self.to_logit = keras.layers.Dense(1, kernel_initializer=layers.narrow_normal())

    def call(self, coverage_tanh: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Discriminates `coverage_tanh` `(batch, size, size, 1)`: logits `(batch, 1)`."""
        x = coverage_tanh
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = tf.nn.leaky_relu(norm(convolution(x), training=training), 0.2)
        return tf.cast(self.to_logit(self.flatten(x)), tf.float32)


class MaskGenerator(keras.Model):
    """The generator of the preset `gan`: 3x3 convolutions and upsampling from 4x4 pixels on, one more at full size.

    The latent is the first 4x4 pixels, and modulates every level as well (Karras et al. 2019): without that,
    all trees soon are one tree.
    """

    def __init__(
        self,
        size: int,
        latent_dim: int,
        filters: int = 16,
        max_filters: int = 256,
        norm: layers.Normalization = "instance",
    ):
        """Makes the network.

        Args:
            size: pixels a side, a power of two from 32.
            latent_dim: length of the latent.
            filters: at full resolution; doubled at each halving.
            max_filters: the most of any level.
            norm: normalization of every level.
        """
        super().__init__()
        self.size, self.latent_dim, self.norm = size, latent_dim, norm
        self.filters, self.max_filters = filters, max_filters
        widths = pyramid_widths(size, filters, max_filters)[::-1]
        self.linear = keras.layers.Dense(16 * widths[0], kernel_initializer="he_normal")
        self.first_norm = layers.normalization(norm)
        self.convolutions = [
            keras.layers.Conv2D(width, 3, padding="same", kernel_initializer="he_normal") for width in widths[1:]
        ]
        self.norms = [layers.normalization(norm) for _ in widths[1:]]
        self.modulations = [layers.Modulation(width) for width in widths[1:]]
        self.refine = keras.layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal")
        self.refine_norm = layers.normalization(norm)
        self.to_coverage = keras.layers.Conv2D(1, 3, padding="same")

    def call(self, latent: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Generates `coverage_tanh` `(batch, size, size, 1)` from latents `(batch, latent_dim)`."""
        linear = self.linear(latent)
        x = tf.reshape(linear, (-1, 4, 4, linear.shape[-1] // 16))
        x = tf.nn.leaky_relu(self.first_norm(x, training=training), 0.2)
        for convolution, norm, modulation in zip(self.convolutions, self.norms, self.modulations, strict=True):
            x = modulation(norm(convolution(x), training=training), latent)
            x = layers.upsample(tf.nn.leaky_relu(x, 0.2))
        x = tf.nn.leaky_relu(self.refine_norm(self.refine(x), training=training), 0.2)
        return tf.tanh(tf.cast(self.to_coverage(x), tf.float32))


class MaskDiscriminator(keras.Model):
    """The discriminator of the preset `gan`: 4x4 convolutions of stride 2 to 4x4 pixels, and a minibatch statistic."""

    def __init__(self, size: int, filters: int = 16, max_filters: int = 256):
        """Makes the network; `filters`, at full resolution, are doubled at each halving up to `max_filters`."""
        super().__init__()
        self.size, self.filters, self.max_filters = size, filters, max_filters
        widths = pyramid_widths(size, filters, max_filters)[1:]
        self.convolutions = [
            keras.layers.Conv2D(width, 4, strides=2, padding="same", kernel_initializer="he_normal") for width in widths
        ]
        self.last = keras.layers.Conv2D(widths[-1], 3, padding="same", kernel_initializer="he_normal")
        self.flatten = keras.layers.Flatten()
        self.to_logit = keras.layers.Dense(1)

    def call(self, coverage_tanh: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Discriminates `coverage_tanh` `(batch, size, size, 1)`: logits `(batch, 1)`."""
        x = coverage_tanh
        for convolution in self.convolutions:
            x = tf.nn.leaky_relu(convolution(x), 0.2)
        x = tf.nn.leaky_relu(self.last(layers.minibatch_deviation(x)), 0.2)
        return tf.cast(self.to_logit(self.flatten(x)), tf.float32)


def pyramid_widths(size: int, filters: int, max_filters: int) -> list[int]:
    """Channels at each resolution from `size` down to 4: doubled at each halving, up to `max_filters`."""
    return [min(max_filters, filters << level) for level in range((size // 4).bit_length())]


def _dcgan_transposed(filters: int) -> keras.layers.Layer:
    return keras.layers.Conv2DTranspose(
        filters, 5, strides=2, padding="same", kernel_initializer=layers.narrow_normal()
    )
