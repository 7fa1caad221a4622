"""How far generated images are from real ones, by their patches at several scales: a metric without a detector.

The sliced Wasserstein distance between patches of a Laplacian pyramid (Karras et al. 2018, section 5). A few real
images suffice, since each has thousands of patches. Differences from there: both sets are scaled by the spread of the
real one, since scaling each by its own would hide blur and wrong colours; the numbers of images may differ; and the
pyramid goes down to 8 pixels a side, where a patch is almost the whole image, so that repetition shows.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

SMALLEST = 8
"""Side of the coarsest level, in pixels."""

_PATCH = 7
_PATCHES = 8192
_DIRECTIONS = 128
_KERNEL = np.float32([1, 4, 6, 4, 1]) / 16
_GREY_LEVEL = 2 / 255
_FLOOR = 0.01


def patch_distance(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> float:
    """The geometric mean of `level_distances`: 0 for equal sets, and larger the further the sets are apart.

    Coarse levels differ more between any two small sets of images, real ones too; in an arithmetic mean they would
    outweigh the fine ones, which show blur. 0.01 is added to each level and taken off again, so that no level that
    agrees by chance decides alone. Values can be compared where `real`, the seed and the size are the same.
    """
    levels = np.array(list(level_distances(real, generated, seed).values()))
    return float(np.exp(np.mean(np.log(levels + _FLOOR))) - _FLOOR)


def mask_distance(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> float:
    """The mean of two patch distances, that of the masks and that of their `wholeness`.

    Patches alone hardly tell a broken tree from a whole one; the second distance does.

    Args:
        real, generated: masks `(n, size, size, 1)` as for `level_distances`; vessel is what lies above the middle of
            the range.
        seed: as there.

    Returns:
        0 for equal sets, and larger the further the sets are apart.
    """
    masks = [np.where(_as_float(masks) > 0, np.float32(1), np.float32(-1)) for masks in (real, generated)]
    return (patch_distance(*masks, seed) + patch_distance(*map(wholeness, masks), seed)) / 2


def wholeness(masks: np.ndarray) -> np.ndarray:
    """Gives each vessel pixel the share of the mask's vessels that its piece (8-connected) holds.

    Args:
        masks: `(n, size, size, 1)`, vessel where above 0.

    Returns:
        The same shape, float32 in [-1, 1]: -1 where no vessel is, 1 where all vessels are one piece.
    """
    whole = np.full(masks.shape, -1, np.float32)
    for row, vessel in zip(whole[..., 0], masks[..., 0] > 0, strict=True):
        pieces, _ = ndimage.label(vessel, np.ones((3, 3)))
        shares = np.bincount(pieces.ravel()) / max(1, np.count_nonzero(vessel))
        row[vessel] = 2 * shares[pieces[vessel]] - 1
    return whole


def level_distances(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> dict[int, float]:
    """The sliced Wasserstein distance between the patches of two sets, at each level of their Laplacian pyramids.

    A level holds what is lost from it to the next coarser one; the last holds what is left, with 8 pixels a side.
    Patches are 7 x 7 pixels, up to 8,192 of a set, taken anywhere; the distance is the mean over 128 directions of the
    distance between the two one-dimensional distributions. The unit is the standard deviation of the real set's values
    at that level, for each channel (one grey level at least).

    Args:
        real, generated: `(n, size, size, channels)`, uint8 in [0, 255] or floating point in [-1, 1], n at least 1; n
            may differ. The size is at least 8.
        seed: chooses patches and directions.

    Returns:
        The side of each level, finest first, to its distance, not negative.

    Raises:
        ValueError: another shape or dtype, an empty set, or values that are not finite.
    """
    real, generated = _as_float(real), _as_float(generated)
    if real.shape[1:] != generated.shape[1:]:
        raise ValueError(f"Expected two sets of images of one shape. Received: {real.shape} and {generated.shape}")
    levels = zip(pyramid(real), pyramid(generated), strict=True)
    return {a.shape[1]: _sliced(a, b, np.random.SeedSequence((seed, a.shape[1]))) for a, b in levels}


def pyramid(images: np.ndarray) -> list[np.ndarray]:
    """The Laplacian pyramid (Burt, Adelson 1983), finest level first.

    Args:
        images: `(n, size, size, channels)` float32.

    Returns:
        Arrays of half the side each; the last is the blurred image, with a side from 8 to 15 (or an odd one).
    """
    levels = []
    while images.shape[1] >= 2 * SMALLEST and images.shape[1] % 2 == 0:
        coarse = _halved(_halved(images, 1), 2)
        levels.append(images - _doubled(_doubled(coarse, 1), 2))
        images = coarse
    return [*levels, images]


def wasserstein(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The distance (W1) between one-dimensional samples, column by column.

    Args:
        one: `(n, columns)`.
        other: `(m, columns)`; the result is exact where m divides n or n divides m.

    Returns:
        `(columns,)`: the mean absolute difference of as many quantiles as the larger sample has values.
    """
    count = max(len(one), len(other))
    parts = [np.sort(values, axis=0)[np.arange(count) * len(values) // count] for values in (one, other)]
    return np.mean(np.abs(parts[0] - parts[1]), axis=0)


def _sliced(real: np.ndarray, generated: np.ndarray, entropy: np.random.SeedSequence) -> float:
    spread = np.maximum(np.std(real, axis=(0, 1, 2), dtype=np.float64), _GREY_LEVEL).astype(np.float32)
    chooses_patches, chooses_directions = entropy.spawn(2)
    patches = [_patches(images, np.random.default_rng(chooses_patches)) / spread for images in (real, generated)]
    width = patches[0][0].size
    directions = np.random.default_rng(chooses_directions).normal(size=(width, _DIRECTIONS))
    directions = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
    projected = [values.reshape(len(values), width) @ directions for values in patches]
    return float(np.mean(wasserstein(*projected), dtype=np.float64))


def _patches(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`(patches, 7, 7, channels)`: all patches, or as many of them as are compared."""
    windows = sliding_window_view(images, (_PATCH, _PATCH), axis=(1, 2))
    places = np.prod(windows.shape[:3])
    chosen = rng.choice(places, _PATCHES, replace=False) if places > _PATCHES else np.arange(places)
    return np.moveaxis(windows[np.unravel_index(chosen, windows.shape[:3])], 1, -1)


def _halved(images: np.ndarray, axis: int) -> np.ndarray:
    """Blurred along an axis, and every second pixel taken."""
    lines = np.moveaxis(images, axis, 0)
    padded = np.pad(lines, [(2, 2), (0, 0), (0, 0), (0, 0)], mode="reflect")
    halved = sum(weight * padded[i : i + len(lines) : 2] for i, weight in enumerate(_KERNEL))
    return np.moveaxis(halved, 0, axis)


def _doubled(images: np.ndarray, axis: int) -> np.ndarray:
    """Twice as many pixels along an axis: zeros between, then twice the same blur, written without the zeros."""
    lines = np.moveaxis(images, axis, 0)
    padded = np.pad(lines, [(1, 1), (0, 0), (0, 0), (0, 0)], mode="edge")
    doubled = np.empty((2 * len(lines), *lines.shape[1:]), np.float32)
    doubled[::2] = (padded[:-2] + 6 * lines + padded[2:]) / 8
    doubled[1::2] = (lines + padded[2:]) / 2
    return np.moveaxis(doubled, 0, axis)


def _as_float(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    is_float = np.issubdtype(images.dtype, np.floating)
    shaped = images.ndim == 4 and images.shape[1] == images.shape[2] >= SMALLEST
    if not shaped or not len(images) or not (is_float or images.dtype == np.uint8):
        raise ValueError(
            f"A distance takes uint8 or floating point images (n, size, size, channels), n >= 1, size >= {SMALLEST}. "
            f"Received: dtype={images.dtype}, shape={images.shape}"
        )
    scaled = images.astype(np.float32) if is_float else images.astype(np.float32) / 127.5 - 1
    if not np.isfinite(scaled).all():
        raise ValueError("A distance takes finite values. Received: a NaN or an infinity")
    return scaled
