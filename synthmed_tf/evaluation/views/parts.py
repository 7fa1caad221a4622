"""What a section's view consists of. The template draws each part by its `kind`; all texts are plain, not HTML."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from synthmed_tf.evaluation.context import Case, Outcome

NOT_MEASURED = "\N{EN DASH}"


@dataclass(frozen=True)
class Page:
    """What views draw from.

    Attributes:
        case: what was judged.
        outcomes: of the sections that ran, by name.
        real_images: whether real photographs and masks may be shown.
    """

    case: Case
    outcomes: Mapping[str, Outcome]
    real_images: bool

    def shows(self, row: int) -> bool:
        """Whether a synthetic pair may be shown: a copy is a real image, and what was not searched may be one."""
        if self.real_images:
            return True
        return "privacy" in self.outcomes and bool(self.outcomes["privacy"].scores["copy_excess"][row] < 0)


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
    drawn: Sequence[tuple[str, str]]
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
    """A figure; a dash where it was not measured."""
    if value is None or math.isnan(value):
        return NOT_MEASURED
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else "\N{MINUS SIGN}\N{INFINITY}"
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}")


def rough(value: float | None) -> str:
    """A figure of any magnitude, to three digits."""
    if value is None or not math.isfinite(value):
        return number(value)
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def interval(value: float, low: float, high: float, digits: int = 3, signed: bool = False) -> str:
    """A figure with its interval."""
    if math.isnan(low) and math.isnan(high):
        return number(value, digits, signed)
    return f"{number(value, digits, signed)} ({number(low, digits, signed)} to {number(high, digits, signed)})"


def probability(p: float) -> str:
    """A p value."""
    return number(p) if math.isnan(p) or p >= 0.001 else "< 0.001"


def percent(share: float, digits: int = 0) -> str:
    """A share."""
    return NOT_MEASURED if math.isnan(share) else f"{share:.{digits}%}"


def reasons(left_out: Mapping[str, str], what: str) -> list[Part]:
    """A table of what was left out, and why; nothing where nothing was."""
    return [Table(f"{what} that were left out", ("", "reason"), list(left_out.items()))] if left_out else []
