"""The report's images: small PNGs that stand in the page itself.

Every image of a real pair on the page comes from `aligned`.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from synthmed_tf import images
from synthmed_tf.evaluation.context import Case
from synthmed_tf.evaluation.transforms import Transform

_MOST = 160
"""Pixels a side, to which larger images are reduced."""

_PAPER, _SYNTHETIC, _REAL, _BOTH = (255, 255, 255), (0, 90, 181), (230, 159, 0), (0, 0, 0)
"""Told apart without colour too: of the luminances 100, 32, 67 and 0 percent."""


def data_uri(image: np.ndarray) -> str:
    """An image as an address that holds it.

    Args:
        image: `(side, side, 3)`, uint8, RGB; or `(side, side)`, bool: vessels, which come out dark on white.
    """
    is_mask = image.dtype == np.bool_
    shown = np.where(image, 0, 255).astype(np.uint8) if is_mask else image
    if len(shown) > _MOST:
        shown = np.asarray(Image.fromarray(shown).resize((_MOST, _MOST), Image.Resampling.BOX))
    return "data:image/png;base64," + base64.b64encode(images.encode_png(shown)).decode("ascii")


def overlay(synthetic: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Two masks on each other.

    Args:
        synthetic, real: `(side, side)`, bool.

    Returns:
        `(side, side, 3)`, uint8: black where both have a vessel, blue (dark) where the synthetic one alone has, and
        orange (light) where the real one alone has.
    """
    drawn = np.full((*synthetic.shape, 3), _PAPER, np.uint8)
    drawn[synthetic] = _SYNTHETIC
    drawn[real] = _REAL
    drawn[synthetic & real] = _BOTH
    return drawn


def aligned(case: Case, near: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The real pair that a synthetic one is nearest to, moved onto it.

    Args:
        case: what was judged.
        near: an entry of the privacy section's array `nearest`: real_set and real_row, and the transform.

    Returns:
        The mask, `(side, side)`, bool, and the photograph, `(side, side, 3)`, uint8.
    """
    pairs = case.train if near["real_set"] == "train" else case.holdout
    block = pairs.read([near["real_row"]])
    moved = Transform(**{name: near[name] for name in ("flips", "rotation", "scale", "right", "down")})
    channels = [moved.warp(block.photographs[0, ..., channel] / 255.0) for channel in range(3)]
    return moved.warp(block.masks[0]), np.rint(255 * np.clip(np.stack(channels, axis=-1), 0, 1)).astype(np.uint8)


def typical_and_worst(score: np.ndarray, worst_is: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs whose score is nearest to the median, and those with the worst one.

    Args:
        score: `(n,)`; pairs without one (NaN) are neither.
        worst_is: `low` or `high`.
        count: of each.

    Returns:
        Rows of both; no row is in both, and the worst come first.
    """
    known = np.flatnonzero(~np.isnan(score))
    order = known[np.argsort(score[known] if worst_is == "low" else -score[known], kind="stable")]
    worst, rest = order[:count], order[count:]
    if not rest.size:
        return rest, worst
    near = np.argsort(np.abs(score[rest] - np.median(score[known])), kind="stable")[:count]
    return rest[np.sort(near)], worst
