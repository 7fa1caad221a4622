"""Flow matching: a network that turns noise into the detail of an image, step by step.

The network learns the mean velocity of the straight lines between noise and detail (Lipman et al. 2023, equation 23);
following it from noise gives detail distributed as the real one is, with faint vessels as often as real ones are faint.
It is fully convolutional and has no statistics over the image: trained on crops, it works on whole images.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.models import latents, layers

NOISE_KEYS = 2
"""Numbers of a style or a latent that choose the noise."""

_FREQUENCIES = np.geomspace(1.0, 200.0, 32, dtype=np.float32)


class FlowNetwork(keras.Model):
    """A U-Net of three levels; cells of pixels become channels, so that no level works at full size.

    Attributes:
        cell: pixels a side of a cell, from which the first level's pixels are made.
        channels: of what is generated.
    """

    def __init__(self, cell: int, filters: int = 64, channels: int = 3):
        """Makes the network.

        Args:
            cell: 1, 2 or 4.
            filters: of the first level; twice and three times as many at the next two.
            channels: of what is generated.
        """
        super().__init__(autocast=False)
        self.cell, self.filters, self.channels = cell, filters, channels
        wide, widest = 2 * filters, 3 * filters
        self.time = [keras.layers.Dense(2 * filters) for _ in range(2)]
        self.first = keras.layers.Conv2D(filters, 3, padding="same")
        self.before = [FlowBlock(filters), FlowBlock(wide)]
        self.halve = [keras.layers.Conv2D(width, 2, strides=2) for width in (wide, widest)]
        self.middle = [FlowBlock(widest) for _ in range(2)]
        self.after = [FlowBlock(wide, changes=True), FlowBlock(filters, changes=True)]
        self.to_velocity = keras.layers.Conv2D(
            channels * cell * cell, 3, padding="same", kernel_initializer="zeros", dtype="float32"
        )

    def call(self, noisy: tf.Tensor, condition: tf.Tensor, time: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The velocity at a point of the way from noise to detail.

        Args:
            noisy: `(batch, height, width, channels)`, float32; height and width are multiples of 4 cells.
            condition: `(batch, height, width, conditions)`, float32.
            time: `(batch,)` or `(1,)`, float32 in [0, 1]: 0 at noise, 1 at detail.

        Returns:
            The shape of `noisy`, float32.
        """
        embedding = self._embed(time, training)
        given = tf.concat([noisy, condition], axis=-1)
        cells = given if self.cell == 1 else tf.nn.space_to_depth(given, self.cell)
        x = self.first(tf.cast(cells, self.compute_dtype))
        skips = []
        for block, halve in zip(self.before, self.halve, strict=True):
            x = block(x, embedding, training=training)
            skips.append(x)
            x = halve(x)
        for block in self.middle:
            x = block(x, embedding, training=training)
        for block in self.after:
            x = block(tf.concat([layers.upsample(x), skips.pop()], axis=-1), embedding, training=training)
        velocity = self.to_velocity(layers.silu(layers.pixel_normalized(x, training), training))
        return velocity if self.cell == 1 else tf.nn.depth_to_space(velocity, self.cell)

    def _embed(self, time: tf.Tensor, training: bool) -> tf.Tensor:
        angles = time[:, None] * tf.constant(_FREQUENCIES)
        first, second = self.time
        embedding = second(layers.silu(first(tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)), training))
        return layers.silu(embedding, training)


class FlowBlock(keras.layers.Layer):
    """Features plus two convolutions of them; between the two, the time scales and shifts each channel."""

    def __init__(self, filters: int, changes: bool = False):
        """Makes the block; `changes` says that it is given another number of channels than `filters`."""
        super().__init__()
        self.filters, self.changes = filters, changes
        self.convolve = keras.layers.Conv2D(filters, 3, padding="same")
        self.modulation = layers.Modulation(filters)
        self.refine = keras.layers.Conv2D(filters, 3, padding="same", kernel_initializer=layers.narrow_normal())
        self.project = keras.layers.Conv2D(filters, 1) if changes else None

    def call(self, features: tf.Tensor, embedding: tf.Tensor, training: bool = False) -> tf.Tensor:
        """From features `(batch, h, w, channels)` to `(batch, h, w, filters)`."""
        x = self.convolve(layers.silu(layers.pixel_normalized(features, training), training))
        x = self.modulation(layers.pixel_normalized(x, training), embedding)
        x = self.refine(layers.silu(x, training))
        return x + (features if self.project is None else self.project(features))


def noise_of(numbers: tf.Tensor, shape: tuple[int, int, int], stream: int) -> tf.Tensor:
    """Standard normal noise, a function of the last numbers of each row.

    Args:
        numbers: `(batch, n)`, a style or a latent; the last `NOISE_KEYS` of each row choose its noise.
        shape: height, width and channels.
        stream: of the random numbers.

    Returns:
        `(batch, *shape)`, float32.
    """
    keys = tf.cast(tf.round(numbers[:, -NOISE_KEYS:] * 65536.0), tf.int64)
    return tf.reshape(latents.sample(keys[:, 0], keys[:, -1], int(np.prod(shape)), stream), (-1, *shape))


def on_the_way(noise: tf.Tensor, detail: tf.Tensor, time: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The point at `time` on the straight line from noise to detail, and its velocity, `detail - noise`.

    Args:
        noise, detail: `(batch, height, width, channels)`.
        time: `(batch,)`.
    """
    share = time[:, None, None, None]
    return (1.0 - share) * noise + share * detail, detail - noise


class Guidance(NamedTuple):
    """Classifier-free guidance: detail goes further from that of another condition (Ho and Salimans 2022, equation 6).

    Attributes:
        condition: the other one, of the same shape.
        strength: velocities are (1 + strength) times the network's own, less strength times those of the other.
        throughout: whether it also acts on the half step that finds the middle of a step.
    """

    condition: tf.Tensor
    strength: float
    throughout: bool = True


def follow(
    network: keras.Model, noise: tf.Tensor, condition: tf.Tensor, steps: int, guidance: Guidance | None = None
) -> tf.Tensor:
    """Detail from noise: so many equal steps by the midpoint method, unrolled in the graph.

    A step goes along the velocity in its middle, which it finds by half a step of Euler's method: two evaluations of
    the network, and far less error than two of Euler's steps have.

    Args:
        network: gives velocities as `FlowNetwork` does.
        noise: `(batch, height, width, channels)`, standard normal.
        condition: as for the network.
        steps: at least 1.
        guidance: makes the two evaluations of a step three, or four throughout; None for no guidance.
    """

    def velocity(x: tf.Tensor, time: float) -> tf.Tensor:
        return network(x, condition, tf.constant([time], tf.float32), training=False)

    def guided(x: tf.Tensor, time: float) -> tf.Tensor:
        at, both = tf.constant([time], tf.float32), tf.concat([condition, guidance.condition], axis=0)
        found, without = tf.split(network(tf.concat([x, x], axis=0), both, at, training=False), 2)
        return found + guidance.strength * (found - without)

    in_the_middle = guided if guidance else velocity
    at_the_start = guided if guidance and guidance.throughout else velocity
    x, length = noise, 1.0 / steps
    for step in range(steps):
        middle = x + at_the_start(x, step * length) * (length / 2.0)
        x = x + in_the_middle(middle, (step + 0.5) * length) * length
    return x
