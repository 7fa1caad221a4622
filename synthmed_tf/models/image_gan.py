"""Stage-II: from a vessel mask to an image (after pix2pix, Isola et al. 2017).

One U-Net and one patch discriminator serve both presets. The paper's has batch normalization, dropout and transposed
convolutions, and sees the mask alone. That of the preset `gan` has instance normalization and upsampling, sees the
field of view as well, and takes a style, so that one mask gives many images.

A condition is `(batch, size, size, channels)`, float32 in [-1, 1]: the two-valued mask and, where the field of view is
used, that as second channel. An image is `(batch, size, size, 3)`, float32 in [-1, 1].
"""

from typing import Literal

import keras
import tensorflow as tf

from synthmed_tf.models import layers

Upsampling = Literal["transposed", "nearest"]

_DROPOUT_LEVELS = 3


class ImageGenerator(keras.Model):
    """A U-Net of log2(size) - 1 levels (8 at 512 pixels), whose bottleneck has 2x2 pixels."""

    def __init__(
        self,
        size: int,
        filters: int = 64,
        norm: layers.Normalization = "batch",
        upsampling: Upsampling = "transposed",
        dropout: float = 0.5,
        style_dim: int = 0,
        use_fov: bool = False,
    ):
        """Makes the network.

        Args:
            size: pixels a side, a power of two from 32.
            filters: of the first level; doubled at each level up to 8 times as many.
            norm: normalization of all levels but the first and the bottleneck.
            upsampling: `transposed` (4x4, stride 2) or `nearest` (3x3, then repeated pixels).
            dropout: rate on the first three decoder levels while training.
            style_dim: length of the style; 0 for none.
            use_fov: whether the condition's second channel is the field of view, outside of which the image is
                black exactly.
        """
        super().__init__()
        self.size, self.filters, self.norm, self.upsampling = size, filters, norm, upsampling
        self.dropout, self.style_dim, self.use_fov = dropout, style_dim, use_fov
        levels = size.bit_length() - 2
        widths = [filters * min(8, 1 << level) for level in range(levels)]
        self.down = [_strided(width) for width in widths]
        self.down_norms = [
            layers.normalization("none" if level in (0, levels - 1) else norm) for level in range(levels)
        ]
        self.up = [
            UpBlock(width, norm, upsampling, dropout if level < _DROPOUT_LEVELS else 0.0, style_dim > 0)
            for level, width in enumerate(widths[-2::-1])
        ]
        self.head = _transposed(3) if upsampling == "transposed" else RefiningHead(filters)

    def call(
        self,
        condition: tf.Tensor,
        style: tf.Tensor | None = None,
        training: bool = False,
        dropout_seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Generates images.

        Args:
            condition: `(batch, size, size, 1 or 2)` in [-1, 1].
            style: `(batch, style_dim)`; None where there is none.
            training: whether batch statistics are used and dropout is on.
            dropout_seed: `(2,)` int32; needed where dropout is on.

        Returns:
            `(batch, size, size, 3)` float32 in [-1, 1].
        """
        skips = self._encode(condition, training)
        x = skips.pop()
        for level, block in enumerate(self.up):
            seed = None if dropout_seed is None else dropout_seed + tf.constant([0, level], tf.int32)
            x = tf.concat([block(x, style, training=training, dropout_seed=seed), skips.pop()], axis=-1)
        logits = self.head(x) if self.upsampling == "transposed" else self.head(x, condition)
        image = tf.tanh(tf.cast(logits, tf.float32))
        return _black_outside(image, condition[..., 1:2]) if self.use_fov else image

    def _encode(self, condition: tf.Tensor, training: bool) -> list[tf.Tensor]:
        """The activated features of each level, the bottleneck last."""
        x, skips = condition, []
        for down, norm in zip(self.down, self.down_norms, strict=True):
            x = tf.nn.leaky_relu(norm(down(x), training=training), 0.2)
            skips.append(x)
        return skips


class UpBlock(keras.layers.Layer):
    """A decoder level: convolution, normalization, style, dropout, activation, at twice the resolution."""

    def __init__(self, filters: int, norm: layers.Normalization, upsampling: Upsampling, dropout: float, styled: bool):
        super().__init__()
        self.filters, self.upsampling, self.dropout = filters, upsampling, dropout
        self.convolution = (
            _transposed(filters)
            if upsampling == "transposed"
            else keras.layers.Conv2D(filters, 3, padding="same", kernel_initializer=layers.narrow_normal())
        )
        self.norm = layers.normalization(norm)
        self.modulation = layers.Modulation(filters) if styled else None

    def call(self, features, style=None, training=False, dropout_seed=None):
        """As `ImageGenerator.call`: activated `(batch, h, w, c)` to activated `(batch, 2h, 2w, filters)`."""
        x = self.norm(self.convolution(features), training=training)
        if self.modulation is not None:
            x = self.modulation(x, style)
        if training and self.dropout:
            x = tf.nn.experimental.stateless_dropout(x, self.dropout, dropout_seed)
        x = tf.nn.leaky_relu(x, 0.2)
        return layers.upsample(x) if self.upsampling == "nearest" else x


class RefiningHead(keras.layers.Layer):
    """The last level without transposed convolutions: at full resolution it sees the condition again."""

    def __init__(self, filters: int):
        super().__init__()
        self.filters = filters
        self.before = keras.layers.Conv2D(filters // 2, 3, padding="same", kernel_initializer=layers.narrow_normal())
        self.refine = keras.layers.Conv2D(filters // 2, 3, padding="same", kernel_initializer=layers.narrow_normal())
        self.to_image = keras.layers.Conv2D(3, 3, padding="same", kernel_initializer=layers.narrow_normal())

    def call(self, features: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """From activated features at half resolution and the condition to logits `(batch, size, size, 3)`."""
        x = layers.upsample(tf.nn.leaky_relu(self.before(features), 0.2))
        x = self.refine(tf.concat([x, tf.cast(condition, x.dtype)], axis=-1))
        return self.to_image(tf.nn.leaky_relu(x, 0.2))


class PatchDiscriminator(keras.Model):
    """pix2pix's 70x70 patch discriminator on (condition, image): three layers of stride 2, two of stride 1."""

    def __init__(self, filters: int = 64, norm: layers.Normalization = "batch"):
        super().__init__()
        self.filters, self.norm = filters, norm
        widths, strides = (filters, 2 * filters, 4 * filters, 8 * filters), (2, 2, 2, 1)
        self.convolutions = [_strided(width, stride) for width, stride in zip(widths, strides, strict=True)]
        self.norms = [layers.normalization("none" if i == 0 else norm) for i in range(len(widths))]
        self.to_logits = _strided(1, 1)

    def call(self, condition, image, training=False) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Discriminates each patch.

        Args:
            condition: `(batch, size, size, 1 or 2)`; image: `(batch, size, size, 3)`; both in [-1, 1].
            training: whether batch statistics are used.

        Returns:
            Logits `(batch, size / 8, size / 8, 1)`, float32, and the features of the four hidden layers.
        """
        x = tf.concat([tf.cast(condition, self.compute_dtype), tf.cast(image, self.compute_dtype)], axis=-1)
        features = []
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = tf.nn.leaky_relu(norm(convolution(x), training=training), 0.2)
            features.append(x)
        return tf.cast(self.to_logits(x), tf.float32), features


class StyleEncoder(keras.Model):
    """Reads a style off an image: the posterior of BicycleGAN (Zhu et al. 2017), from 32x32 pixels."""

    def __init__(self, style_dim: int, filters: int = 32):
        super().__init__()
        self.style_dim, self.filters = style_dim, filters
        self.convolutions = [_strided(filters * width) for width in (1, 2, 4)]
        self.flatten = keras.layers.Flatten()
        self.to_moments = keras.layers.Dense(2 * style_dim, kernel_initializer=layers.narrow_normal())

    def call(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads the style of images `(batch, size, size, 3)`: mean and log variance, `(batch, style_dim)` each."""
        factor = image.shape[1] // 32
        x = tf.nn.avg_pool2d(image, factor, factor, "VALID") if factor > 1 else image
        for convolution in self.convolutions:
            x = tf.nn.leaky_relu(convolution(x), 0.2)
        mean, log_variance = tf.split(tf.cast(self.to_moments(self.flatten(x)), tf.float32), 2, axis=-1)
        return mean, tf.clip_by_value(log_variance, -8.0, 4.0)


def _black_outside(image: tf.Tensor, fov: tf.Tensor) -> tf.Tensor:
    """Sets the image to -1 where the field of view is -1, exactly, and leaves it where that is 1."""
    inside = (tf.cast(fov, image.dtype) + 1.0) / 2.0
    return image * inside - (1.0 - inside)


def _strided(filters: int, stride: int = 2) -> keras.layers.Layer:
    return keras.layers.Conv2D(filters, 4, strides=stride, padding="same", kernel_initializer=layers.narrow_normal())


def _transposed(filters: int) -> keras.layers.Layer:
    return keras.layers.Conv2DTranspose(
        filters, 4, strides=2, padding="same", kernel_initializer=layers.narrow_normal()
    )
