"""Stage-I, fine: from the coarse maps to a two-valued mask at full size.

The refiner is fully convolutional and has no statistics over the image: trained on crops, it works on whole maps. The
rule that makes two values of its probabilities is part of the graph and consists of comparisons, `max_pool` and `min`,
so that every runtime computes it alike.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from synthmed_tf.models import layers

HYSTERESIS_STEPS = 48
"""How far a vessel may run below the high threshold, in pixels."""

MARGIN = 4
"""Pixels of the maps along the border of a crop where the network sees too little to learn from."""

_CREST, _CREST_REACH = 0.03, 2
_CLOSING = 5


class MaskRefiner(keras.Model):
    """Residual blocks at the size of the maps and at half of it, then sub-pixel convolutions to the size of the mask.

    Attributes:
        factor: of the mask's size to the maps', a power of two from 1.
    """

    def __init__(self, factor: int, filters: int = 32):
        """Makes the network.

        Args:
            factor: 1, 2, 4 or 8.
            filters: at the size of the maps and above it; twice as many at half of it.
        """
        super().__init__()
        self.factor = factor
        doublings = factor.bit_length() - 1
        self.first = layers.convolution(filters)
        self.before = Residual(filters)
        self.down = layers.convolution(2 * filters, 4, strides=2)
        self.low = [Residual(2 * filters) for _ in range(3)]
        self.up = layers.convolution(4 * filters)
        self.after = [Residual(filters) for _ in range(2)]
        self.widen = [layers.convolution(4 * filters) for _ in range(doublings - 1)]
        self.smooth = [layers.convolution(filters) for _ in range(doublings - 1)]
        self.to_logits = layers.convolution(4 if doublings else 1)

    def call(self, maps: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Refines maps `(batch, height, width, 2)` in [0, 1]; height and width are even.

        Returns:
            Vessel logits `(batch, factor * height, factor * width, 1)`, float32.
        """
        x = self.before(self.first(maps))
        low = self.down(tf.nn.leaky_relu(x, 0.2))
        for block in self.low:
            low = block(low)
        x = x + tf.nn.depth_to_space(self.up(tf.nn.leaky_relu(low, 0.2)), 2)
        for block in self.after:
            x = block(x)
        x = tf.nn.leaky_relu(x, 0.2)
        for widen, smooth in zip(self.widen, self.smooth, strict=True):
            x = tf.nn.leaky_relu(tf.nn.depth_to_space(widen(x), 2), 0.2)
            x = tf.nn.leaky_relu(smooth(x), 0.2)
        logits = tf.cast(self.to_logits(x), tf.float32)
        return logits if self.factor == 1 else tf.nn.depth_to_space(logits, 2)


def quantize(values: tf.Tensor) -> tf.Tensor:
    """Rounds to 8 bits, [0, 1] to multiples of 1/255: what differs in its last bit between runtimes becomes equal."""
    return tf.round(tf.clip_by_value(values, 0.0, 1.0) * 255.0) / 255.0


class Thresholds(NamedTuple):
    """Of a vessel's probability, in ascending order in (0, 1).

    Attributes:
        low: what a crest needs at least.
        middle: what any pixel needs; decides how wide vessels are.
        high: what a piece needs at one of its pixels.
    """

    low: float
    middle: float
    high: float


def find_vessels(probability: tf.Tensor, thresholds: Thresholds, steps: int = HYSTERESIS_STEPS) -> tf.Tensor:
    """Makes two values of probabilities: wide enough, joined where they are faint, without specks.

    Of the `candidates` those are kept that are connected with one of at least `high` (hysteresis, Canny 1986, section
    V) by at most `steps` moves to one of the eight neighbours: a morphological reconstruction, unrolled.

    Args:
        probability: `(batch, height, width, 1)`, float32 in [0, 1].
        thresholds: as above.
        steps: at least 0.

    Returns:
        The same shape, bool.
    """
    possible = tf.cast(candidates(probability, thresholds), tf.float32)
    reached = possible * tf.cast(probability >= thresholds.high, tf.float32)
    for _ in range(steps):
        reached = tf.minimum(possible, tf.nn.max_pool2d(reached, 3, 1, "SAME"))
    return reached > 0.5


def candidates(probability: tf.Tensor, thresholds: Thresholds) -> tf.Tensor:
    """Pixels of at least `middle`, and those of at least `low` on a crest, closed; shapes as of `find_vessels`.

    A crest is where the probability is 0.03 higher than two pixels away on both sides, along the rows, the columns or a
    diagonal. A faint vessel so keeps its center line and is not widened. Where it leaves a wide one there is no
    crest: a morphological closing with 5 x 5 pixels, where the probability is above 0, bridges that gap.
    """
    crest = (probability >= thresholds.low) & _crests(probability)
    chosen = (probability >= thresholds.middle) | crest
    return chosen | (_closed(chosen) & (probability > 0.0))


def _closed(pixels: tf.Tensor) -> tf.Tensor:
    """Dilated, then eroded; what lies beyond the border does not count."""
    wide = tf.nn.max_pool2d(tf.cast(pixels, tf.float32), _CLOSING, 1, "SAME")
    return tf.nn.max_pool2d(-wide, _CLOSING, 1, "SAME") < -0.5


def _crests(probability: tf.Tensor) -> tf.Tensor:
    """Where the probability is well above that of both sides in one of four directions; bool."""
    _, height, width, _ = probability.shape
    padded = tf.pad(probability, ((0, 0), (_CREST_REACH, _CREST_REACH), (_CREST_REACH, _CREST_REACH), (0, 0)))

    def side(down: int, right: int) -> tf.Tensor:
        top, left = (1 + down) * _CREST_REACH, (1 + right) * _CREST_REACH
        return padded[:, top : top + height, left : left + width]

    lower_sides = [tf.maximum(side(y, x), side(-y, -x)) for y, x in ((0, 1), (1, 0), (1, 1), (1, -1))]
    lowest = tf.minimum(tf.minimum(lower_sides[0], lower_sides[1]), tf.minimum(lower_sides[2], lower_sides[3]))
    return probability - lowest >= _CREST


class Residual(keras.layers.Layer):
    """Features plus two 3x3 convolutions of them, the second of which starts near 0."""

    def __init__(self, filters: int):
        super().__init__()
        self.first = layers.convolution(filters)
        self.second = keras.layers.Conv2D(filters, 3, padding="same", kernel_initializer=layers.narrow_normal())

    def call(self, features: tf.Tensor) -> tf.Tensor:
        return features + self.second(tf.nn.leaky_relu(self.first(tf.nn.leaky_relu(features, 0.2)), 0.2))
