"""Metrics that show when a run goes wrong, and the alarms at their thresholds."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from synthmed_tf.data import augmentation
from synthmed_tf.models import latents

DIVERSITY, DISCRIMINATOR, LEAK = "health/diversity", "health/discriminator_loss", "health/augmentation_leak"

_CELLS = 16
_MOMENTS = ((1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (3, 0), (0, 3))
# An augmentation shows in a moment only where it spreads that moment this many times as far as real masks do.
_VISIBLE = 1.5


@dataclass(frozen=True)
class Alarm:
    """A metric, the threshold beyond which it is a warning, and what that means.

    Attributes:
        metric: its name in TensorBoard and `metrics.jsonl`.
        threshold: the limit.
        above: whether metrics above it are bad, or those below.
        meaning: for the user, with what to do.
    """

    metric: str
    threshold: float
    above: bool
    meaning: str

    def rings(self, value: float) -> bool:
        """Whether the metric lies beyond the threshold."""
        return value > self.threshold if self.above else value < self.threshold


ALARMS = (
    Alarm(
        DIVERSITY, 0.3, False, "generated masks are nearly alike; raise diversity_weight or lower the learning rates"
    ),
    Alarm(
        DISCRIMINATOR,
        0.1,
        False,
        "the discriminator has won, so that the generator learns little; lower its learning rate or raise r1_gamma",
    ),
    Alarm(
        LEAK,
        0.5,
        True,
        "the discriminator's augmentation shows in generated masks; weaken stage1.augment or widen data.augment",
    ),
)


def diversity(real: np.ndarray, generated: np.ndarray) -> float:
    """How much generated masks differ among themselves, as a share of how much real ones do.

    Masks are averaged over 16 x 16 cells; what counts is the mean absolute difference of all pairs of a set.

    Args:
        real, generated: `(n, size, size, 1)` in [0, 1], n at least 2; may differ.

    Returns:
        About 1 for a healthy generator, 0 for one that generates a single mask.
    """
    return _mean_difference(generated) / max(_mean_difference(real), 1e-6)


def augmentation_leak(real: np.ndarray, augmented: np.ndarray, generated: np.ndarray) -> float:
    """How far generated masks spread as augmented real ones do, where real ones do not.

    Each mask has seven moments of where its vessels lie (up to the third power of x and y); the mean squared distance
    of a moment from the real masks' mean is `real` for real masks, and so on. The metric is
    (generated - real) / (augmented - real) of the moment that augmentation changes most: it shows shifts, zooms,
    rotations and flips that real masks do not have.

    Args:
        real: what the discriminator is given before its augmentation, `(n, size, size, 1)` in [0, 1].
        augmented: what it sees of them.
        generated: generated masks, not augmented.

    Returns:
        0: none; 1: generated masks spread as augmented ones do. 0 where augmentation changes nothing that shows.
    """
    centre = _moments(real).mean(axis=0)
    spreads = [np.mean(np.square(_moments(masks) - centre), axis=0) for masks in (real, augmented, generated)]
    of_real, of_augmented, of_generated = spreads
    ratio = of_augmented / np.maximum(of_real, 1e-12)
    most = int(np.argmax(ratio))
    if ratio[most] < _VISIBLE:
        return 0.0
    leak = (of_generated[most] - of_real[most]) / (of_augmented[most] - of_real[most])
    return float(max(leak, 0.0))


def augmented_masks(masks: np.ndarray, ranges: augmentation.Ranges, seed: int) -> np.ndarray:
    """Masks `(n, size, size, 1)` in [0, 1] as Stage-I's discriminator sees them."""
    index = tf.range(len(masks), dtype=tf.int64)
    unit = latents.sample_uniform(
        tf.fill(tf.shape(index), tf.constant(seed, tf.int64)), index, augmentation.NUMBERS, latents.AUGMENT_REAL
    )
    return augmentation.apply(tf.constant(masks, tf.float32), augmentation.transforms(unit, ranges)).numpy()


def _mean_difference(masks: np.ndarray) -> float:
    side = masks.shape[1] // _CELLS
    coarse = masks[..., 0].astype(np.float64).reshape(len(masks), _CELLS, side, _CELLS, side).mean(axis=(2, 4))
    flat = coarse.reshape(len(masks), -1)
    rows, columns = np.triu_indices(len(flat), 1)
    return float(np.mean(np.abs(flat[rows] - flat[columns])))


def _moments(masks: np.ndarray) -> np.ndarray:
    """`(n, 7)`: means of x^p y^q over each mask, x and y in [-1, 1]."""
    masks = masks[..., 0].astype(np.float64)
    axis = np.linspace(-1, 1, masks.shape[1])
    weights = masks / np.maximum(masks.sum(axis=(1, 2), keepdims=True), 1e-9)
    return np.stack([np.einsum("nyx,y,x->n", weights, axis**q, axis**p) for p, q in _MOMENTS], axis=1)
