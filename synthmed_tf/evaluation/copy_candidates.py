"""Which real masks a synthetic one may be a copy of: a coarse comparison of all with all.

Masks are reduced to 128 x 128, blurred, and their local mean is subtracted; real ones are flipped, rotated and scaled
there. Both are then averaged to 32 x 32 and the real one is shifted to every place within a quarter of the side; what
leaves the image is lost, unlike in a cyclic correlation. The four quarters are correlated separately, and their sums
give the halves and the whole at no cost. One matrix product compares all synthetic masks of a batch with all shifts of
a real one, and only the maxima are kept.

Measured with 100 masks (CHASE_DB1, HRF, phantoms) moved at random within the ranges: at 32 pixels with 7 angles and 3
scales each of 24 copies and of 24 spliced halves came first, ahead by 0.13 or more, and 23 of 24 spliced quarters; 9
angles and 5 scales found no more.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import tensorflow as tf
from scipy import ndimage

from synthmed_tf.evaluation.alignment import LEAST
from synthmed_tf.evaluation.transforms import Transform

SIDE, COARSE = 128, 32
REACH = 0.25
"""The largest shift, as a share of the side."""
ROTATIONS, SCALES = (-15.0, -10.0, -5.0, 0.0, 5.0, 10.0, 15.0), (0.9, 1.0, 1.1)
WINDOWS = {
    "whole": (0, 1, 2, 3),
    "top": (0, 1),
    "bottom": (2, 3),
    "left": (0, 2),
    "right": (1, 3),
    "top left": (0,),
    "top right": (1,),
    "bottom left": (2,),
    "bottom right": (3,),
}
"""Which quarters of the synthetic mask are compared: 0 top left, 1 top right, 2 bottom left, 3 bottom right."""
KINDS = {"whole": slice(0, 1), "half": slice(1, 5), "quarter": slice(5, 9)}
"""Which of `WINDOWS` are of a kind, by their order."""
_BLUR, _BROAD = 2.0, 8.0
_HOLDS = np.array([[quarter in quarters for quarter in range(4)] for quarters in WINDOWS.values()], np.float32)


def poses(flips: Sequence[tuple[bool, bool]]) -> list[Transform]:
    """All coarse transforms without a shift."""
    return [Transform(flip, angle, scale) for flip, angle, scale in product(flips, ROTATIONS, SCALES)]


def reduced(masks: np.ndarray) -> np.ndarray:
    """Masks as they are correlated.

    Args:
        masks: `(n, side, side)`, bool.

    Returns:
        `(n, SIDE, SIDE)`, float32: the share of vessel, blurred by 2 pixels, less the same blurred by 8.
    """
    small = tf.image.resize(masks.astype(np.float32)[..., None], (SIDE, SIDE), "area").numpy()[..., 0]
    narrow, broad = (ndimage.gaussian_filter(small, (0, blur, blur), mode="constant") for blur in (_BLUR, _BROAD))
    return narrow - broad


def halved(images: np.ndarray) -> np.ndarray:
    """`(n, SIDE, SIDE)` to `(n, SIDE / 2, SIDE / 2)`: what `reduced` left holds little that this loses."""
    return _averaged(images, 2)


def posed(real: np.ndarray, turns: Sequence[Transform]) -> np.ndarray:
    """Real masks in all coarse poses, made once however many synthetic ones are compared.

    Args:
        real: `(m, side, side)`, bool.
        turns: transforms without a shift.

    Returns:
        `(m, turns, COARSE, COARSE)`, float32: 344 kB a mask with four flips.
    """
    poses_of = np.empty((len(real), len(turns), COARSE, COARSE), np.float32)
    for index in range(len(real)):
        image = reduced(real[index : index + 1])[0]
        poses_of[index] = _coarse(np.stack([turn.warp(image) for turn in turns]))
    return poses_of


def similarity(synthetic: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlates a batch of synthetic masks with all real ones, in all windows.

    Args:
        synthetic: `(n, side, side)`, bool; memory grows with n x m, so n is a batch.
        real: `(m, turns, COARSE, COARSE)`, as `posed` gives them.

    Returns:
        similarity: `(9, n, m)`, float32, at most 1: the highest correlation over transforms and shifts, by `WINDOWS`;
            about 1 for a copy. A window that holds little is divided by the length that a quarter of its share of the
            whole would have.
        best: `(9, n, m)`, int16: the transform, by its place in the turns.
    """
    queries = _quarters(_coarse(reduced(synthetic)))
    queries_scale = _inverse_lengths(np.square(queries).sum(-1))
    held = tf.constant(queries)
    found = np.full((len(WINDOWS), len(synthetic), len(real)), -1, np.float32)
    best = np.zeros(found.shape, np.int16)
    for index, images in enumerate(real):
        for number, image in enumerate(images):
            places, energy = _shifted(image)
            scale = tf.constant(_inverse_lengths(energy))
            peaks = _peaks(held, tf.constant(places), scale).numpy() * queries_scale
            better = peaks > found[..., index]
            found[..., index][better] = peaks[better]
            best[..., index][better] = number
    return found, best


@tf.function(reduce_retracing=True)
def _peaks(queries: tf.Tensor, places: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """`(9, n)`: the highest product of each window over all places; `queries` is `(4, n, 256)`."""
    a, b, c, d = tf.unstack(tf.matmul(queries, places, transpose_b=True))
    sums = (a + b + c + d, a + b, c + d, a + c, b + d, a, b, c, d)
    return tf.stack([tf.reduce_max(window * scale[i], axis=-1) for i, window in enumerate(sums)])


def _shifted(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The quarters `(4, places, 256)` of an image moved everywhere within the reach, with zeros from outside, and the
    sums of their squares `(4, places)`."""
    half, padded = COARSE // 2, np.pad(image, round(REACH * COARSE))
    parts = np.lib.stride_tricks.sliding_window_view(padded, (half, half))
    sums = np.pad(np.square(padded).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    energy = sums[half:, half:] - sums[:-half, half:] - sums[half:, :-half] + sums[:-half, :-half]
    reach = len(energy) - half
    corners = [np.s_[down : down + reach, right : right + reach] for down in (0, half) for right in (0, half)]
    places = np.stack([parts[corner] for corner in corners]).reshape(4, reach * reach, half * half)
    return places, np.maximum(np.stack([energy[corner].ravel() for corner in corners]), 0)


def _coarse(images: np.ndarray) -> np.ndarray:
    return _averaged(images, SIDE // COARSE)


def _averaged(images: np.ndarray, step: int) -> np.ndarray:
    side = images.shape[1] // step
    return images.reshape(-1, side, step, side, step).mean((2, 4))


def _quarters(images: np.ndarray) -> np.ndarray:
    """`(4, n, 256)` from `(n, COARSE, COARSE)`, in the order that `WINDOWS` counts them."""
    half = COARSE // 2
    split = images.reshape(-1, 2, half, 2, half).transpose(1, 3, 0, 2, 4)
    return np.ascontiguousarray(split).reshape(4, len(images), half * half)


def _inverse_lengths(quarters: np.ndarray) -> np.ndarray:
    """`(9, n)`: one over the length of each window's values, or of so many as it must hold at least.

    `quarters` are the sums of squares, `(4, n)`.
    """
    energy = _HOLDS @ quarters
    least = LEAST * _HOLDS.sum(1, keepdims=True) / 4 * energy[:1]
    return 1 / np.sqrt(np.maximum(np.maximum(energy, least), 1e-12))
