"""The thresholds at which generated masks have the extent and the pieces of the training masks' vessels."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from scipy import ndimage

from synthmed_tf.models.mask_refiner import Thresholds, candidates

_LEVELS = 255
_LOW = 50.5 / _LEVELS
_MIDDLE, _CANDIDATES = (0.44, 0.61), 12
_HIGHEST = 191
_LEAST_PIECE, _WEIGHT_OF_PIECES = 5, 0.1
_EVERY_NEIGHBOUR = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Extent:
    """How much vessels cover.

    Attributes:
        share: of the pixels.
        width: twice the area by the length of the outline, in pixels.
        pieces: of 5 pixels or more (8-connected), the mean over the masks.
    """

    share: float
    width: float
    pieces: float


def extent(masks: np.ndarray) -> Extent:
    """Measures masks `(n, height, width)`, bool; a width of 0 where there is no vessel."""
    area, outline = masks.sum(), sum(int(_outline(mask).sum()) for mask in masks)
    sizes = [np.bincount(ndimage.label(mask, _EVERY_NEIGHBOUR)[0].ravel())[1:] for mask in masks]
    pieces = float(np.mean([(each >= _LEAST_PIECE).sum() for each in sizes]))
    return Extent(float(masks.mean()), 2.0 * float(area) / max(1, outline), pieces)


def choose_thresholds(distances: np.ndarray, target: Extent) -> Thresholds:
    """Chooses the thresholds of `mask_refiner.find_vessels`.

    The low one is fixed. The middle one decides how wide vessels are, the high one which pieces are kept. Among 12
    middle thresholds and all high ones up to 0.75 that pair is taken whose share, width and pieces are nearest to the
    target, by the sum of the squared logarithms of their ratios, that of pieces with a weight of 0.1 and where there
    are more than in the training masks: a tree in fewer pieces is no error. Thresholds lie between two of the 256
    levels that distances are rounded to.

    Args:
        distances: `(n, height, width, 1)`, float32 multiples of 1/255 in [0, 1], 0 outside the field of view.
        target: of the training masks.
    """
    best, chosen = np.inf, None
    for middle in np.linspace(*_MIDDLE, _CANDIDATES):
        first = int(np.ceil(middle * _LEVELS))
        thresholds = Thresholds(_LOW, (first - 0.5) / _LEVELS, (first - 0.5) / _LEVELS)
        # What is kept at a high threshold is all pieces whose peak is at least that.
        counted = _by_peak(distances, thresholds)
        kept_area, kept_outline, kept = (np.cumsum(counts[::-1])[::-1] for counts in counted)
        for level in range(first, _HIGHEST + 1):
            if not kept_area[level]:
                break
            share, width = kept_area[level] / distances.size, 2.0 * kept_area[level] / kept_outline[level]
            misfit = np.log(share / target.share) ** 2 + np.log(width / target.width) ** 2
            more = kept[level] / len(distances) / max(target.pieces, 1.0)
            misfit += _WEIGHT_OF_PIECES * np.log(max(more, 1.0)) ** 2
            if misfit < best:
                best, chosen = misfit, thresholds._replace(high=(level - 0.5) / _LEVELS)
    return chosen or thresholds


def _by_peak(distances: np.ndarray, thresholds: Thresholds) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area, outline and number of the pieces of candidates, added up by the level of their peaks: `(256,)` each."""
    area, outline, pieces_at = np.zeros((3, _LEVELS + 1))
    for distance in distances:
        mask = _candidates(distance[None], np.float32(thresholds.middle)).numpy()[0, ..., 0]
        pieces, count = ndimage.label(mask, _EVERY_NEIGHBOUR)
        if count:
            numbers = np.arange(1, count + 1)
            peaks = np.round(ndimage.maximum(distance[..., 0], pieces, numbers) * _LEVELS).astype(int)
            sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
            edges = np.bincount(pieces.ravel(), weights=_outline(mask).ravel(), minlength=count + 1)[1:]
            np.add.at(area, peaks, sizes)
            np.add.at(outline, peaks, edges)
            np.add.at(pieces_at, peaks, sizes >= _LEAST_PIECE)
    return area, outline, pieces_at


@tf.function(autograph=False)
def _candidates(distance: tf.Tensor, middle: tf.Tensor) -> tf.Tensor:
    return candidates(distance, Thresholds(_LOW, middle, middle))


def _outline(mask: np.ndarray) -> np.ndarray:
    """How many of each vessel pixel's four neighbours are background; what lies beyond the border is vessel."""
    padded = np.pad(mask, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return mask * sum((~neighbour).astype(np.int64) for neighbour in neighbours)
