"""Two smooth maps that stand for a mask at a quarter of its size: where vessels run, and how wide they are.

Coverage makes thin vessels faint, and a generator breaks what is faint. In the ridge map every vessel has the same
width and the same height, so that a thin vessel weighs as much as a thick one; the calibre map keeps the difference.

The center lines of other objects do not tell their shape: their maps are the distance to the outline, and the depth.

At full size the distance to the outline stands for the mask: it is smooth, so that it can be sampled between pixels.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from synthmed_tf.config.image_kind import Structures
from synthmed_tf.data.preprocessing import VESSEL_THRESHOLD

RIDGE, CALIBRE = slice(0, 1), slice(1, 2)

REACH = 3.0
"""Distance from the center line at which the ridge is 0, in pixels of the coarse maps."""

LARGEST_RADIUS = 2.0
"""Radius of the vessels of calibre 1, in pixels of the coarse maps; wider ones have 1 too."""

DEEPEST = 12.0
"""Distance from the outline at which the depth of an object is 1, in pixels of the coarse maps."""

OUTLINE_REACH = 3.0
"""Distance from the outline, in pixels of the mask, from which on distances stay 0 or 1."""

_THIN = 0.8
"""Radius that vessels have at least, in pixels: a line of that radius has no gaps after a rotation."""

_LEAST_PIECE = 25 / 512**2
_EVERY_NEIGHBOUR = np.ones((3, 3), bool)


def vessel_maps(mask: np.ndarray, coarse_size: int, structures: Structures = "vessels") -> np.ndarray:
    """Computes ridge and calibre of a mask, at the mask's own size.

    With d, the distance to the nearest pixel of the center lines, and r, the distance of that pixel to the outline:

        ridge = max(0, 1 - d / (REACH f)), calibre = ridge min(1, r / (LARGEST_RADIUS f)), f = size / coarse_size

    Of other structures, with s, the distance to the outline, positive inside:

        ridge = 1/2 + s / (2 REACH f), calibre = ridge s / (DEEPEST f), both cut to [0, 1]

    Specks below 25 of 512 x 512 pixels are left out.

    Args:
        mask: `(size, size)`, bool.
        coarse_size: pixels a side of the maps that a generator learns; divides the size.
        structures: what the mask marks.

    Returns:
        `(size, size, 2)`, float32 in [0, 1].

    Example:
        >>> mask = np.zeros((8, 8), bool)
        >>> mask[4, 1:7] = True
        >>> vessel_maps(mask, 8)[1:5, 3, 0]
        array([0.        , 0.33333334, 0.6666667 , 1.        ], dtype=float32)
    """
    if mask.ndim != 2 or mask.dtype != np.bool_ or len(mask) % coarse_size:
        raise ValueError(
            f"Expected a mask of bool whose side {coarse_size} divides. Received: {mask.dtype} {mask.shape}"
        )
    factor = len(mask) // coarse_size
    whole = _without_specks(mask)
    if not whole.any():
        return np.zeros((*mask.shape, 2), np.float32)
    if structures == "any":
        return _shape_maps(whole, factor)
    lines = skeletonize(whole, method="lee") > 0
    away, nearest = ndimage.distance_transform_edt(~lines, return_indices=True)
    radius = ndimage.distance_transform_edt(whole)[tuple(nearest)]
    ridge = np.clip(1.0 - away / (REACH * factor), 0.0, 1.0)
    calibre = np.clip(radius / (LARGEST_RADIUS * factor), 0.0, 1.0)
    return np.stack([ridge, ridge * calibre], axis=-1).astype(np.float32)


def stack_maps(
    coverage_u8: np.ndarray,
    coarse_size: int,
    progress: Callable[[int, int], None] | None = None,
    structures: Structures = "vessels",
) -> np.ndarray:
    """Computes the maps of many masks.

    Args:
        coverage_u8: `(n, size, size, 1)`, uint8; vessel from 128 on.
        coarse_size: as for `vessel_maps`.
        progress: called with (done, total).
        structures: as for `vessel_maps`.

    Returns:
        `(n, size, size, 2)`, uint8 in [0, 255]: ridge and calibre.
    """
    maps = np.empty((*coverage_u8.shape[:3], 2), np.uint8)
    for done, (row, pixels) in enumerate(zip(maps, coverage_u8, strict=True), start=1):
        vessel = pixels[..., 0] >= VESSEL_THRESHOLD
        row[:] = np.round(vessel_maps(vessel, coarse_size, structures) * 255.0)
        if progress is not None:
            progress(done, len(maps))
    return maps


def outline_distance(mask: np.ndarray, structures: Structures = "vessels") -> np.ndarray:
    """Computes the signed distance of each pixel to the outline of a mask.

    With s, the distance to the outline in pixels, positive inside, and for vessels d, the distance to the nearest pixel
    of the center lines:

        1/2 + max(s, 0.8 - d) / (2 OUTLINE_REACH), cut to [0, 1]

    Specks are left out as in `vessel_maps`.

    Args:
        mask: `(size, size)`, bool.
        structures: what the mask marks.

    Returns:
        `(size, size, 1)`, float32 in [0, 1]; 0.5 and more is vessel.

    Example:
        >>> mask = np.zeros((8, 8), bool)
        >>> mask[4:, 1:7] = True
        >>> outline_distance(mask, "any")[2:6, 3, 0]
        array([0.25      , 0.41666666, 0.5833333 , 0.75      ], dtype=float32)
    """
    whole = _without_specks(mask)
    if not whole.any():
        return np.zeros((*mask.shape, 1), np.float32)
    signed = _signed_distance(whole)
    if structures == "vessels":
        signed = np.maximum(signed, _THIN - ndimage.distance_transform_edt(skeletonize(whole, method="lee") == 0))
    return np.clip(0.5 + signed / (2.0 * OUTLINE_REACH), 0.0, 1.0).astype(np.float32)[..., None]


def stack_distances(coverage_u8: np.ndarray, structures: Structures = "vessels") -> np.ndarray:
    """The same of many masks `(n, size, size, 1)`, uint8, vessel from 128 on; uint8 in [0, 255]."""
    masks = coverage_u8[..., 0] >= VESSEL_THRESHOLD
    return np.stack([np.round(outline_distance(mask, structures) * 255.0).astype(np.uint8) for mask in masks])


def reduce_maps(maps: np.ndarray, factor: int) -> np.ndarray:
    """Averages `(n, size, size, channels)` uint8 over `factor` x `factor` pixels; uint8."""
    n, height, width, channels = maps.shape
    cells = maps.reshape(n, height // factor, factor, width // factor, factor, channels)
    return np.round(cells.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)


def _shape_maps(mask: np.ndarray, factor: int) -> np.ndarray:
    signed = _signed_distance(mask) / factor
    ridge = np.clip(0.5 + signed / (2.0 * REACH), 0.0, 1.0)
    return np.stack([ridge, ridge * np.clip(signed / DEEPEST, 0.0, 1.0)], axis=-1).astype(np.float32)


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    """To the outline of a mask that is not empty, in pixels, positive inside."""
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask) if not mask.all() else np.zeros(mask.shape)
    return np.where(mask, inside - 0.5, 0.5 - outside)


def _without_specks(mask: np.ndarray) -> np.ndarray:
    pieces, _ = ndimage.label(mask, _EVERY_NEIGHBOUR)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes >= _LEAST_PIECE * mask.size)[pieces]
