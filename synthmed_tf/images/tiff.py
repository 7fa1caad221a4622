"""TIFF files, by tifffile: 1 to 32 bits, any photometric kind whose meaning is certain, strips and tiles, BigTIFF."""

import contextlib
import logging
import re
import threading
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import tifffile

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images.decoding import (
    COPY_AGAIN,
    SAVE_AGAIN,
    Decoded,
    check_size,
    open_with_pillow,
    pillow_pixels,
)

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
_FAX = (2, 3, 4, 32771)
_JPEG = (6, 7)
_LOSSY = (*_JPEG, 34892, 33003, 33004, 33005, 34712, 50001, 34927)
_ORIENTATION, _INK_SET = 274, 332
_NEEDED = {256, 257, 259, 262}
"""Width, length, compression and photometric kind."""
_MEANINGFUL = _NEEDED | {258, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 332, 338, 339, 347, 530}
_MOST_INFLATED = 64
"""How often the size of the pixels the segments may be in all: tiles reach beyond the image, but not that far."""


def decode(data: bytes) -> Decoded:
    """Reads the first page that is an image of full resolution."""
    with _complaints() as complaints, tifffile.TiffFile(BytesIO(data)) as file:
        page = next((page for page in file.pages if not page.subfiletype & 0b101), file.pages[0])
        page = page.aspage() if hasattr(page, "aspage") else page
        _refuse_unread_tags(page, complaints)
        check_size(page.imagewidth, page.imagelength)
        _refuse_unclear(file, page)
        if page.compression in _FAX:
            with open_with_pillow(data, "TIFF") as image:
                image.seek(page.index)
                return pillow_pixels(image)
        orientation = page.tags.valueof(_ORIENTATION, 1)
        return _meaning(page, _samples_last(page)).upright(orientation)


class _Collector(logging.Filter):
    """Takes what tifffile logs in a thread that decodes here out of the log; other threads are not concerned."""

    def __init__(self) -> None:
        super().__init__()
        self.of_thread = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        complaints = getattr(self.of_thread, "complaints", None)
        if complaints is not None and record.levelno >= logging.WARNING:
            complaints.append(record.getMessage())
        return complaints is None


_COLLECTOR = _Collector()
logging.getLogger("tifffile").addFilter(_COLLECTOR)


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    complaints: list[str] = []
    _COLLECTOR.of_thread.complaints = complaints
    try:
        yield complaints
    finally:
        _COLLECTOR.of_thread.complaints = None


def _refuse_unread_tags(page: tifffile.TiffPage, complaints: list[str]) -> None:
    """tifffile passes over tags that it cannot read; without one of these it would decode other pixels."""
    named = {int(number) for text in complaints for number in re.findall(r"TiffTag (\d+)", text)}
    missing = {tag for tag in _NEEDED if tag not in page.tags}
    if missing or named & _MEANINGFUL:
        tags = ", ".join(map(str, sorted(missing | (named & _MEANINGFUL))))
        raise SynthMedError(f"is truncated or damaged (its tags {tags} cannot be read)", COPY_AGAIN)


def _refuse_unclear(file: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
    bits, samples = page.bitspersample, page.samplesperpixel
    if not isinstance(bits, int) or bits > 64:
        raise SynthMedError(f"has channels of different sizes ({bits} bits)", SAVE_AGAIN)
    if page.planarconfig not in (1, 2) or page.predictor not in (1, 2, 3) or page.fillorder not in (1, 2):
        raise SynthMedError("is truncated or damaged (an unknown order or coding of its pixels)", COPY_AGAIN)
    if page.imagedepth != 1:
        raise SynthMedError("is a volume, not an image", SAVE_AGAIN)
    colours = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _SEPARATED: 4, _YCBCR: 3}
    if page.photometric not in colours:
        raise SynthMedError(f"is a TIFF of the kind {_name(page.photometric)}, which is not read", SAVE_AGAIN)
    extra = samples - colours[page.photometric]
    if extra not in ((0,) if page.photometric in (_PALETTE, _YCBCR) else (0, 1)):
        problem = f"has {samples} channels where a TIFF of the kind {_name(page.photometric)} has "
        raise SynthMedError(f"{problem}{colours[page.photometric]}", SAVE_AGAIN)
    if page.photometric == _YCBCR and page.compression not in _JPEG:
        raise SynthMedError("is a YCbCr TIFF without JPEG, which is not read", SAVE_AGAIN)
    if page.photometric == _SEPARATED and (page.compression in _JPEG or page.tags.valueof(_INK_SET, 1) != 1):
        raise SynthMedError("stores inks whose order or direction it does not state", SAVE_AGAIN)
    if (file.is_imagej or file.is_ome) and samples == 1:
        series = file.series[0]
        channels = dict(zip(series.axes, series.shape, strict=False)).get("C", 1)
        if channels > 1:
            problem = f"keeps its {channels} channels as pages of their own, so a page alone is not the image"
            raise SynthMedError(problem, "save it as RGB (ImageJ: Image > Type > RGB Color)")


def _name(kind: int) -> str:
    return getattr(kind, "name", str(kind)).lower()


def _samples_last(page: tifffile.TiffPage) -> np.ndarray:
    """`(height, width)` or `(height, width, samples)`, every strip and tile of which was there."""
    expected = int(np.prod(page.chunked))
    if len(page.databytecounts) < expected or any(count == 0 for count in page.databytecounts[:expected]):
        raise SynthMedError("is truncated or damaged (parts of its pixels are missing)", COPY_AGAIN)
    if (
        np.prod([float(n) for n in (*page.chunks, *page.chunked)])
        > _MOST_INFLATED * 4 * page.imagewidth * page.imagelength + 2**24
    ):
        raise SynthMedError("is truncated or damaged (its tiles are far larger than the image)", COPY_AGAIN)
    pixels = page.asarray(maxworkers=1).reshape(page.shaped)  # separate samples, depth, length, width, samples
    separate, _, height, width, contiguous = pixels.shape
    pixels = pixels[:, 0]
    pixels = np.moveaxis(pixels[..., 0], 0, -1) if separate > 1 else pixels[0]
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels.reshape(height, width, separate * contiguous)


def _meaning(page: tifffile.TiffPage, pixels: np.ndarray) -> Decoded:
    bits, lossy = page.bitspersample, page.compression in _LOSSY
    if page.photometric == _PALETTE:
        table = np.asarray(page.colormap)
        table = (table >> 8 if table.max() > 255 else table).astype(np.uint8)
        if pixels.max() >= table.shape[1]:
            raise SynthMedError("is truncated or damaged (a value beyond its palette)", COPY_AGAIN)
        return Decoded(table.T[pixels], 8, pixels.astype(np.uint8) if bits <= 8 else None, lossy)
    pixels, bits = _plain_type(page, pixels)
    if page.photometric == _WHITE_IS_ZERO:
        pixels = _inverted(pixels, bits)
    if page.photometric == _SEPARATED:
        return Decoded(_from_inks(pixels, bits), bits, None, lossy)
    if pixels.ndim == 3 and pixels.shape[-1] in (2, 4) and page.extrasamples[:1] not in ((1,), (2,)):
        pixels = pixels[..., :-1]  # a channel that is said to be neither colour nor alpha
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    depth = bits if pixels.dtype != np.uint16 or bits not in (16,) else None
    return Decoded(pixels, depth, None, lossy)


def _plain_type(page: tifffile.TiffPage, pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """bool, uint8 or uint16 with their bits; of one channel also other types, which only masks may have."""
    bits = page.bitspersample
    if pixels.dtype in (np.bool_, np.uint8, np.uint16):
        return pixels, bits
    if np.issubdtype(pixels.dtype, np.signedinteger) and bits <= 16 and pixels.min() >= 0:
        return pixels.astype(np.uint8 if bits <= 8 else np.uint16), 16 if bits > 8 else bits
    if pixels.ndim == 3 or page.photometric != _BLACK_IS_ZERO or np.issubdtype(pixels.dtype, np.complexfloating):
        raise SynthMedError(f"has {bits} bits a channel", SAVE_AGAIN)
    return pixels, bits


def _inverted(pixels: np.ndarray, bits: int) -> np.ndarray:
    if pixels.dtype == np.bool_:
        return ~pixels
    if pixels.ndim == 3:
        raise SynthMedError("is a TIFF where white is zero, with alpha", SAVE_AGAIN)
    return (2**bits - 1 - pixels.astype(np.int64)).astype(pixels.dtype)


def _from_inks(pixels: np.ndarray, bits: int) -> np.ndarray:
    """RGB of CMYK, without a colour profile: each ink takes its share of the light."""
    largest = 2**bits - 1
    light = largest - pixels[..., :4].astype(np.uint64)
    return ((light[..., :3] * light[..., 3:] + largest // 2) // largest).astype(pixels.dtype)
