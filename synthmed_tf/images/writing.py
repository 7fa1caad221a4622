"""Images out: PNG bytes and files, and grids of images."""

import os
import zlib
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from synthmed_tf.errors import SynthMedError
from synthmed_tf.files import write_bytes
from synthmed_tf.images.decoding import PNG_MARK
from synthmed_tf.images.opening import decode_bytes
from synthmed_tf.images.reading import split_alpha


def write_png(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Writes a PNG in one step: a reader sees the old file or the whole new one, never a part.

    Args:
        path: the file; folders that are missing are made.
        array: as for `encode_png`.

    Raises:
        SynthMedError: the file cannot be written.
        ValueError: the array is no image.
    """
    data = encode_png(array)
    try:
        write_bytes(Path(path), data)
    except OSError as error:
        raise SynthMedError(
            f"{path} could not be written ({error.strerror}); check the folder, its permissions and the free space."
        ) from error


def encode_png(array: np.ndarray) -> bytes:
    """Encodes an image as PNG.

    Args:
        array: `(height, width)`, `(height, width, 1)` or `(height, width, 3)`; uint8 in [0, 255], or bool (0 and 255).

    Returns:
        The PNG file's bytes: 8 bit grey or RGB.

    Raises:
        ValueError: another shape or dtype.
    """
    array = np.asarray(array)
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] == 1)
    if array.dtype not in (np.uint8, np.bool_) or array.size == 0 or not (grey or array.shape[2:] == (3,)):
        raise ValueError(
            "An image is uint8 or bool of shape (height, width), (height, width, 1) or (height, width, 3). "
            f"Received: dtype={array.dtype}, shape={array.shape}"
        )
    array = _white(array.reshape(array.shape[:2]) if grey else array)
    # On photographs zlib's run-length strategy is some five times as fast as its default, and the file 2 % smaller.
    return iio.imwrite("<bytes>", array, extension=".png", plugin="pillow", is_batch=False, compress_type=zlib.Z_RLE)


def decode_png(data: bytes) -> np.ndarray:
    """Decodes what `encode_png` gave.

    Args:
        data: the bytes of a PNG file.

    Returns:
        `(height, width, 1)` of a grey, `(height, width, 3)` of a colour image; uint8 in [0, 255].

    Raises:
        SynthMedError: the bytes are no PNG of 8 bits a channel, or cut short.
    """
    if not data.startswith(PNG_MARK):
        raise SynthMedError("is no PNG, or it is damaged or cut short", "encode it again", path="the PNG data")
    pixels = decode_bytes("the PNG data", data).pixels
    if pixels.dtype == np.uint16:
        raise SynthMedError("the PNG data has 16 bits a channel where 8 are expected; encode it with 8 bits.")
    return np.ascontiguousarray(split_alpha(_white(pixels))[0])


def grid(images: np.ndarray, columns: int, margin: int = 2) -> np.ndarray:
    """Lays images out in rows on a white ground; the last row may be short.

    Args:
        images: `(n, height, width, channels)`, uint8 in [0, 255], n at least 1.
        columns: images a row, at least 1; no more columns are generated than there are images.
        margin: pixels between the images and around them.

    Returns:
        `(rows * (height + margin) + margin, columns * (width + margin) + margin, channels)`, uint8.

    Raises:
        ValueError: another rank or dtype, no image, or no column.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) == 0 or columns < 1 or margin < 0:
        raise ValueError(
            "A grid takes uint8 images (n, height, width, channels), columns >= 1 and margin >= 0. "
            f"Received: dtype={images.dtype}, shape={images.shape}, columns={columns}, margin={margin}"
        )
    count, height, width, channels = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = np.full(
        (rows * (height + margin) + margin, columns * (width + margin) + margin, channels), 255, dtype=np.uint8
    )
    for index, image in enumerate(images):
        top = margin + index // columns * (height + margin)
        left = margin + index % columns * (width + margin)
        sheet[top : top + height, left : left + width] = image
    return sheet


def _white(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == np.bool_ else pixels
