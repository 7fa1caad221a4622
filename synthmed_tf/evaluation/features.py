"""Handcrafted features of each pair, measured once for all sections: 15 of its vessel tree, 28 of its image.

Those of the image need no trained network: colour, illumination, texture, sharpness. Nothing outside the field of
view counts. Texture and sharpness are in pixels, so all images that are compared must be of one resolution, and
have gone through one codec.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, fields

import numpy as np
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.feature import local_binary_pattern

from synthmed_tf.evaluation import vessel_tree
from synthmed_tf.evaluation.context import EvaluationContext
from synthmed_tf.evaluation.kid_fid import standardize
from synthmed_tf.evaluation.pairs import Block, Pairs

TREE = tuple(field.name for field in fields(vessel_tree.TreeMetrics))
"""Names of the features of a vessel tree, in order."""

OF_ANY = ("density", "calibre_mean", "calibre_p10", "calibre_p90", "components", "largest_share", "loops")
"""Those that masks of other structures than vessels have too, in order; the others are of center lines."""

_LAB = ("lightness", "green_red", "blue_yellow")
_PAIRS = ((0, 1), (0, 2), (1, 2))
_SIGMAS = (1, 2, 4, 8, 16)
_PATTERNS = 10
_COLOURLESS = 0.1

IMAGE = (
    *(f"{name}_mean" for name in _LAB),
    *(f"{name}_deviation" for name in _LAB),
    *(f"{_LAB[one]}_{_LAB[other]}_correlation" for one, other in _PAIRS),
    "illumination_x",
    "illumination_y",
    "illumination_radial",
    *(f"texture_{sigma}" for sigma in _SIGMAS),
    *(f"pattern_{pattern}" for pattern in range(_PATTERNS)),
    "sharpness",
)
"""Names of the features of an image, in order."""

_KEY = {"version": 2, "diameter": vessel_tree.DIAMETER}


def trees(context: EvaluationContext, pairs: Pairs) -> np.ndarray:
    """`(pairs, 15)`, float64: `vessel_tree.measure` of each mask, NaN where there is nothing to measure.

    Of masks of other structures than vessels, the columns `OF_ANY`.

    A mask takes some 0.15 s on one core, regardless of its size; 64 or more at once are shared among all cores.
    """
    measured = context.measured(pairs, "vessel trees", _KEY, _measure_trees)["features"]
    if context.kind.structures == "vessels":
        return measured
    return measured[:, [TREE.index(name) for name in OF_ANY]]


def images(context: EvaluationContext, pairs: Pairs) -> np.ndarray:
    """`(pairs, 28)`, float64: `appearance` of each image."""
    return context.measured(pairs, "images", {"version": 2}, _measure_images)["features"]


def comparable(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brings the features of two sets to one scale (`kid_fid.standardize`), also where some are missing.

    A missing value becomes 0, the median, and each feature that is missing somewhere adds a column that is 1 where it
    is, as in `two_sample_tests.robust_scores`.

    Args:
        real: `(n, features)`, floating point, NaN where missing, n at least 2.
        synthetic: `(m, features)`, alike.

    Returns:
        `(n, columns)` and `(m, columns)`, float64.
    """
    pooled = np.concatenate([real, synthetic])
    missing = np.isnan(pooled)
    filled = pooled.copy()
    for column, gaps in zip(filled.T, missing.T, strict=True):
        column[gaps] = np.median(column[~gaps]) if not gaps.all() else 0.0
    scaled = np.concatenate(standardize(filled[: len(real)], filled[len(real) :]))
    scaled = np.hstack([scaled, missing[:, missing.any(axis=0)]])
    return scaled[: len(real)], scaled[len(real) :]


def appearance(image: np.ndarray, fov: np.ndarray) -> dict[str, float]:
    """Describes an image inside its field of view.

    - Colour in CIELAB (D65; lightness in [0, 100]): means, deviations, and correlations of the channels, which are 0
      where one of two deviates by less than 0.1.
    - Illumination: how the green channel rises to the right, to the bottom, and from the centre to the rim, in grey
      levels per radius: a, b and c of the least-squares fit a x + b y + c r^2 + d. The centre is the field's centroid,
      the radius that of a disc of its area.
    - Texture: the root mean square of green, in grey levels, between Gaussian blurs of 0 and 1, 1 and 2, 2 and 4, 4 and
      8, 8 and 16 pixels; at the rim, a blur takes the mean of what lies inside.
    - Patterns: shares of the rotation-invariant uniform local binary patterns of green at radius 1 (Ojala et al. 2002):
      0 to 8 neighbours that are no darker, in one run, and (9) all others.
    - Sharpness: the root mean square of the 5-point Laplacian of green over its standard deviation; 0 where green is
      the same everywhere.

    Args:
        image: `(height, width, 3)`, uint8, RGB.
        fov: `(height, width)`, bool: the field of view.

    Returns:
        The names in `PHOTOGRAPH`, in that order, to their values.

    Raises:
        ValueError: another shape or dtype, or a field of view that holds no square of 3 x 3 pixels.
    """
    _check(image, fov)
    box = ndimage.find_objects(fov.astype(np.uint8))[0]
    fov = fov[box]
    image = image[box] * fov[..., None]
    green = image[..., 1].astype(np.float64)
    values = (
        *_colour(image[fov]),
        *_illumination(green, fov),
        *_texture(green, fov),
        *_patterns(image[..., 1], fov),
        _sharpness(green, fov),
    )
    return {name: float(value) for name, value in zip(IMAGE, values, strict=True)}


def _measure_trees(block: Block) -> dict[str, np.ndarray]:
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(vessel_tree.measure, block.masks, block.fields))
    return {"features": np.array([astuple(one) for one in found])}


def _measure_images(block: Block) -> dict[str, np.ndarray]:
    pairs = zip(block.images, block.fields, strict=True)
    found = [appearance(image, field) for image, field in pairs]
    return {"features": np.array([list(one.values()) for one in found])}


def _check(image: np.ndarray, fov: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.shape != (*fov.shape, 3) or fov.dtype != np.bool_ or fov.ndim != 2:
        raise ValueError(
            "Expected an RGB image of uint8 and a field of view of bool and its size. "
            f"Received: {image.dtype} {image.shape} and {fov.dtype} {fov.shape}"
        )
    if not ndimage.binary_erosion(fov, np.ones((3, 3))).any():
        raise ValueError(f"Expected a field of view of 3 x 3 pixels or more. Received: {int(fov.sum())} pixels")


def _colour(pixels: np.ndarray) -> tuple[float, ...]:
    lab = rgb2lab(pixels[None])[0]
    means, deviations = lab.mean(axis=0), lab.std(axis=0)
    covariance = (lab - means).T @ (lab - means) / len(lab)
    coloured = deviations >= _COLOURLESS
    correlations = (
        covariance[i, j] / (deviations[i] * deviations[j]) if coloured[i] and coloured[j] else 0 for i, j in _PAIRS
    )
    return (*means, *deviations, *correlations)


def _illumination(green: np.ndarray, fov: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(fov)
    radius = np.sqrt(len(rows) / np.pi)
    x, y = (columns - columns.mean()) / radius, (rows - rows.mean()) / radius
    terms = np.stack([np.ones_like(x), x, y, x**2 + y**2], axis=1)
    return np.linalg.lstsq(terms.T @ terms, terms.T @ green[fov], rcond=None)[0][1:]


def _texture(green: np.ndarray, fov: np.ndarray) -> list[float]:
    levels = [green[fov], *(_blurred(green, fov, sigma) for sigma in _SIGMAS)]
    return [np.sqrt(np.mean((fine - coarse) ** 2)) for fine, coarse in zip(levels[:-1], levels[1:], strict=True)]


def _blurred(green: np.ndarray, fov: np.ndarray, sigma: float) -> np.ndarray:
    """`(pixels inside,)`: the Gaussian mean of the pixels inside; `green` is 0 outside."""
    total, weight = (ndimage.gaussian_filter(part, sigma, mode="constant")[fov] for part in (green, fov.astype(float)))
    return total / weight


def _patterns(green: np.ndarray, fov: np.ndarray) -> np.ndarray:
    inside = ndimage.binary_erosion(fov, np.ones((3, 3)))
    patterns = local_binary_pattern(green, P=8, R=1, method="uniform")[inside].astype(int)
    return np.bincount(patterns, minlength=_PATTERNS) / len(patterns)


def _sharpness(green: np.ndarray, fov: np.ndarray) -> float:
    inside = ndimage.binary_erosion(fov)
    laplacian = ndimage.laplace(green)[inside]
    deviation = green[fov].std()
    return np.sqrt(np.mean(laplacian**2)) / deviation if deviation else 0.0
