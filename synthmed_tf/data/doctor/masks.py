"""The data doctor's look at a mask alone: is it two-valued, the right way round, and neither empty nor full?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthmed_tf.config.image_kind import RETINA, ImageKind
from synthmed_tf.errors import ERROR, NOTE, WARNING, Finding
from synthmed_tf.images import Decoded, Label, split_alpha
from synthmed_tf.images.labels import describe, name_label, value_image

MANY, FEW = 0.25, 0.01
"""Real vessel masks cover 6 to 12.5 % of the field of view."""
OUTSIDE = 0.08
"""Share of the vessels that may lie outside the field of view; up to 3 % do so with CHASE_DB1's unofficial fields."""

_SAVE = "save it as a PNG of the values 0 and 255"


def check_values(path: Path, decoded: Decoded, labels: Sequence[Label] = ()) -> list[Finding]:
    """What had to be done to read the two values of a mask.

    Args:
        path: the mask's.
        decoded: its content, which could be read as a mask.
        labels: those of the vessels, where it is a label map.
    """
    palette = "" if decoded.indices is None else " in a palette"
    if labels:
        problem = f"is a label map with {describe(decoded)}"
        remedy = f"nothing: the union of {', '.join(map(name_label, labels))} is read as the vessels"
        return [Finding(NOTE, str(path), problem, remedy)]
    colours, alpha = split_alpha(decoded.pixels)
    if alpha is not None and (alpha.min() != alpha.max() or alpha.flat[0] not in (255, 65535)):
        return [_thresholded(path, "keeps its vessels in the alpha channel, or has one")]
    values = value_image(decoded)
    if colours.shape[-1] == 3 and values.dtype not in (np.uint8, np.uint16, np.bool_):
        count = len(np.unique(values))
        return [_thresholded(path, f"is a colour image of {count} colours{palette}")]
    greys = np.unique(values)
    if values.dtype == np.bool_ or greys.tolist() in ([0, 255], [0, 65535]):
        return []
    if len(greys) == 2:
        problem = f"has the values {greys[0]:g} and {greys[1]:g} instead of 0 and 255{palette}"
        return [Finding(NOTE, str(path), problem, "nothing: they are read as background and vessel")]
    many = f"{len(greys)}" if len(greys) <= 256 else "many"
    return [_thresholded(path, f"has {many} grey values{palette}, as after JPEG, blur or resizing")]


def check_share(path: Path, mask: np.ndarray, field: np.ndarray, kind: ImageKind = RETINA) -> list[Finding]:
    """Whether a mask covers as much as vessels do; of other structures it may cover nearly all.

    Args:
        path: the mask's.
        mask: `(height, width)`, bool.
        field: `(height, width)`, bool: the field of view, with at least one True.
        kind: what masks mark, and how much of the field they may cover.
    """
    area = int(np.count_nonzero(mask))
    inside = int(np.count_nonzero(mask & field))
    share = inside / np.count_nonzero(field)
    if inside == 0:
        problem, remedy = f"has no {kind.noun} in the {kind.place}", "check that it belongs to this photograph"
        return [Finding(ERROR, str(path), problem, remedy)]
    if share > kind.most:
        problem = f"calls {share:.0%} of the {kind.place} {kind.noun}: it is inverted, full, or no {kind.noun} mask"
        remedy = f"invert it, so that {kind.noun}s are the bright value, or generate it again"
        return [Finding(ERROR, str(path), problem, remedy)]
    findings = []
    if kind.structures == "vessels" and not FEW <= share <= MANY:
        problem = f"calls {share:.1%} of the field of view vessel; in most sets it is 5 to 15 %"
        findings.append(Finding(WARNING, str(path), problem, "look at it"))
    if kind.field_of_view != "frame" and area - inside > OUTSIDE * area:
        problem = f"has {1 - inside / area:.0%} of its {kind.noun}s outside the field of view, where they are cut off"
        findings.append(Finding(WARNING, str(path), problem, "check that it belongs to this photograph"))
    return findings


def _thresholded(path: Path, problem: str) -> Finding:
    return Finding(WARNING, str(path), f"{problem}; it is split halfway into two", _SAVE)
