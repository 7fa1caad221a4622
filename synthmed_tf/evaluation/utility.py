"""How well vessels were found, image by image: the threshold, and the scores at it.

All figures are taken inside the field of view. NumPy arrays in, NumPy arrays out.
"""

import numpy as np

from synthmed_tf.metrics import segmentation

LEVELS = 256
"""Thresholds that are tried: 0, 1/256, ..., 255/256."""

COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")


def best_threshold(truth: np.ndarray, probability: np.ndarray, inside: np.ndarray) -> float:
    """The threshold at which the Dice overlap over all pixels is largest; the lowest of equally good ones.

    Args:
        truth, inside: of one shape, bool.
        probability: of that shape, floating point in [0, 1]; a pixel is found where it is the threshold or above.

    Returns:
        A multiple of 1/256 in [0, 1).
    """
    level = np.minimum((probability[inside] * LEVELS).astype(int), LEVELS - 1)
    vessel = np.bincount(level[truth[inside]], minlength=LEVELS)
    found = np.cumsum(np.bincount(level, minlength=LEVELS)[::-1])[::-1]
    hits = np.cumsum(vessel[::-1])[::-1]
    return float(np.argmax(2 * hits / np.maximum(1, found + vessel.sum()))) / LEVELS


def image_scores(
    truth: np.ndarray, probability: np.ndarray, inside: np.ndarray, threshold: float
) -> dict[str, np.ndarray]:
    """Scores of each image.

    Args:
        truth, inside: `(n, size, size)`, bool.
        probability: `(n, size, size)`, floating point in [0, 1].
        threshold: as `best_threshold` gives it.

    Returns:
        `(n,)` each: `dice`, `cl_dice`, `auc`, `mcc` (float64), and the numbers of pixels named in `COUNTS` (int64).
    """
    found = probability >= threshold
    kinds = (truth & found, ~truth & found, truth & ~found, ~truth & ~found)
    counts = [np.count_nonzero(kind & inside, axis=(1, 2)) for kind in kinds]
    rows = range(len(truth))
    return {
        "dice": np.array([segmentation.f1(truth[i], found[i], inside[i]) for i in rows]),
        "cl_dice": np.array([segmentation.cl_dice(truth[i], found[i], inside[i]) for i in rows]),
        "auc": np.array([segmentation.auc(truth[i], probability[i], inside[i]) for i in rows]),
        "mcc": correlation(*counts),
        **dict(zip(COUNTS, counts, strict=True)),
    }


def correlation(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    """Matthews' correlation coefficient (Matthews 1975) from counts of pixels, in [-1, 1]; 0 where it is undefined."""
    tp, fp, fn, tn = (np.asarray(count, np.float64) for count in (tp, fp, fn, tn))
    scale = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.divide(tp * tn - fp * fn, scale, out=np.zeros_like(scale), where=scale > 0)


def pooled(tp: int, fp: int, fn: int, tn: int) -> tuple[float, float]:
    """Dice over the pixels of all images, and the mean of the vessels' and the background's Dice (macro F1).

    Published figures of a network's "F1" are now and then the second, which is much larger; it is of use for a
    comparison with those alone.

    Returns:
        Both in [0, 1]; a class that neither truth nor result has counts as 1.
    """
    errors = fp + fn
    vessel, background = (2 * hits / (2 * hits + errors) if hits + errors else 1.0 for hits in (tp, tn))
    return float(vessel), float((vessel + background) / 2)
