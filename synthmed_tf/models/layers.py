"""Blocks that the networks are made of, and the one place where the two stacks differ."""

import contextlib
from collections.abc import Iterator
from typing import Literal

import keras
import tensorflow as tf

try:  # TensorFlow Addons exists for Keras 2 alone: the extra [addons].
    import tensorflow_addons as tfa
except ImportError:
    tfa = None

_KERAS_2 = hasattr(keras.layers.Layer, "_set_dtype_policy")

Normalization = Literal["none", "batch", "instance"]
Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]


@contextlib.contextmanager
def made_in(precision: Precision) -> Iterator[None]:
    """Networks that are made meanwhile compute in this precision; their weights are float32 in each."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


@contextlib.contextmanager
def computed_in_float32(network: keras.Model) -> Iterator[None]:
    """A network that was made in mixed precision computes in float32 meanwhile: what is traced now stays so."""
    policies = [(layer, layer.dtype_policy) for layer in network._flatten_layers()]
    float32 = keras.mixed_precision.Policy("float32")
    try:
        for layer, _ in policies:
            _set_policy(layer, float32)
        yield
    finally:
        for layer, policy in policies:
            _set_policy(layer, policy)


def _set_policy(layer: keras.layers.Layer, policy) -> None:
    if _KERAS_2:
        layer._set_dtype_policy(policy)
    else:
        layer.dtype_policy = policy


def name_by_place(network: keras.Model) -> None:
    """Names each layer by its place in its network, before that is called for the first time.

    Keras numbers layers by all that the process made before, and TensorFlow adds up the gradients of a tensor that is
    used in several places in the order of their names: with `up_block_10` before `up_block_9` the last bits differ.
    """
    for place, layer in enumerate(network._flatten_layers()):
        _set_name(layer, f"{type(layer).__name__}_{place:03}")


def _set_name(layer: keras.layers.Layer, name: str) -> None:
    if _KERAS_2:
        layer._name = name
    else:
        layer.name = name


def build_when_called(network: keras.Model) -> None:
    """Weights are made as layers are called for the first time.

    Keras 3 would first trace the call of each layer that is made of others, and those within it again.
    """
    for layer in network._flatten_layers():
        if hasattr(layer.build, "_is_default"):
            layer.built = True


def narrow_normal() -> keras.initializers.Initializer:
    """Initial weights from a normal distribution of deviation 0.02 (DCGAN, pix2pix).

    A new one for each layer: Keras 3 gives two layers of one shape the same values if they share an initializer.
    """
    return keras.initializers.RandomNormal(stddev=0.02)


def convolution(filters: int, size: int = 3, strides: int = 1) -> keras.layers.Layer:
    """A convolution that keeps the size (or divides it by the strides), for leaky ReLUs (He et al. 2015)."""
    return keras.layers.Conv2D(filters, size, strides=strides, padding="same", kernel_initializer="he_normal")


def normalization(kind: Normalization) -> keras.layers.Layer:
    """Makes a normalization layer for `(batch, height, width, channels)`; its statistics are float32 in any precision.

    Args:
        kind: `batch` (statistics over all replicas' examples; momentum 0.9, epsilon 1e-5, as DCGAN), `instance`
            (Ulyanov et al. 2016; epsilon 1e-5, learned scale and offset; no state) or `none`.
    """
    if kind == "batch":
        return InFloat32(
            keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=True, dtype="float32")
        )
    if kind == "instance":
        return InFloat32(InstanceNormalization())
    if kind == "none":
        return keras.layers.Activation("linear")
    raise ValueError(f"`kind` must be 'none', 'batch' or 'instance'. Received: kind={kind!r}")


# The shim: the weights are made by TensorFlow Addons where that runs, and by Keras 3's group normalization elsewhere.
_Base = keras.layers.GroupNormalization if tfa is None else tfa.layers.InstanceNormalization
_ONE_CHANNEL_A_GROUP = {"groups": -1} if tfa is None else {}


class InstanceNormalization(_Base):
    """Normalizes each channel of each image (Ulyanov et al. 2016), with derivatives that are right to any order.

    Those of Keras and Addons are wrong from the second on, which R1 needs: `tf.nn.moments` holds the mean fixed.
    """

    def __init__(self):
        super().__init__(axis=-1, epsilon=1e-5, dtype="float32", **_ONE_CHANNEL_A_GROUP)

    def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalizes `(batch, height, width, channels)`; the shape stays. What is exported has no gradient of ours."""
        weights = (tf.convert_to_tensor(weight) for weight in (self.gamma, self.beta))
        return (instance_normalized if training else _instance_normalized)(features, *weights, self.epsilon)


def instance_normalized(features: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float) -> tf.Tensor:
    """The same values as without, and a gradient in fewer passes over the features than an automatic one.

    Args:
        features: `(batch, height, width, channels)`; scale, offset: `(channels,)`.
        epsilon: added to the variance.
    """

    @tf.custom_gradient
    def normalized(features, scale, offset):
        return _instance_normalized(features, scale, offset, epsilon), lambda g: _gradient(features, scale, epsilon, g)

    return normalized(features, scale, offset)


def _instance_normalized(features, scale, offset, epsilon):
    mean, factor = _moments(features, epsilon)
    scaled = scale * factor
    return features * scaled + (offset - mean * scaled)


def _gradient(features, scale, epsilon, upstream):
    """For standardized x: scale / deviation * (g - mean(g) - x mean(g x)); and the weights', sums of g x and of g."""
    mean, factor = _moments(features, epsilon)
    centred = features - mean
    of_mean = tf.reduce_mean(upstream, axis=(1, 2), keepdims=True)
    of_factor = tf.reduce_mean(upstream * centred, axis=(1, 2), keepdims=True) * factor
    scaled = scale * factor
    of_features = upstream * scaled - (centred * (scaled * factor * of_factor) + scaled * of_mean)
    pixels = tf.cast(tf.reduce_prod(tf.shape(features)[1:3]), features.dtype)
    return of_features, *(pixels * tf.reduce_sum(part, axis=(0, 1, 2)) for part in (of_factor, of_mean))


def _moments(features, epsilon):
    """Mean, and one over the deviation: `(batch, 1, 1, channels)` each."""
    mean = tf.reduce_mean(features, axis=(1, 2), keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(features, mean), axis=(1, 2), keepdims=True)
    return mean, tf.math.rsqrt(variance + epsilon)


def silu(features: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Features times their sigmoid; in training with a gradient in fewer passes than TensorFlow's own."""
    return _silu(features) if training else features * tf.sigmoid(features)


@tf.custom_gradient
def _silu(features):
    def gradient(upstream):
        with tf.control_dependencies([upstream]):  # computed again, not kept from the way forward
            share = tf.sigmoid(features)
        return upstream * share + features * tf.raw_ops.SigmoidGrad(y=share, dy=upstream)

    return features * tf.sigmoid(features), gradient


def pixel_normalized(features: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Divides the channels of each pixel by their root mean square (Karras et al. 2018, section 4.2).

    In training with a gradient in fewer passes than an automatic one; shape and dtype of `(..., channels)` stay.
    """
    x = tf.cast(features, tf.float32)
    return tf.cast(_pixel_normalized(x) if training else x * _pixel_factor(x), features.dtype)


@tf.custom_gradient
def _pixel_normalized(features):
    factor = _pixel_factor(features)
    normalized = features * factor

    def gradient(upstream):
        """For normalized y: (g - y mean(g y)) times the factor."""
        along = tf.reduce_mean(upstream * normalized, axis=-1, keepdims=True)
        return (upstream - normalized * along) * factor

    return normalized, gradient


def _pixel_factor(features):
    return tf.math.rsqrt(tf.reduce_mean(features * features, axis=-1, keepdims=True) + 1e-6)


class InFloat32(keras.layers.Layer):
    """Computes a float32 layer between layers of another precision; not each of Keras' own casts what it is given."""

    def __init__(self, layer: keras.layers.Layer):
        super().__init__()
        self.layer = layer

    def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        """As the layer; shape and dtype of the features stay."""
        return tf.cast(self.layer(tf.cast(features, tf.float32), training=training), features.dtype)


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

    Followed by a convolution it generates no checkerboard, as transposed convolutions do (Odena et al. 2016).
    """
    _, height, width, _ = features.shape
    return tf.raw_ops.ResizeNearestNeighbor(images=features, size=(2 * height, 2 * width))


def upsample_smoothly(features: tf.Tensor) -> tf.Tensor:
    """Doubles height and width bilinearly: `(batch, h, w, c)` to `(batch, 2h, 2w, c)`; the dtype stays."""
    _, height, width, _ = features.shape
    doubled = tf.raw_ops.ResizeBilinear(
        images=tf.cast(features, tf.float32), size=(2 * height, 2 * width), half_pixel_centers=True
    )
    return tf.cast(doubled, features.dtype)


def enlarge(images: tf.Tensor, factor: int) -> tf.Tensor:
    """Enlarges `(batch, h, w, c)` bilinearly to `(batch, factor * h, factor * w, c)`, float32; borders are extended."""
    _, height, width, _ = images.shape
    size = (factor * height, factor * width)
    return tf.raw_ops.ResizeBilinear(images=tf.cast(images, tf.float32), size=size, half_pixel_centers=True)


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
    return [plain(variable) for variable in owner.variables]


def plain(variable) -> tf.Variable:
    """TensorFlow's variable itself; Keras 3 wraps it in one of its own."""
    return variable if isinstance(variable, tf.Variable) else variable.value
