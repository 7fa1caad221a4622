"""The parts of a section's view, and the small images in it.

The template renders each part by its `kind`; all texts are plain, not HTML. Images are PNGs within the page itself;
every image of a real pair on the page comes from `aligned`.
"""

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image as PillowImage

from synthmed_tf import images
from synthmed_tf.evaluation.context import EvaluationContext, SectionResults
from synthmed_tf.evaluation.privacy_results import Copy
from synthmed_tf.evaluation.verdict import LeftOut

NOT_MEASURED = "\N{EN DASH}"

_MOST = 160
"""Pixels a side, to which larger images are reduced."""

_PAPER, _SYNTHETIC, _REAL, _BOTH = (255, 255, 255), (0, 90, 181), (230, 159, 0), (0, 0, 0)
"""Distinguishable without colour too: of the luminances 100, 32, 67 and 0 percent."""


@dataclass(frozen=True)
class Page:
    """What views show.

    Attributes:
        context: what was evaluated.
        sections: the results.
        real_images: whether real photographs and masks may be shown.
    """

    context: EvaluationContext
    sections: SectionResults
    real_images: bool

    def shows(self, row: int) -> bool:
        """Whether a synthetic pair may be shown: a copy is a real image, and what was not searched may be one."""
        if self.real_images:
            return True
        privacy = self.sections.privacy
        return privacy is not None and bool(privacy.scores["copy_excess"][row] < 0)


@dataclass(frozen=True)
class Note:
    """A paragraph; `caution` sets it off."""

    kind: ClassVar[str] = "note"
    text: str
    caution: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first cell of each names the row."""

    kind: ClassVar[str] = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plots:
    """SVGs side by side, each under its title (empty for none)."""

    kind: ClassVar[str] = "plots"
    caption: str
    plots: Sequence[tuple[str, str]]
    large: bool = False


@dataclass(frozen=True)
class Image:
    """An image with its alternative text and a label; `uri` is empty where it is left out."""

    uri: str
    alt: str
    label: str = ""


@dataclass(frozen=True)
class Images:
    """Groups of images that belong together, each under its title; `even` keeps two and two in a row."""

    kind: ClassVar[str] = "images"
    caption: str
    groups: Sequence[tuple[str, Sequence[Image]]]
    even: bool = False


Part = Note | Table | Plots | Images


def number(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """A number; a dash where it was not measured."""
    if value is None or math.isnan(value):
        return NOT_MEASURED
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else "\N{MINUS SIGN}\N{INFINITY}"
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}")


def rough(value: float | None) -> str:
    """A number of any magnitude, to three digits."""
    if value is None or not math.isfinite(value):
        return number(value)
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def interval(value: float, low: float, high: float, digits: int = 3, signed: bool = False) -> str:
    """A number with its interval."""
    if math.isnan(low) and math.isnan(high):
        return number(value, digits, signed)
    return f"{number(value, digits, signed)} ({number(low, digits, signed)} to {number(high, digits, signed)})"


def probability(p: float) -> str:
    """A p value."""
    return number(p) if math.isnan(p) or p >= 0.001 else "< 0.001"


def percent(share: float, digits: int = 0) -> str:
    """A share."""
    return NOT_MEASURED if math.isnan(share) else f"{share:.{digits}%}"


def reasons(left_out: Sequence[LeftOut], what: str, words: Callable[[str], str] = str) -> list[Part]:
    """A table of what was left out, and why; empty if nothing was.

    Args:
        left_out: with the errors, where there were any.
        what: they are.
        words: a name to the words that are shown.
    """
    rows = [(words(one.name), f"{one.reason}: {one.error}" if one.error else one.reason) for one in left_out]
    return [Table(f"{what} that were left out", ("", "reason"), rows)] if rows else []


def data_uri(image: np.ndarray) -> str:
    """An image as an address that holds it.

    Args:
        image: `(side, side, 3)`, uint8, RGB; or `(side, side)`, bool: vessels, which come out dark on white.
    """
    is_mask = image.dtype == np.bool_
    shown = np.where(image, 0, 255).astype(np.uint8) if is_mask else image
    if len(shown) > _MOST:
        shown = np.asarray(PillowImage.fromarray(shown).resize((_MOST, _MOST), PillowImage.Resampling.BOX))
    return "data:image/png;base64," + base64.b64encode(images.encode_png(shown)).decode("ascii")


def overlay(synthetic: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Two masks on top of each other.

    Args:
        synthetic, real: `(side, side)`, bool.

    Returns:
        `(side, side, 3)`, uint8: black where both have a vessel, blue (dark) where the synthetic one alone has, and
        orange (light) where the real one alone has.
    """
    shown = np.full((*synthetic.shape, 3), _PAPER, np.uint8)
    shown[synthetic] = _SYNTHETIC
    shown[real] = _REAL
    shown[synthetic & real] = _BOTH
    return shown


def aligned(context: EvaluationContext, copy: Copy) -> tuple[np.ndarray, np.ndarray]:
    """The real pair that a synthetic one is nearest to, moved onto it.

    Returns:
        The mask, `(side, side)`, bool, and the image, `(side, side, 3)`, uint8.
    """
    pairs = context.train if copy.real_set == "train" else context.holdout
    assert pairs is not None  # a copy of a holdout pair needs a holdout
    block, warp = pairs.read([copy.real_row]), copy.transform.warp
    channels = [warp(block.images[0, ..., channel] / 255.0) for channel in range(3)]
    return warp(block.masks[0]), np.rint(255 * np.clip(np.stack(channels, axis=-1), 0, 1)).astype(np.uint8)


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
