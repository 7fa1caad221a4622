"""Metrics of vessel segmentation inside a field of view, in plain NumPy: F1 (Dice), AUC, clDice and MCC.

`expected_dice` estimates the Dice overlap where there is no ground truth.
"""

import numpy as np
from scipy.stats import rankdata
from skimage.morphology import skeletonize

LEVELS = 256
"""Thresholds that are tried: 0, 1/256, ..., 255/256."""

COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")


def f1(truth: np.ndarray, found: np.ndarray, inside: np.ndarray) -> float:
    """F1 of the vessel pixels, which is the Dice overlap: 2 |truth and found| / (|truth| + |found|).

    Args:
        truth, found, inside: of one shape, bool; pixels outside are not counted.

    Returns:
        In [0, 1]; 1 where both are empty.

    Raises:
        ValueError: another dtype, or shapes that differ.
    """
    _check(inside, truth, found)
    truth, found = truth[inside], found[inside]
    total = int(truth.sum()) + int(found.sum())
    return 2 * int((truth & found).sum()) / total if total else 1.0


def auc(truth: np.ndarray, score: np.ndarray, inside: np.ndarray) -> float:
    """Area under the ROC curve: how probably a vessel pixel scores above another; equal scores count one half.

    It is the Mann-Whitney statistic of the ranks divided by the number of pairs.

    Args:
        truth, inside: of one shape, bool; pixels outside are not counted.
        score: of that shape, floating point; larger is more probably vessel.

    Returns:
        In [0, 1].

    Raises:
        ValueError: another dtype, shapes that differ, or no pixel of one of the two kinds inside.
    """
    _check(inside, truth)
    if score.shape != truth.shape:
        raise ValueError(f"Expected scores of the truth's shape. Received: {score.shape} and {truth.shape}")
    truth = truth[inside]
    vessels, others = int(truth.sum()), int((~truth).sum())
    if not vessels or not others:
        raise ValueError(f"The curve needs pixels of both kinds. Received: {vessels} vessel and {others} other pixels")
    above = rankdata(score[inside].astype(np.float64))[truth].sum() - vessels * (vessels + 1) / 2
    return float(above / vessels / others)


def cl_dice(truth: np.ndarray, found: np.ndarray, inside: np.ndarray) -> float:
    """Centre-line Dice (Shit et al. 2021): whether the same vessels are there, regardless of their width.

    The harmonic mean of the share of the found centre lines that lies in true vessels and the share of the true centre
    lines that was found. Centre lines are thinned by the method of Lee et al. (1994), which keeps diagonals of two
    pixels, after both masks are cut to the inside.

    Args:
        truth, found, inside: `(height, width)`, bool.

    Returns:
        In [0, 1]; 1 where both are empty, 0 where one is.

    Raises:
        ValueError: another dtype, or shapes that differ.
    """
    _check(inside, truth, found)
    truth, found = truth & inside, found & inside
    if not truth.any() or not found.any():
        return float(not truth.any() and not found.any())
    true_lines, found_lines = (skeletonize(mask, method="lee") > 0 for mask in (truth, found))
    precision = np.count_nonzero(found_lines & truth) / np.count_nonzero(found_lines)
    sensitivity = np.count_nonzero(true_lines & found) / np.count_nonzero(true_lines)
    return 2 * precision * sensitivity / (precision + sensitivity) if precision + sensitivity else 0.0


def expected_dice(probability: np.ndarray, mask: np.ndarray) -> float:
    """The Dice overlap that a mask would have with the truth if the probabilities were true ones.

    2 sum(p m) / (sum(p) + sum(m)): the ratio of the expectations of numerator and denominator.

    Args:
        probability: floating point in [0, 1]; 0 outside the field of view.
        mask: of its shape, bool.

    Returns:
        In [0, 1]; 0 where the mask is empty.

    Raises:
        ValueError: another dtype, or shapes that differ.
    """
    _check(mask)
    if probability.shape != mask.shape:
        raise ValueError(f"Expected probabilities of the mask's shape. Received: {probability.shape} and {mask.shape}")
    overlap, total = (float(values.sum(dtype=np.float64)) for values in (probability[mask], probability))
    return 2.0 * overlap / (total + int(mask.sum())) if mask.any() else 0.0


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
        "dice": np.array([f1(truth[i], found[i], inside[i]) for i in rows]),
        "cl_dice": np.array([cl_dice(truth[i], found[i], inside[i]) for i in rows]),
        "auc": np.array([auc(truth[i], probability[i], inside[i]) for i in rows]),
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

    Published values of a network's "F1" are sometimes the second, which is much larger; it is useful only for a
    comparison with those.

    Returns:
        Both in [0, 1]; a class that neither truth nor result has counts as 1.
    """
    errors = fp + fn
    vessel, background = (2 * hits / (2 * hits + errors) if hits + errors else 1.0 for hits in (tp, tn))
    return float(vessel), float((vessel + background) / 2)


def _check(inside: np.ndarray, *masks: np.ndarray) -> None:
    arrays = (inside, *masks)
    if any(array.dtype != np.bool_ or array.shape != inside.shape for array in arrays):
        received = ", ".join(f"{array.dtype} {array.shape}" for array in arrays)
        raise ValueError(f"Expected masks of bool and one shape. Received: {received}")
