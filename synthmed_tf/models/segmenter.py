"""The segmenter: from an image to its vessels (a U-Net after Ronneberger et al. 2015, without cropping).

An image is `(batch, height, width, 3)`, float32 in [-1, 1], black (-1) outside the field of view; height and width
are divisible by 2 to the number of levels, and need not be those that were trained on.
"""

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.models import layers

# A logit of -2 is a probability of 0.12, about the share of vessels: training does not begin with unlearning one half.
_FIRST_LOGIT = -2.0


class Segmenter(keras.Model):
    """A U-Net of two 3x3 convolutions a level, max pooling, and repeated pixels on the way up."""

    def __init__(self, filters: int = 16, levels: int = 4, norm: layers.Normalization = "batch"):
        """Makes the network.

        Args:
            filters: channels at full resolution; doubled at each halving.
            levels: how often height and width are halved.
            norm: normalization after every 3x3 convolution. With `instance` a tile's result depends on what else is
                in the tile.
        """
        super().__init__()
        self.filters, self.levels, self.norm = filters, levels, norm
        widths = [filters << level for level in range(levels)]
        self.down = [DoubleConvolution(width, norm) for width in widths]
        self.bottom = DoubleConvolution(filters << levels, norm)
        self.narrow = [keras.layers.Conv2D(width, 1) for width in widths[::-1]]
        self.up = [DoubleConvolution(width, norm) for width in widths[::-1]]
        self.to_logits = keras.layers.Conv2D(1, 1, bias_initializer=keras.initializers.Constant(_FIRST_LOGIT))

    @property
    def reach(self) -> int:
        """How far away a pixel of the image can change a logit, in pixels along an axis; rounded up.

        The convolutions reach 2 pixels a block: 2 (1 + ... + 2^levels) down and 2 (1 + ... + 2^(levels - 1)) up, which
        is 6 * 2^levels - 4; pooling adds 2^levels - 1 at most.
        """
        return 7 << self.levels

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Finds vessels in images `(batch, h, w, 3)` in [-1, 1]: logits `(batch, h, w, 1)`, float32."""
        x, skips = image, []
        for block in self.down:
            skips.append(block(x, training=training))
            x = tf.nn.max_pool2d(skips[-1], 2, 2, "VALID")
        x = self.bottom(x, training=training)
        for narrow, block in zip(self.narrow, self.up, strict=True):
            x = block(tf.concat([layers.upsample(narrow(x)), skips.pop()], axis=-1), training=training)
        return tf.cast(self.to_logits(x), tf.float32)


class DoubleConvolution(keras.layers.Layer):
    """Twice: a 3x3 convolution, normalization, ReLU."""

    def __init__(self, filters: int, norm: layers.Normalization):
        super().__init__()
        self.filters = filters
        self.convolutions = [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal")
            for _ in range(2)
        ]
        self.norms = [layers.normalization(norm) for _ in range(2)]

    def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        """From `(batch, h, w, c)` to `(batch, h, w, filters)`."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            features = tf.nn.relu(norm(convolution(features), training=training))
        return features


def probabilities(segmenter: keras.Model, images: tf.Tensor, flips: bool = False) -> tf.Tensor:
    """How probable it is that each pixel is vessel.

    Args:
        segmenter: gives logits.
        images: `(batch, h, w, 3)` in [-1, 1].
        flips: whether the mean is taken over the image and its three mirror images (test-time augmentation).

    Returns:
        `(batch, h, w, 1)` float32 in [0, 1].
    """
    axes = ([], [2], [1], [1, 2]) if flips else ([],)
    mirrored = (tf.reverse(tf.sigmoid(segmenter(tf.reverse(images, a), training=False)), a) for a in axes)
    return tf.add_n(list(mirrored)) / len(axes)


def tiled_probabilities(segmenter: Segmenter, image: np.ndarray, tile: int, flips: bool = False) -> np.ndarray:
    """As `probabilities`, of one image of any size, in overlapping tiles where it is larger than one.

    The outer quarter of a tile is not used where a neighbour covers it, and over the next sixteenth one tile fades into
    the other. With batch normalization the result does not depend on the tiles but for rounding, if a quarter of a
    tile is at least `segmenter.reach` (tiles of 448 pixels at 4 levels).

    Args:
        segmenter: with its weights.
        image: `(height, width, 3)`, float32 in [-1, 1].
        tile: side of the largest piece that is seen at once, in pixels; at least `least_tile`.
        flips: as for `probabilities`.

    Returns:
        `(height, width)` float32 in [0, 1].
    """
    unit = 1 << segmenter.levels
    height, width = image.shape[:2]
    padding = ((0, -height % unit), (0, -width % unit), (0, 0))
    padded = np.pad(image, padding, constant_values=-1.0)
    total, weight = np.zeros(padded.shape[:2], np.float32), np.zeros(padded.shape[:2], np.float32)
    for top, row_weights in _spans(padded.shape[0], tile, unit):
        for left, column_weights in _spans(padded.shape[1], tile, unit):
            here = slice(top, top + len(row_weights)), slice(left, left + len(column_weights))
            share = row_weights[:, None] * column_weights
            total[here] += share * probabilities(segmenter, tf.constant(padded[here][None]), flips).numpy()[0, ..., 0]
            weight[here] += share
    return (total / weight)[:height, :width]


def least_tile(levels: int) -> int:
    """The smallest side of a tile for a segmenter of so many levels, in pixels."""
    return 4 << levels


def _spans(length: int, tile: int, unit: int) -> list[tuple[int, np.ndarray]]:
    """Where tiles begin along an axis, and how much each of their pixels weighs.

    Tiles begin at multiples of `unit`, so that pooling meets the same pixels in a tile as in the whole.
    """
    tile = tile // unit * unit
    if length <= tile:
        return [(0, np.ones(length, np.float32))]
    margin, fade = tile // 4, max(1, tile // 16)
    gaps = -(-(length - tile) // (tile - 2 * margin - fade - unit))
    starts = [(length - tile) * i // gaps // unit * unit for i in range(gaps + 1)]
    rise = np.clip((np.arange(tile, dtype=np.float32) + 0.5 - margin) / fade, 0.0, 1.0)
    ones = np.ones(tile, np.float32)
    return [(start, (rise if start else ones) * (rise[::-1] if start + tile < length else ones)) for start in starts]
