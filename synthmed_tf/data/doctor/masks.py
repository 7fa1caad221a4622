"""The data doctor's look at a mask alone: is it two-valued, the right way round, and neither empty nor full?"""

import gzip
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from synthmed_tf.errors import ERROR, NOTE, WARNING, Finding
from synthmed_tf.images import FORMATS

MOST = 0.5
"""A mask that covers more of the field than this stops training."""
MANY, FEW = 0.25, 0.01
"""Real masks cover 6 to 12.5 % of the field of view."""
OUTSIDE = 0.08
"""Share of the vessels that may lie outside the field of view; up to 3 % do so with CHASE_DB1's unofficial fields."""

_SAVE = "save it as a PNG of the values 0 and 255"


def check_values(path: Path) -> list[Finding]:
    """What had to be done to read the two values of a mask.

    Args:
        path: a file that `read_mask` has read.
    """
    mode, colours = _colours(path)
    values = sorted(set(colours))
    if mode == "1" or values in ([0, 255], [(0, 0, 0), (255, 255, 255)]):
        return []
    if any(isinstance(value, tuple) and len(value) in (2, 4) and value[-1] != 255 for value in values):
        return [_thresholded(path, "keeps its vessels in the alpha channel, or has one")]
    if any(isinstance(value, tuple) and len(set(value[:3])) > 1 for value in values):
        return [_thresholded(path, f"is a colour image of {len(values)} colours{_palette(mode)}")]
    greys = sorted({value[0] if isinstance(value, tuple) else value for value in values})
    if greys == [0, 255]:
        return []
    if len(greys) == 2:
        problem = f"has the values {greys[0]} and {greys[1]} instead of 0 and 255{_palette(mode)}"
        return [Finding(NOTE, str(path), problem, "nothing: they are read as background and vessel")]
    many = f"{len(greys)}" if len(greys) <= 256 else "many"
    return [_thresholded(path, f"has {many} grey values{_palette(mode)}, as after JPEG, blur or resizing")]


def check_share(path: Path, mask: np.ndarray, field: np.ndarray) -> list[Finding]:
    """Whether a mask covers as much as vessels do.

    Args:
        path: the mask's.
        mask: `(height, width)`, bool.
        field: `(height, width)`, bool: the field of view, with at least one True.
    """
    area = int(np.count_nonzero(mask))
    inside = int(np.count_nonzero(mask & field))
    share = inside / np.count_nonzero(field)
    if inside == 0:
        problem, remedy = "has no vessel in the field of view", "check that it belongs to this photograph"
        return [Finding(ERROR, str(path), problem, remedy)]
    if share > MOST:
        problem = f"calls {share:.0%} of the field of view vessel: it is inverted, full, or no vessel mask"
        return [
            Finding(ERROR, str(path), problem, "invert it, so that vessels are the bright value, or generate it again")
        ]
    findings = []
    if not FEW <= share <= MANY:
        problem = f"calls {share:.1%} of the field of view vessel; in most sets it is 5 to 15 %"
        findings.append(Finding(WARNING, str(path), problem, "look at it"))
    if area - inside > OUTSIDE * area:
        problem = f"has {1 - inside / area:.0%} of its vessels outside the field of view, where they are cut off"
        findings.append(Finding(WARNING, str(path), problem, "check that it belongs to this photograph"))
    return findings


def _thresholded(path: Path, problem: str) -> Finding:
    return Finding(WARNING, str(path), f"{problem}; it is split halfway into two", _SAVE)


def _palette(mode: str) -> str:
    return " in a palette" if mode in ("P", "PA") else ""


def _colours(path: Path) -> tuple[str, list]:
    data = path.read_bytes()
    if path.suffix.lower() == ".gz":
        data = gzip.decompress(data)
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        mode = image.mode
        if mode in ("P", "PA"):
            image = image.convert("RGBA" if mode == "PA" or "transparency" in image.info else "RGB")
        if image.mode.startswith("I"):
            return mode, np.unique(np.asarray(image)).tolist()
        colours = image.getcolors(image.width * image.height)
    return mode, [colour for _, colour in colours]
