"""Photographs and masks from image files."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import labels as label_maps
from synthmed_tf.images.decoding import SAVE_AGAIN, Decoded
from synthmed_tf.images.labels import Label
from synthmed_tf.images.opening import decode_file

BIT_DEPTHS = (8, 10, 12, 14, 16)
FOG_MARGIN = 0.15
FOG_SHARE = 0.05
COLOUR_SHARE = 0.02
FAINT_CHANNEL = 0.25
THIRD_SHARE, THIRD_WIDTH, THIRD_OF_FOG = 0.005, 8, 0.5
"""A lossy file has a third value where 8 neighbouring levels hold 0.5 % of the pixels, and half of the fog."""

_TWO_VALUES = "save it as a PNG of two values"


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an image.

    PNG, JPEG, TIFF, GIF, BMP, PPM/PGM/PBM (also gzipped), WebP, JPEG 2000 and DICOM (docs/data.md lists the kinds). The
    orientation is applied, alpha dropped, palettes looked up, grey repeated to three channels; of several pages or
    frames the first is taken. Values of 16 bits are scaled by the range that the file states or, where it states none,
    by the camera's: the smallest of 8, 10, 12, 14 and 16 bits that holds the largest value.

    Args:
        path: the file.

    Returns:
        `(height, width, 3)`, uint8 in [0, 255], RGB.

    Raises:
        SynthMedError: the file is missing, empty, truncated, too large, no such image, or ambiguous.

    Example:
        >>> read_image("images/01.tif").shape  # doctest: +SKIP
        (584, 565, 3)
    """
    return image_of(Path(path), decode_file(path))


def read_mask(path: str | os.PathLike[str], labels: Sequence[Label] | None = (), dark: bool = False) -> np.ndarray:
    """Reads a two-valued mask, or the union of the named labels of a label map.

    A mask is split halfway between the file's darkest and brightest value. The two values may be any (0 and 1, 0 and
    255, 3 and 253, two colours, transparent and opaque). JPEG's ringing passes: an image counts as grey where more than
    5 % of its pixels lie further than 15 % of the range from both extremes, and as coloured where its channels, each
    split in two, disagree on more than 2 % of the pixels. A lossless file of 3 to 16 values is a label map.

    Args:
        path: the file.
        labels: values and colours of the vessels, as `parse_labels` gives them; without them a label map is refused.
            None where it cannot be a label map, as a field of view.
        dark: whether the vessels are the dark value.

    Returns:
        `(height, width)`, bool: True where the mask is bright (dark if `dark`), opaque, or has one of the labels.

    Raises:
        SynthMedError: the file cannot be read, has one value only, is a grey or colour image, or a label map whose
            labels are not named.

    Example:
        >>> read_mask("masks/01.png", labels=(1, 2)).dtype  # doctest: +SKIP
        dtype('bool')
    """
    return mask_of(Path(path), decode_file(path), labels, dark)


def image_of(path: Path, decoded: Decoded) -> np.ndarray:
    """As `read_image`, of a file that was decoded."""
    pixels = decoded.pixels
    if pixels.dtype not in (np.bool_, np.uint8, np.uint16):
        raise SynthMedError(f"has {8 * pixels.dtype.itemsize} bits a channel", SAVE_AGAIN, path=path)
    colours, _ = split_alpha(_eight_bits(pixels, decoded.depth))
    return np.ascontiguousarray(np.broadcast_to(colours, (*colours.shape[:2], 3)))


def mask_of(path: Path, decoded: Decoded, labels: Sequence[Label] | None = (), dark: bool = False) -> np.ndarray:
    """As `read_mask`, of a file that was decoded."""
    try:
        if labels:
            return label_maps.union(decoded, labels)
        mask = _two_valued(_finite(decoded), labels is not None)
    except SynthMedError as error:
        raise SynthMedError(error.problem, error.remedy, path=path) from error
    return ~mask if dark else mask


def split_alpha(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Colours `(height, width, 1 or 3)`, and alpha `(height, width)` or None."""
    if pixels.ndim == 2:
        return pixels[..., None], None
    if pixels.shape[-1] in (2, 4):
        return pixels[..., :-1], pixels[..., -1]
    return pixels, None


def _eight_bits(pixels: np.ndarray, depth: int | None) -> np.ndarray:
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if depth == 8 or (depth is None and pixels.dtype == np.uint8):
        return pixels.astype(np.uint8)
    largest = int(pixels.max())
    if depth is None or largest >= 2**depth:
        depth = next(depth for depth in BIT_DEPTHS if largest < 2**depth)
    return np.round(pixels * np.float32(255 / (2**depth - 1))).astype(np.uint8)


def _finite(decoded: Decoded) -> Decoded:
    pixels = decoded.pixels
    if np.issubdtype(pixels.dtype, np.floating) and not np.isfinite(pixels).all():
        raise SynthMedError("is no mask: some of its values are no numbers (NaN or infinite)", _TWO_VALUES)
    if pixels.dtype.itemsize > 2 and label_maps.few_values(pixels) is None:
        raise SynthMedError(f"has {8 * pixels.dtype.itemsize} bits a channel and many values", _TWO_VALUES)
    return decoded


def _two_valued(decoded: Decoded, may_be_labels: bool) -> np.ndarray:
    colours, alpha = split_alpha(decoded.pixels)
    if alpha is not None and alpha.min() != alpha.max():
        return _by_alpha(colours, alpha)
    present = None if decoded.lossy else label_maps.few_values(label_maps.value_image(decoded))
    if present is not None and len(present) > 2:
        named = "name those of the vessels with --vessel-labels (such as 1,2), or " if may_be_labels else ""
        problem = f"has {label_maps.describe(decoded)}: it is a label map, or no mask of two values"
        raise SynthMedError(problem, f"{named}{_TWO_VALUES}")
    return _by_channels(colours)


def _by_alpha(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    visible = _halve(alpha)
    shown = colours[visible]
    if np.any(
        np.ptp(shown.astype(np.int64), axis=0) > FAINT_CHANNEL * 255 * (257 if colours.dtype == np.uint16 else 1)
    ):
        problem = "is no mask: its alpha channel and its visible colours both vary, so it is not clear which one it is"
        raise SynthMedError(problem, f"{_TWO_VALUES} without alpha")
    return visible


def _by_channels(colours: np.ndarray) -> np.ndarray:
    channels = [np.ascontiguousarray(colours[..., i]) for i in range(colours.shape[-1])]
    ranges = [float(channel.max()) - float(channel.min()) for channel in channels]
    if max(ranges) == 0:
        problem = f"is no mask: all of its pixels have the value {channels[0].flat[0]:g}"
        raise SynthMedError(problem, "give a file that has both bright and dark pixels")
    main = int(np.argmax(ranges))
    mask = _halve(channels[main])
    for channel, extent in zip(channels, ranges, strict=True):
        if extent >= FAINT_CHANNEL * ranges[main]:
            disagreement = float(np.mean(_halve(channel) != mask))
            if min(disagreement, 1 - disagreement) > COLOUR_SHARE:
                raise SynthMedError("is no mask: it has more than two colours", _TWO_VALUES)
    return mask


def _halve(channel: np.ndarray) -> np.ndarray:
    low, high = float(channel.min()), float(channel.max())
    margin = FOG_MARGIN * (high - low)
    between = channel[(channel > low + margin) & (channel < high - margin)]
    share = between.size / channel.size
    if share > FOG_SHARE:
        problem = (
            f"is no mask: {share:.0%} of its pixels are neither dark nor bright, as in a photograph or a blurred mask"
        )
        raise SynthMedError(problem, f"{_TWO_VALUES}, vessel and background")
    if between.size > THIRD_SHARE * channel.size:
        _refuse_third_value(between, low, high, channel.size)
    return channel > (low + high) / 2


def _refuse_third_value(between: np.ndarray, low: float, high: float, pixels: int) -> None:
    """A label map that was saved with loss: its middle value shows as a peak where ringing is spread out."""
    levels = np.bincount(np.floor((between - low) * (255 / (high - low))).astype(np.int64), minlength=256)
    near = np.convolve(levels, np.ones(THIRD_WIDTH, int))
    if near.max() > max(THIRD_SHARE * pixels, THIRD_OF_FOG * between.size):
        at = low + (int(np.argmax(near)) - (THIRD_WIDTH - 1) / 2) * (high - low) / 255
        problem = f"has a third value near {at:.0f}, as a label map has that was saved with loss"
        raise SynthMedError(
            problem, f"give the map as a PNG and name the vessels with --vessel-labels, or {_TWO_VALUES}"
        )
