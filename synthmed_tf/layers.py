"""Blocks that the networks are made of, and the one place where the two stacks differ."""

from typing import Literal

import keras
import tensorflow as tf

try:  # TensorFlow Addons exists for Keras 2 alone: the extra [addons].
    import tensorflow_addons as tfa
except ImportError:
    tfa = None

Normalization = Literal["none", "batch", "instance"]


def narrow_normal() -> keras.initializers.Initializer:
    """Initial weights from a normal distribution of deviation 0.02 (DCGAN, pix2pix).

    A new one for each layer: Keras 3 gives two layers of one shape the same values if they share an initializer.
    """
    return keras.initializers.RandomNormal(stddev=0.02)


def normalization(kind: Normalization) -> keras.layers.Layer:
    """Makes a normalization layer for `(batch, height, width, channels)`.

    Args:
        kind: `batch` (statistics over all replicas' examples; momentum 0.9, epsilon 1e-5, as DCGAN), `instance`
            (Ulyanov et al. 2016; epsilon 1e-5, learned scale and offset; no state) or `none`.
    """
    if kind == "batch":
        return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=True)
    if kind == "instance":
        return _instance_normalization()
    if kind == "none":
        return keras.layers.Activation("linear")
    raise ValueError(f"`kind` must be 'none', 'batch' or 'instance'. Received: kind={kind!r}")


def _instance_normalization() -> keras.layers.Layer:
    """The shim: TensorFlow Addons' layer where Addons runs, Keras 3's group normalization with one channel a group."""
    if tfa is not None:
        return tfa.layers.InstanceNormalization(axis=-1, epsilon=1e-5)
    return keras.layers.GroupNormalization(groups=-1, axis=-1, epsilon=1e-5)


class Modulation(keras.layers.Layer):
    """Scales and shifts each channel by an affine function of a vector (FiLM, Perez et al. 2018).

    It starts as the identity, so that an untrained style changes nothing.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.affine = keras.layers.Dense(2 * channels, kernel_initializer=narrow_normal())

    def call(self, features: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
        """Changes features `(batch, height, width, channels)` by vectors `(batch, dim)`; the shape stays."""
        scale, offset = tf.split(self.affine(vector)[:, None, None, :], 2, axis=-1)
        return features * (1.0 + scale) + offset


def upsample(features: tf.Tensor) -> tf.Tensor:
    """Doubles height and width by repeating pixels: `(batch, h, w, c)` to `(batch, 2h, 2w, c)`.

    Followed by a convolution it draws no checkerboard, as transposed convolutions do (Odena et al. 2016).
    """
    _, height, width, _ = features.shape
    return tf.raw_ops.ResizeNearestNeighbor(images=features, size=(2 * height, 2 * width))


def minibatch_deviation(features: tf.Tensor, group_size: int = 4) -> tf.Tensor:
    """Appends one channel: how much the examples of a group differ at each place (after Karras et al. 2018, section 3).

    Groups are consecutive examples, so that two replicas form the groups that one would have formed.

    Args:
        features: `(batch, height, width, channels)`; a batch that `group_size` does not divide is one group.

    Returns:
        `(batch, height, width, channels + 1)`.
    """
    batch = tf.shape(features)[0]
    group = tf.where(batch % group_size == 0, group_size, batch)
    groups = tf.reshape(tf.cast(features, tf.float32), tf.concat([[batch // group, group], features.shape[1:]], axis=0))
    deviation = tf.sqrt(tf.math.reduce_variance(groups, axis=1) + 1e-8)
    channel = tf.repeat(tf.reduce_mean(deviation, axis=3, keepdims=True), group, axis=0)
    return tf.concat([features, tf.cast(channel, features.dtype)], axis=-1)


def plain_variables(owner: keras.Model | keras.optimizers.Optimizer) -> list[tf.Variable]:
    """All variables of a network or optimizer as TensorFlow's own, in their order.

    Checkpoints and SavedModels hold these lists: TensorFlow does not look into a Keras 3 network's lists of layers.
    """
    return [v if isinstance(v, tf.Variable) else v.value for v in owner.variables]
