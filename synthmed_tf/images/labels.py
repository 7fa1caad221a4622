"""Label maps: masks of a few exact values or colours, of which the user names those that are vessels."""

import re
from collections.abc import Sequence

import numpy as np

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images.decoding import Decoded

Label = int | tuple[int, int, int]
"""A grey value (or an index of a palette), or a colour."""

MOST_LABELS = 16
"""A lossless file with more values than this is no label map but a blurred or resampled mask."""

_COLOURS = {
    "black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255),
    "yellow": (255, 255, 0), "cyan": (0, 255, 255), "magenta": (255, 0, 255),
}  # fmt: skip


def parse_labels(text: str) -> tuple[Label, ...]:
    """Reads a list of labels.

    Args:
        text: grey values or palette indices and colours (`#rrggbb`, or one of black, white, red, green, blue, yellow,
            cyan and magenta, all fully saturated), with commas between them.

    Raises:
        SynthMedError: an empty list, or something else in it.

    Example:
        >>> parse_labels("1,2")
        (1, 2)
        >>> parse_labels("red, #0000ff")
        ((255, 0, 0), (0, 0, 255))
    """
    labels = [_label(part.strip().lower()) for part in text.split(",") if part.strip()]
    if not labels:
        raise SynthMedError("Option --vessel-labels is empty; name the values of the vessels, such as 1,2 or red,blue.")
    return tuple(dict.fromkeys(labels))


def _label(part: str) -> Label:
    if part in _COLOURS:
        return _COLOURS[part]
    if re.fullmatch(r"\d{1,9}", part):
        return int(part)
    if re.fullmatch(r"#[0-9a-f]{6}", part):
        return int(part[1:3], 16), int(part[3:5], 16), int(part[5:], 16)
    raise SynthMedError(
        f"Option --vessel-labels has {part!r}; give grey values (1,2), colours (red,blue) or codes (#ff0000)."
    )


def value_image(decoded: Decoded) -> np.ndarray:
    """What labels refer to: `(height, width)`, grey values, or colours as 0xRRGGBB where channels differ."""
    pixels = decoded.pixels
    pixels = pixels[..., :-1] if pixels.ndim == 3 and pixels.shape[-1] in (2, 4) else pixels
    if pixels.ndim == 2:
        return pixels
    red = pixels[..., 0]
    if pixels.shape[-1] == 1 or (np.array_equal(red, pixels[..., 1]) and np.array_equal(red, pixels[..., 2])):
        return red
    wide = 16 if pixels.dtype == np.uint16 else 8
    codes = pixels.astype(np.uint64 if wide == 16 else np.uint32)
    return (codes[..., 0] << (2 * wide)) | (codes[..., 1] << wide) | codes[..., 2]


def few_values(values: np.ndarray) -> np.ndarray | None:
    """The distinct values in ascending order, or None where there are more than `MOST_LABELS`."""
    if len(np.unique(values[:: max(1, values.shape[0] // 64)])) > MOST_LABELS:
        return None
    found = np.flatnonzero(np.bincount(values.ravel())) if values.dtype == np.uint8 else np.unique(values)
    return found if len(found) <= MOST_LABELS else None


def union(decoded: Decoded, labels: Sequence[Label]) -> np.ndarray:
    """The pixels that have one of the labels.

    Args:
        decoded: a mask.
        labels: grey values or palette indices, and colours.

    Returns:
        `(height, width)`, bool.

    Raises:
        SynthMedError: the file is lossy, has more than `MOST_LABELS` values, or none of the labels; without a path.
    """
    values = value_image(decoded)
    present = few_values(values)
    if decoded.lossy or present is None:
        why = "is a lossy file" if decoded.lossy else f"has more than {MOST_LABELS} values"
        raise SynthMedError(f"is no label map: it {why}, so its labels are not exact", "give the map as a PNG")
    names = [label for label in labels if isinstance(label, int)]
    greys = values if decoded.indices is None else decoded.indices
    mask = np.isin(greys, names) if names and (greys is not values or not _coloured(decoded, values)) else None
    mask = np.zeros(values.shape, bool) if mask is None else mask
    for label in labels:
        if not isinstance(label, int):
            mask |= _has_colour(decoded, label)
    if not mask.any():
        wanted = ", ".join(name_label(label) for label in labels)
        problem = f"has none of the labels {wanted}; it has {describe(decoded)}"
        raise SynthMedError(problem, "name those of the vessels with --vessel-labels")
    return mask


def describe(decoded: Decoded) -> str:
    """The distinct values of a label map, as the user would name them; `many values` where they are many."""
    values = value_image(decoded)
    if decoded.indices is not None and (present := few_values(decoded.indices)) is not None:
        return "the palette's values " + _listed([f"{i} ({_colour_at(decoded, i)})" for i in present.tolist()])
    present = few_values(values)
    if present is None:
        return "many values"
    if _coloured(decoded, values):
        return "the colours " + _listed([f"#{value:06x}" for value in present.tolist()])
    return "the values " + _listed(
        [f"{value:g}" if isinstance(value, float) else str(value) for value in present.tolist()]
    )


def name_label(label: Label) -> str:
    """`1`, or `#ff0000`."""
    return str(label) if isinstance(label, int) else "#{:02x}{:02x}{:02x}".format(*label)


def _coloured(decoded: Decoded, values: np.ndarray) -> bool:
    return decoded.pixels.ndim == 3 and decoded.pixels.shape[-1] > 2 and values.dtype in (np.uint32, np.uint64)


def _has_colour(decoded: Decoded, colour: tuple[int, int, int]) -> np.ndarray:
    pixels = decoded.pixels
    if pixels.ndim == 3 and pixels.shape[-1] > 2:
        return np.all(pixels[..., :3] == np.array(colour), axis=-1)
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    return (grey == colour[0]) & (len(set(colour)) == 1)


def _colour_at(decoded: Decoded, index: int) -> str:
    row, column = np.argwhere(decoded.indices == index)[0]
    red, green, blue = (int(value) for value in decoded.pixels[row, column, :3])
    return name_label((red, green, blue))


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
