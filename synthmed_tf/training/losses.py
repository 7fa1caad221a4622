"""Losses as pure functions: logits or images in, one float32 value per example out; examples are never averaged.

The trainer takes the only mean over the batch and makes the only division by replicas.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf


def generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """Non-saturating logistic loss, -log sigmoid(fake) (Goodfellow et al. 2014, section 3).

    It is the sigmoid cross-entropy of DCGAN and pix2pix with label 1.

    Args:
        fake_logits: `(batch, ...)`; patch logits are averaged over the patches.

    Returns:
        `(batch,)` float32.
    """
    return mean_per_example(tf.nn.softplus(-tf.cast(fake_logits, tf.float32)))


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Logistic loss, -log sigmoid(real) - log(1 - sigmoid(fake)) (Goodfellow et al. 2014, equation 1).

    Args:
        real_logits, fake_logits: `(batch, ...)` of one shape; patch logits are averaged over the patches.

    Returns:
        `(batch,)` float32.
    """
    _check_same_shape(real_logits, fake_logits)
    real, fake = tf.cast(real_logits, tf.float32), tf.cast(fake_logits, tf.float32)
    return mean_per_example(tf.nn.softplus(-real) + tf.nn.softplus(fake))


def r1_penalty(discriminate: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor) -> tf.Tensor:
    """Half the squared gradient of the logits at the real examples (Mescheder et al. 2018, equation 9, gamma = 1).

    Args:
        discriminate: real examples to logits; a patch discriminator's logits are averaged over the patches first.
        real: `(batch, ...)`.

    Returns:
        `(batch,)` float32, differentiable in the discriminator's weights.
    """
    with tf.GradientTape() as tape:
        tape.watch(real)
        logits = tf.reduce_sum(mean_per_example(discriminate(real)))
    gradient = tf.cast(tape.gradient(logits, real), tf.float32)
    return tf.reduce_sum(tf.square(gradient), axis=tuple(range(1, gradient.shape.rank))) / 2.0


def l1_loss(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference per example (Isola et al. 2017, equation 3), `(batch,)` float32."""
    _check_same_shape(target, prediction)
    return mean_per_example(tf.abs(tf.cast(target, tf.float32) - tf.cast(prediction, tf.float32)))


def feature_matching_loss(real_features: Sequence[tf.Tensor], fake_features: Sequence[tf.Tensor]) -> tf.Tensor:
    """Mean absolute difference of the discriminator's features, over its layers (Wang et al. 2018, equation 4).

    Args:
        real_features, fake_features: as many `(batch, ...)` tensors each, of equal shapes; no gradient flows into the
            real ones.

    Returns:
        `(batch,)` float32.
    """
    if len(real_features) != len(fake_features) or not real_features:
        raise ValueError(
            "Expected as many real as fake features, and at least one. "
            f"Received: {len(real_features)} real and {len(fake_features)} fake features"
        )
    terms = [l1_loss(tf.stop_gradient(r), f) for r, f in zip(real_features, fake_features, strict=True)]
    return tf.add_n(terms) / len(terms)


def kl_to_standard_normal(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """KL divergence of N(mean, exp(log_variance)) from N(0, 1), summed over the dimensions (Kingma, Welling 2014, B).

    Args:
        mean, log_variance: `(batch, dim)`.

    Returns:
        `(batch,)` float32, in nats.
    """
    _check_same_shape(mean, log_variance)
    mean, log_variance = tf.cast(mean, tf.float32), tf.cast(log_variance, tf.float32)
    return tf.reduce_sum(tf.square(mean) + tf.exp(log_variance) - log_variance - 1.0, axis=1) / 2.0


def diversity_loss(real: tf.Tensor, fake: tf.Tensor, cells: int = 16) -> tf.Tensor:
    """How far generated images are from differing among themselves as much as real ones do.

    Each even example and the next are a pair; a pair's distance is the mean absolute difference of its two images,
    averaged over `cells` x `cells` cells (where a structure lies counts, not each pixel). The loss is the squared
    relative difference of the generated pair's distance from the real pair's, and is least where they agree on average.
    After the distance terms of mode-seeking GANs (Mao et al. 2019), with the real distance as the goal.

    Args:
        real, fake: `(batch, size, size, channels)`; the batch must be even, the size divisible by `cells`.

    Returns:
        `(batch,)` float32; both examples of a pair have the pair's value.
    """
    _check_same_shape(real, fake)
    ratio = _pair_distance(fake, cells) / (_pair_distance(real, cells) + 1e-6)
    return tf.repeat(tf.square(ratio - 1.0), 2)


def unreached_share(ridges: tf.Tensor, calibres: tf.Tensor, steps: int = 64) -> tf.Tensor:
    """How much of a tree cannot be reached from its widest vessel: 0 where it is connected.

    The widest vessel is where the calibre is largest. From there on the ridge is filled: a pixel as far as the lowest
    pixel on the best way to it, by `steps` moves to one of eight neighbours (a morphological reconstruction, unrolled,
    of the maxima of 2 x 2 pixels). What lies behind a gap is filled as high as the gap alone, so the gradient raises
    the lowest pixel of the gap, by as much as lies behind it.

    Args:
        ridges, calibres: `(batch, size, size, 1)` in [0, 1]; the size is even.
        steps: how far a vessel may run, in steps of two pixels.

    Returns:
        `(batch,)` float32 in [0, 1].

    Example:
        >>> ridges = tf.reshape([1.0, 1.0, 1.0, 0.25, 1.0, 1.0], (1, 1, 6, 1))
        >>> line = tf.repeat(tf.repeat(ridges, 2, axis=1), 2, axis=2)
        >>> unreached_share(line, line * [[[1.0], *[[0.5]] * 11]]).numpy().round(3)
        array([0.286], dtype=float32)
    """
    ridges, calibres = (tf.nn.max_pool2d(tf.cast(maps, tf.float32), 2, 2, "VALID") for maps in (ridges, calibres))
    widest = calibres >= tf.reduce_max(calibres, axis=(1, 2, 3), keepdims=True)
    reached = tf.where(widest, ridges, 0.0)
    for _ in range(steps):
        reached = tf.minimum(ridges, tf.nn.max_pool2d(reached, 3, 1, "SAME"))
    return 1.0 - mean_per_example(reached) / (mean_per_example(ridges) + 1e-6)


def _pair_distance(images: tf.Tensor, cells: int) -> tf.Tensor:
    """Distances of examples 0 and 1, 2 and 3, ...: `(batch / 2,)` float32."""
    side = images.shape[1] // cells
    coarse = tf.nn.avg_pool2d(tf.cast(images, tf.float32), side, side, "VALID")
    return mean_per_example(tf.abs(coarse[0::2] - coarse[1::2]))


def mean_per_example(values: tf.Tensor) -> tf.Tensor:
    """Averages over all axes but the first, in float32: `(batch, ...)` to `(batch,)`."""
    values = tf.cast(values, tf.float32)
    return tf.reduce_mean(values, axis=tuple(range(1, values.shape.rank))) if values.shape.rank > 1 else values


def _check_same_shape(a: tf.Tensor, b: tf.Tensor) -> None:
    if not a.shape.is_compatible_with(b.shape) or a.shape.rank != b.shape.rank:
        raise ValueError(f"Expected two tensors of one shape. Received: {a.shape} and {b.shape}")
