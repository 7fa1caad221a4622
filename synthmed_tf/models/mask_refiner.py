"""Stage-I, fine: from the coarse maps to a two-valued mask at full size.

The refiner is fully convolutional and has no statistics over the image: trained on crops, it works on whole maps. It
generates distances to the outline of vessels; the rule that makes a mask of them is part of the graph and consists of
comparisons, `max_pool` and `min`, so that every runtime computes it alike.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.models.flow import FlowNetwork, Guidance, follow

HYSTERESIS_STEPS = 96
"""How far a vessel may run below the high threshold, in cells of 2 x 2 pixels."""

MARGIN = 4
"""Pixels of the maps along the border of a crop where the network sees too little to learn from."""

LARGEST_NOISE = 2.0
"""The most noise that maps get in training, where a ridge stands out by 2: little is left to see."""

_MEAN, _GAIN = 0.2, 3.0
"""Distances have about this mean, and are multiplied with the gain so that their deviation is near 1."""

_MAPS_GAIN = np.array([2.0, 4.0], np.float32)

_CREST, _CREST_REACH, _SLOPE = 0.06, 2, 0.12
_OCTAGON = (((3, 5), (5, 3)), ((1, 3), (3, 1)))


class MaskRefiner(keras.Model):
    """Generates distances by flow matching, from vessel maps and noise.

    A network that is trained to say where vessels are averages over all that the maps leave open: what is possible
    becomes faint, and no threshold makes a tree of it. This one decides, differently for each noise.

    Generated maps are not as real ones are in detail, so it is given maps with noise, of any strength in training (Ho
    et al., "Cascaded diffusion models for high fidelity image generation", 2022, section 4.2): what the noise hides, it
    generates itself. Guidance goes further from what it would generate of maps with the most noise.

    Attributes:
        factor: of the mask's size to the maps', a power of two from 1.
        steps: from noise to distances.
        noise: deviation of the noise that maps get.
        guidance: strength of guidance; 0 for none.
        network: of the velocities; a pixel of the maps has `factor` x `factor` distances as channels.
    """

    def __init__(self, factor: int, filters: int, steps: int, noise: float, guidance: float = 0.0):
        """Makes the network.

        Args:
            factor: 1, 2, 4 or 8.
            filters: of the first level, at the size of the maps.
            steps: of the midpoint method, as for `flow.follow`.
            noise, guidance: as above; the noise in [0, LARGEST_NOISE].
        """
        super().__init__(autocast=False, dtype="float32")
        self.factor, self.steps, self.noise, self.guidance = factor, steps, noise, guidance
        self.network = FlowNetwork(1, filters, factor**2)

    def call(self, maps: tf.Tensor, noise: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Generates distances.

        Args:
            maps: `(batch, height, width, 2)` in [0, 1]; height and width are multiples of 4.
            noise: `(batch, height, width, factor ** 2 + 2)`, standard normal: of the distances and of the maps.

        Returns:
            `(batch, factor * height, factor * width, 1)`, float32: about the signed distance to the outline, one half
            on it and more inside, as `vessel_maps.outline_distance`.
        """
        start, added = tf.split(noise, [self.factor**2, 2], axis=-1)
        given, guidance = condition(maps, added, tf.constant([self.noise], tf.float32)), None
        if self.guidance:
            guidance = Guidance(condition(maps, added, tf.constant([LARGEST_NOISE])), self.guidance)
        values = follow(self.network, start, given, self.steps, guidance) / _GAIN + _MEAN
        return values if self.factor == 1 else tf.nn.depth_to_space(values, self.factor)

    def values(self, distance: tf.Tensor) -> tf.Tensor:
        """Distances `(batch, factor * height, factor * width, 1)` as the network generates them."""
        cells = distance if self.factor == 1 else tf.nn.space_to_depth(distance, self.factor)
        return (cells - _MEAN) * _GAIN


def condition(maps: tf.Tensor, normal: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """What the network is given.

    Args:
        maps: `(batch, height, width, 2)` in [0, 1].
        normal: the same shape, standard normal.
        noise: `(batch,)` or `(1,)`, its deviation.

    Returns:
        `(batch, height, width, 3)`: maps of about unit deviation with the noise, and its deviation.
    """
    deviation = noise[:, None, None, None]
    noisy = maps * _MAPS_GAIN - 1.0 + deviation * normal
    return tf.concat([noisy, deviation * tf.ones_like(maps[..., :1])], axis=-1)


def quantize(values: tf.Tensor) -> tf.Tensor:
    """Rounds to 8 bits, [0, 1] to multiples of 1/255: what differs in its last bit between runtimes becomes equal."""
    return tf.round(tf.clip_by_value(values, 0.0, 1.0) * 255.0) / 255.0


class Thresholds(NamedTuple):
    """Of the distance, in ascending order in (0, 1).

    Attributes:
        low: what a crest needs at least.
        middle: what any pixel needs; decides how wide vessels are.
        high: what a piece needs at one of its pixels.
    """

    low: float
    middle: float
    high: float


def find_vessels(distance: tf.Tensor, thresholds: Thresholds, steps: int = HYSTERESIS_STEPS) -> tf.Tensor:
    """Makes a mask of distances: thin vessels whole, without specks.

    Of the `candidates` those are kept that are connected with one of at least `high` (hysteresis, Canny 1986, section
    V) by at most `steps` moves to one of the eight neighbours: a morphological reconstruction, unrolled. It looks at
    cells of 2 x 2 pixels, which is a quarter of the work, so pieces that share a cell or touch in two count as one.

    Args:
        distance: `(batch, height, width, 1)`, float32 in [0, 1]; height and width are even.
        thresholds: as above.
        steps: at least 0.

    Returns:
        The same shape, bool.
    """
    possible = tf.cast(candidates(distance, thresholds), tf.float32)
    strong = possible * tf.cast(distance >= thresholds.high, tf.float32)
    cells, reached = (tf.nn.max_pool2d(pixels, 2, 2, "VALID") for pixels in (possible, strong))
    for _ in range(steps):
        reached = tf.minimum(cells, tf.nn.max_pool2d(reached, 3, 1, "SAME"))
    return possible * tf.repeat(tf.repeat(reached, 2, 1), 2, 2) > 0.5


def candidates(distance: tf.Tensor, thresholds: Thresholds) -> tf.Tensor:
    """Pixels of at least `middle`, and those of at least `low` on a crest, closed; shapes as of `find_vessels`.

    The center line of a thin vessel is hardly higher than the outline, and a small error breaks it; crests keep it
    whole. Along the rows, the columns or a diagonal, a crest is no lower than its neighbours and 0.06 higher than two
    pixels away, on both sides, and no other neighbour is more than 0.12 higher: at the rounded end of a vessel, or on
    its side, one is. Where a branch leaves a wide vessel there is no crest: a morphological closing with an octagon of
    7 pixels, where the distance is above 0, bridges that gap.
    """
    crest = (distance >= thresholds.low) & _crests(distance)
    chosen = (distance >= thresholds.middle) | crest
    return chosen | (_closed(chosen) & (distance > 0.0))


def _closed(pixels: tf.Tensor) -> tf.Tensor:
    """Dilated, then eroded; what lies beyond the border does not count."""
    return _dilated(-_dilated(tf.cast(pixels, tf.float32))) < -0.5


def _dilated(values: tf.Tensor) -> tf.Tensor:
    """The largest value within an octagon of 7 x 7 pixels (a square leaves holes with corners)."""
    for first, second in _OCTAGON:
        pools = (tf.nn.max_pool2d(values, size, 1, "SAME") for size in (first, second))
        values = tf.maximum(*pools)
    return values


def _crests(distance: tf.Tensor) -> tf.Tensor:
    """Where both sides fall off in one of four directions, and no neighbour is much higher; bool."""
    _, height, width, _ = distance.shape
    padded = tf.pad(distance, ((0, 0), (_CREST_REACH, _CREST_REACH), (_CREST_REACH, _CREST_REACH), (0, 0)))

    def higher_side(down: int, right: int) -> tf.Tensor:
        sides = [
            padded[:, _CREST_REACH + y : _CREST_REACH + y + height, _CREST_REACH + x : _CREST_REACH + x + width]
            for y, x in ((down, right), (-down, -right))
        ]
        return tf.maximum(*sides)

    rise = tf.nn.max_pool2d(distance, 3, 1, "SAME") - distance
    crest = tf.zeros_like(distance, tf.bool)
    for y, x in ((0, 1), (1, 0), (1, 1), (1, -1)):
        prominence = distance - higher_side(_CREST_REACH * y, _CREST_REACH * x)
        crest |= (prominence >= _CREST) & (distance >= higher_side(y, x))
    return crest & (rise <= _SLOPE)
