"""From the content of a file to its decoder."""

import os
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import bitmaps, dicom, tiff
from synthmed_tf.images.decoding import COPY_AGAIN, PNG_MARK, Decoded, check_size, read_bytes, too_many_pixels, unpack


def decode_file(path: str | os.PathLike[str]) -> Decoded:
    """Reads an image file.

    Args:
        path: the file. What it is, is told by its content; only `.gz` is told by the name.

    Raises:
        SynthMedError: the file is missing, empty, damaged, too large, of a kind that is not read, or ambiguous.
    """
    path = Path(path)
    return decode_bytes(str(path), unpack(path, read_bytes(path)))


def decode_bytes(name: str, data: bytes) -> Decoded:
    """Decodes the bytes of an image file.

    Args:
        name: what an error calls them.
        data: at least one byte.

    Raises:
        SynthMedError: as for `decode_file`.
    """
    decoder = kind_of(data)
    if decoder is None:
        problem = "is no image that can be read (PNG, JPEG, TIFF, GIF, BMP, PPM, WebP, JPEG 2000 or DICOM)"
        raise SynthMedError(f"{problem}, or it is damaged or cut short", COPY_AGAIN, path=name)
    try:
        decoded = decoder(data)
        check_size(decoded.pixels.shape[1], decoded.pixels.shape[0])
        return decoded
    except SynthMedError as error:
        raise SynthMedError(error.problem, error.remedy, path=name) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SynthMedError(too_many_pixels(), "make it smaller", path=name) from error
    # Decoders meet damage with errors of almost any class (struct.error, zlib.error, SyntaxError, ValueError, ...).
    except Exception as error:
        raise SynthMedError(
            f"is truncated or damaged ({_line(error)})", "copy it again or remove it", path=name
        ) from error


def kind_of(data: bytes) -> Callable[[bytes], Decoded] | None:
    """The decoder for the content of a file; None where there is none."""
    if data[dicom.MARK_AT : dicom.MARK_AT + 4] == b"DICM":
        return dicom.decode
    kinds = (
        (PNG_MARK, bitmaps.decode_png_file),
        (b"\xff\xd8\xff", bitmaps.decode_jpeg),
        *((mark, tiff.decode) for mark in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        *((mark, lambda data: bitmaps.decode_plain(data, "GIF")) for mark in (b"GIF87a", b"GIF89a")),
        *((mark, bitmaps.decode_jpeg2000) for mark in (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
        *((b"P%d" % kind, bitmaps.decode_netpbm) for kind in range(1, 7)),
        (b"BM", lambda data: bitmaps.decode_plain(data, "BMP")),
    )
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return bitmaps.decode_webp
    return next((decoder for mark, decoder in kinds if data.startswith(mark)), None)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
