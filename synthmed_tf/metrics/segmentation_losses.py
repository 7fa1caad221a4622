"""Losses of a segmenter, as pure functions: the differentiable counterparts of the overlap metrics.

They live here because evaluation trains segmenters with them too, and evaluation imports no training code.
"""

import tensorflow as tf


def masked_cross_entropy(target: tf.Tensor, logits: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    """Sigmoid cross-entropy, averaged over the pixels inside; 0 for an example that has none.

    Args:
        target: `(batch, ...)`, in [0, 1]; logits and inside, in {0, 1}, have its shape.

    Returns:
        `(batch,)` float32.
    """
    _check_same_shape(target, logits)
    _check_same_shape(target, inside)
    target, logits, inside = (tf.cast(values, tf.float32) for values in (target, logits, inside))
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(target, logits)
    return _sum_per_example(entropy * inside) / tf.maximum(_sum_per_example(inside), 1.0)


def dice_loss(target: tf.Tensor, logits: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    """One minus the Dice overlap of target and sigmoid(logits) inside (Milletari et al. 2016, without their squares).

    One is added above and below, so that an example without a vessel has a value and a gradient.

    Args:
        target: `(batch, ...)`, in {0, 1}; logits and inside, in {0, 1}, have its shape.

    Returns:
        `(batch,)` float32 in [0, 1).
    """
    _check_same_shape(target, logits)
    _check_same_shape(target, inside)
    target, logits, inside = (tf.cast(values, tf.float32) for values in (target, logits, inside))
    target, found = target * inside, tf.sigmoid(logits) * inside
    return 1.0 - (2.0 * _sum_per_example(target * found) + 1.0) / (_sum_per_example(target + found) + 1.0)


def _sum_per_example(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(values, axis=tuple(range(1, values.shape.rank)))


def _check_same_shape(a: tf.Tensor, b: tf.Tensor) -> None:
    if not a.shape.is_compatible_with(b.shape) or a.shape.rank != b.shape.rank:
        raise ValueError(f"Expected two tensors of one shape. Received: {a.shape} and {b.shape}")
