"""Averaged weights: what a GAN's generator is generated with after training (Yazici et al. 2019)."""

import keras
import tensorflow as tf


def update(average: keras.Model, model: keras.Model, decay: tf.Tensor | None) -> None:
    """Moves each weight of `average` towards that of `model`: average <- decay * average + (1 - decay) * model.

    Weights that no optimizer trains (moving statistics) are copied, and all are where there is no decay. May be called
    in a replica's context: the weights are equal on all replicas, so the averages stay equal.
    """
    for slow, fast in zip(average.trainable_variables, model.trainable_variables, strict=True):
        if decay is None:
            slow.assign(fast)
        else:
            slow.assign_sub((1.0 - tf.cast(decay, slow.dtype)) * (slow - fast))
    for slow, fast in zip(average.non_trainable_variables, model.non_trainable_variables, strict=True):
        slow.assign(fast)


def decay(images_seen: tf.Tensor, batch_size: int, half_life: float) -> tf.Tensor | None:
    """The decay of one step for a half-life in images, shorter at the start (Karras et al. 2020, ramp-up 0.05).

    Args:
        images_seen: scalar, how many images training has seen.
        batch_size: images a step (over all replicas).
        half_life: in images; 0 turns averaging off.

    Returns:
        Scalar float32 in [0, 1); None without averaging.
    """
    if half_life == 0:
        return None
    ramped = tf.minimum(tf.cast(half_life, tf.float32), 0.05 * tf.cast(images_seen, tf.float32))
    return tf.pow(0.5, batch_size / tf.maximum(ramped, 1e-8))
