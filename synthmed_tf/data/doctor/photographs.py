"""The data doctor's look at a photograph alone: light, size and field of view."""

from pathlib import Path

import numpy as np
from PIL import Image

from synthmed_tf.config.image_kind import RETINA, ImageKind
from synthmed_tf.data.alignment import SIDE
from synthmed_tf.data.preprocessing import derive_fov, field_of_view, square_around
from synthmed_tf.data.sample import Crop
from synthmed_tf.errors import ERROR, NOTE, WARNING, Finding, SynthMedError

BLACK, DARK = 16, 48
"""Brightest channel, at the 99th percentile of the field of view; 197 and more in real photographs."""
SATURATED, BURNT_OUT = 0.05, 0.5
"""Share of the field with a green channel of 250 or more; at most 0.8 % in real photographs (red: up to 62 %)."""
NEGATIVE = 20
"""Grey levels by which blue exceeds red on average; in CHASE_DB1 and HRF red exceeds blue by 87 and more."""
LOW_RESOLUTION = 128
"""Pixels across the field of view of a retina."""
SMALL_FRAME = 32
"""Pixels a side of an image that fills its frame: the least that is trained at."""
AGREEMENT = 0.75
"""Least overlap (intersection over union) of the field's file and the field seen; CHASE_DB1 has 0.94 and more."""


def find_field(
    path: Path, photograph: np.ndarray, fov: np.ndarray | None, kind: ImageKind = RETINA
) -> tuple[np.ndarray | None, list[Finding]]:
    """The field of view, from its file or seen in the photograph.

    Args:
        path: the photograph's.
        photograph: `(height, width, 3)`, uint8.
        fov: `(height, width)`, bool; None where there is no file.
        kind: how the field is found.

    Returns:
        The field `(height, width)`, bool, or None where there is none; and what is wrong with it.
    """
    if kind.field_of_view == "frame":
        return field_of_view(photograph, fov, kind, str(path)), _told_of_frame(path, photograph)
    if kind.field_of_view == "from_file" and fov is None:
        problem, remedy = "has no field-of-view mask", "add one in fov/, or give --field-of-view disc or frame"
        return None, [Finding(ERROR, str(path), problem, remedy)]
    try:
        seen = derive_fov(photograph, str(path))
    except SynthMedError as error:
        return fov, [error.finding(path)] if fov is None else []
    if fov is None and seen.all():
        problem = "has no dark border, so the whole image is taken for the field of view"
        remedy = "give field-of-view masks in fov/, or --field-of-view frame if it is so"
        return seen, [Finding(WARNING, str(path), problem, remedy)]
    if fov is not None and not seen.all():
        overlap = np.count_nonzero(seen & fov) / np.count_nonzero(seen | fov)
        if overlap < AGREEMENT:
            problem = f"shows another field of view than its file says (overlap {overlap:.0%})"
            return fov, [Finding(WARNING, str(path), problem, "check the file in fov/, or remove it")]
    return (seen if fov is None else fov), []


def _told_of_frame(path: Path, photograph: np.ndarray) -> list[Finding]:
    height, width = photograph.shape[:2]
    if height == width:
        return []
    problem = f"has {width}x{height} pixels, of which the square in the middle is used"
    return [Finding(NOTE, str(path), problem, "nothing, or cut it into squares if the rest matters")]


def reduce_square(array: np.ndarray, crop: Crop) -> np.ndarray:
    """Cuts the square around the field of view and reduces it to `alignment.SIDE` pixels.

    Args:
        array: `(height, width)` or `(height, width, 3)`, uint8.
        crop: as `square_around` gives it; black is filled in beyond the border.
    """
    box = (crop.left, crop.top, crop.left + crop.side, crop.top + crop.side)
    return np.asarray(Image.fromarray(array).crop(box).resize((SIDE, SIDE), Image.Resampling.BOX))


def is_two_valued_grey(photograph: np.ndarray) -> bool:
    """Whether a photograph `(height, width, 3)`, uint8, is a mask by mistake."""
    red, green, blue = (photograph[..., i] for i in range(3))
    if not (np.array_equal(red, green) and np.array_equal(red, blue)):
        return False
    counts = np.sort(np.bincount(green.ravel(), minlength=256))
    return bool(counts[-2] > 0 and counts[-2:].sum() >= 0.99 * counts.sum())


def check_light(path: Path, small: np.ndarray, field: np.ndarray, kind: ImageKind = RETINA) -> list[Finding]:
    """Black, dark, saturated or blank photographs.

    Args:
        path: the photograph's.
        small: `(SIDE, SIDE, 3)`, uint8: the square around the field.
        field: `(SIDE, SIDE)`, bool, with at least one True.
        kind: only a retina is redder than blue.
    """
    inside = small[field]
    bright = float(np.percentile(inside.max(axis=1), 99))
    burnt = float(np.mean(inside[:, 1] >= 250))
    if bright < BLACK:
        return [Finding(ERROR, str(path), "is black", "export it again, or remove it with its mask")]
    if burnt > BURNT_OUT:
        return [Finding(ERROR, str(path), f"is white on {burnt:.0%} of the {kind.place}", "remove it with its mask")]
    findings = []
    red, blue = float(inside[:, 0].mean()), float(inside[:, 2].mean())
    if kind.structures == "vessels" and blue > red + NEGATIVE:
        problem = f"is more blue than red ({blue:.0f} to {red:.0f}), as a negative is"
        findings.append(Finding(WARNING, str(path), problem, "invert it if it is one"))
    if bright < DARK:
        problem = f"is very dark (its brightest parts reach {bright:.0f} of 255)"
        findings.append(Finding(WARNING, str(path), problem, "look at it; remove it or expose it again"))
    if burnt > SATURATED:
        problem = f"is saturated: green is at its limit on {burnt:.0%} of the {kind.place}"
        remedy = f"look at it; remove it where {kind.noun}s cannot be seen"
        findings.append(Finding(WARNING, str(path), problem, remedy))
    if float(inside[:, 1].std()) < 1:
        findings.append(_blank(path, inside))
    return findings


def _blank(path: Path, inside: np.ndarray) -> Finding:
    if float(inside.std(axis=0).max()) < 1:
        return Finding(WARNING, str(path), "is blank: it has one colour", "remove it with its mask")
    problem = "has nothing in its green channel, by which images are compared"
    return Finding(WARNING, str(path), problem, "save it in shades of grey")


def check_size(path: Path, field: np.ndarray, kind: ImageKind = RETINA) -> list[Finding]:
    """Whether the field of view has enough pixels; `field` is `(height, width)`, bool."""
    side, least = square_around(field).side, SMALL_FRAME if kind.field_of_view == "frame" else LOW_RESOLUTION
    if side >= least:
        return []
    problem = f"has {side} pixels across the {kind.place}, fewer than {least}"
    return [Finding(WARNING, str(path), problem, "give the photograph in its original resolution")]
