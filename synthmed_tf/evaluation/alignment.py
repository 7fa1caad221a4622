"""Alignment of two pairs at full size, along the centre lines of their vessels, and how similar they then are.

Masks are compared by Dice and the F1 of their centre lines, images by the correlation of their green channels.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from synthmed_tf.data.alignment import detail
from synthmed_tf.evaluation.transforms import Transform, fit
from synthmed_tf.metrics import segmentation

TOLERANCE = 3 / 512
"""How far apart two centre lines may lie and agree, as a share of the side (one pixel at least): 3 pixels of 512. A
fixed number of pixels would mean half of a 64-pixel image and nothing in an image of 3,000."""

LEAST = 0.25
"""The least share of the vessels that a window must hold to be compared, of what its area would hold on average: a
single vessel is similar to any other."""

_FITTED = 600
_RADII = np.geomspace(0.08, 0.012, 14)
_FEWEST = 10
_SCALES, _ANGLE = (0.8, 1.25), 25.0
_LEAST_TILE = 0.25


@dataclass(frozen=True)
class Tree:
    """A mask with its centre lines.

    Attributes:
        mask: `(side, side)`, bool.
        points: `(n, 2)`, float64: the centre lines' pixels, (x, y) in [-1, 1].
        nearest: finds the nearest of them.
    """

    mask: np.ndarray
    points: np.ndarray
    nearest: cKDTree


def tree_of(mask: np.ndarray) -> Tree:
    """Thins a mask `(side, side)`, bool."""
    rows, columns = np.nonzero(skeletonize(mask))
    points = (2 * np.stack([columns, rows], axis=1) + 1) / len(mask) - 1
    return Tree(mask, points, cKDTree(points))


def refined(start: Transform, real: Tree, synthetic: Tree, window: tuple[int, ...]) -> Transform:
    """Moves the real centre lines onto the synthetic ones (iterated closest points, Besl and McKay 1992).

    Points that have no partner within a radius are left out; the radius shrinks from 4 percent of the side to 0.6.

    Args:
        start: right to some 3 percent of the side.
        window: the quarters that are compared.

    Returns:
        The transform where it ended, with the flips of `start`; `start` itself where too few points have a partner.
    """
    found = start
    some = real.points[:: max(1, len(real.points) // _FITTED)]
    for radius in _RADII:
        moved = found.forward(some)
        away, partner = synthetic.nearest.query(moved, distance_upper_bound=radius)
        paired = np.isfinite(away) & _inside(moved, window)
        if np.count_nonzero(paired) < _FEWEST:
            break
        new = fit(some[paired], synthetic.points[partner[paired]], start.flips)
        if not _SCALES[0] < new.scale < _SCALES[1] or abs(new.rotation) > _ANGLE:
            break
        found = new
    return found


def agreement(transform: Transform, real: Tree, synthetic: Tree, window: tuple[int, ...]) -> tuple[float, float]:
    """Dice of the masks and F1 of their centre lines in a window of the synthetic mask.

    Args:
        transform: from the real mask to the synthetic one.
        window: the quarters that are compared.

    Returns:
        Both in [0, 1]. F1 counts a point as found where the other centre line passes within `TOLERANCE`. Both are 0
        where one of the masks has less than `LEAST` of its average share of vessels in the window.
    """
    warped, within = transform.warp(real.mask), _window_mask(len(real.mask), window)
    held = (np.count_nonzero(mask & within) / max(1, np.count_nonzero(mask)) for mask in (warped, synthetic.mask))
    moved = transform.forward(real.points)
    ours, theirs = (points[_inside(points, window)] for points in (moved, synthetic.points))
    if min(held) < LEAST * len(window) / 4 or not len(ours) or not len(theirs):
        return 0.0, 0.0
    side = len(real.mask)
    limit = 2 * max(TOLERANCE, 1 / side) + 1e-9
    recall = np.mean(synthetic.nearest.query(ours)[0] <= limit)
    precision = np.mean(real.nearest.query(transform.backward(theirs))[0] * transform.scale <= limit)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return segmentation.f1(synthetic.mask, warped, within), float(f1)


def _inside(points: np.ndarray, window: tuple[int, ...]) -> np.ndarray:
    """Whether points lie in the image and in one of the quarters."""
    quarter = 2 * (points[:, 1] >= 0) + (points[:, 0] >= 0)
    held = np.array([number in window for number in range(4)])
    return held[quarter] & (np.abs(points) <= 1).all(axis=1)


@lru_cache(32)
def _window_mask(side: int, window: tuple[int, ...]) -> np.ndarray:
    centre = (2 * np.arange(side) + 1) / side - 1
    grid = np.stack(np.meshgrid(centre, centre), axis=-1).reshape(-1, 2)
    return _inside(grid, window).reshape(side, side)


@dataclass(frozen=True)
class ImageMatch:
    """The similarity of two aligned images.

    Attributes:
        whole: correlation within both fields of view, in [-1, 1].
        tiles: `(3, 3)`, float64: the same in each tile; NaN where less than a quarter of a tile lies in both fields.
    """

    whole: float
    tiles: np.ndarray


@dataclass(frozen=True)
class Flattened:
    """An image's green channel without uneven illumination.

    Attributes:
        green: `(side, side)`, float32, as `detail` gives it.
        field: `(side, side)`, bool: the field of view.
    """

    green: np.ndarray
    field: np.ndarray


def flattened(image: np.ndarray, field: np.ndarray) -> Flattened:
    """Flattens the illumination of an image `(side, side, 3)`, uint8, in its field of view `(side, side)`, bool."""
    return Flattened(detail(image[..., 1].astype(np.float32), field), field)


def image_similarity(synthetic: Flattened, real: Flattened, transform: Transform) -> ImageMatch:
    """Correlates two images in the alignment of their masks.

    Args:
        synthetic, real: of one size.
        transform: a match's.

    Returns:
        The correlations; 0 where one image is flat.
    """
    ours, other = synthetic.green, transform.warp(real.green)
    field = synthetic.field & transform.warp(real.field)
    edges = np.linspace(0, len(field), 4).round().astype(int)
    tiles = np.full((3, 3), np.nan)
    for row, column in np.ndindex(3, 3):
        tile = np.s_[edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
        if field[tile].mean() >= _LEAST_TILE:
            tiles[row, column] = _pearson(ours[tile][field[tile]], other[tile][field[tile]])
    return ImageMatch(_pearson(ours[field], other[field]) if field.any() else 0.0, tiles)


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(dtype=np.float64), other - other.mean(dtype=np.float64)
    length = np.sqrt(np.sum(one**2) * np.sum(other**2))
    return float(np.sum(one * other) / length) if length else 0.0
