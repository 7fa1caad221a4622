"""The loss of flow matching."""

import keras
import tensorflow as tf

from synthmed_tf.models import latents
from synthmed_tf.models.flow import on_the_way
from synthmed_tf.training.losses import mean_per_example
from synthmed_tf.training.stages import Batch, random_numbers

_TIME_SHIFT = -0.2
"""Times are sigmoids of normal numbers of this mean (Esser et al. 2024, equation 19), most of them near the middle."""


def flow_loss(
    network: keras.Model,
    seen: tf.Tensor,
    crops: int,
    seed: int,
    batch: Batch,
    streams: tuple[int, int] = (latents.FLOW_NOISE, latents.FLOW_TIME),
) -> tf.Tensor:
    """The squared error of the velocity (Lipman et al. 2023, equation 23).

    Args:
        network: gives velocities.
        seen: `(batch * crops, side, side, channels + 1 + conditions)`: detail, where it counts, and what the network is
            given.
        crops: of an example, or how often it is seen.
        seed, batch, streams: of the random numbers for noise and time.

    Returns:
        `(batch,)`, the mean over an example's crops.
    """
    channels, side = network.channels, seen.shape[1]
    detail, inside, condition = tf.split(seen, [channels, 1, -1], axis=-1)
    normal = random_numbers(seed, batch, crops * side * side * channels, streams[0])
    noise = tf.reshape(normal, (-1, side, side, channels))
    normal = tf.reshape(random_numbers(seed, batch, crops, streams[1]), (-1,))
    time = tf.sigmoid(normal + _TIME_SHIFT)
    noisy, velocity = on_the_way(noise, detail, time)
    error = tf.square(network(noisy, condition, time, training=True) - velocity) * inside
    pixels = tf.reduce_sum(inside, axis=(1, 2, 3)) + 1.0
    loss = tf.reduce_sum(error, axis=(1, 2, 3)) / (channels * pixels)
    return mean_per_example(tf.reshape(loss, (-1, crops)))
