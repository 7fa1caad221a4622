"""PNG, JPEG, JPEG 2000, WebP and Netpbm files, and what Pillow alone reads right (GIF, BMP)."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images.decoding import COPY_AGAIN, SAVE_AGAIN, Decoded, check_size, open_with_pillow, pillow_pixels

_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
"""JPEG markers that begin a frame header (ITU-T T.81, table B.1)."""
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
_SYCC = b"\0\0\0\x12"
"""The colour space 18 of JPEG 2000 (ISO/IEC 15444-1, I.5.3.3)."""
_COLOUR_OR_ALPHA = (2, 4, 6)


def decode_plain(data: bytes, kind: str) -> Decoded:
    """Reads a file with Pillow alone."""
    with open_with_pillow(data, kind) as image:
        return pillow_pixels(image)


def decode_png_file(data: bytes) -> Decoded:
    """Reads a PNG of 1 to 16 bits a channel. Every chunk must fit its checksum, which decoders do not insist on."""
    chunks = dict(_png_chunks(data))
    with open_with_pillow(data, "PNG") as image:
        bits, color_type = chunks[b"IHDR"][8:10]
        if bits < 16:
            return pillow_pixels(image)
        stated = chunks.get(b"sBIT", b"")
        depth = max(stated[:3] if color_type in (2, 6) else stated[:1]) if stated else None
        depth = depth if depth and depth < 16 else None
        if color_type not in _COLOUR_OR_ALPHA:
            return replace(pillow_pixels(image), depth=None) if depth is None else _shifted(pillow_pixels(image), depth)
        orientation = image.getexif().get(0x0112, 1)
    import imagecodecs

    # Pillow keeps the high byte alone.
    pixels = Decoded(imagecodecs.png_decode(data)).upright(orientation)
    return pixels if depth is None else _shifted(pixels, depth)


def _shifted(decoded: Decoded, depth: int) -> Decoded:
    """Values of `depth` significant bits, stored as `sBIT` has it: in the high bits, or (as cameras do) in the low."""
    if decoded.pixels.max() < 2**depth:
        return replace(decoded, depth=depth)
    return replace(decoded, depth=16)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while True:
        if at + 12 > len(data):
            raise SynthMedError("is truncated or damaged (its last chunk is missing)", COPY_AGAIN)
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        stored = data[at + 8 + length : at + 12 + length]
        if len(stored) < 4:
            raise SynthMedError("is truncated or damaged (a chunk is cut short)", COPY_AGAIN)
        critical = not kind[0] & 32 or kind == b"tRNS"
        if critical and zlib.crc32(kind + body) != struct.unpack(">I", stored)[0]:
            raise SynthMedError(f"is truncated or damaged (the checksum of its chunk {kind!r} fails)", COPY_AGAIN)
        yield kind, body
        if kind == b"IEND":
            return
        at += 12 + length


def decode_jpeg(data: bytes) -> Decoded:
    """Reads a JPEG: baseline, progressive, 12 bit or lossless; grey, YCbCr, RGB, or CMYK as Adobe writes it."""
    bits, components, frame, segments = _jpeg_header(data)
    if components == 4 and not any(segment.startswith(b"Adobe") for segment in segments):
        problem = "is a CMYK JPEG without Adobe's marker, so it does not say whether its inks are inverted"
        raise SynthMedError(problem, SAVE_AGAIN)
    if bits == 8 and frame not in _LOSSLESS:
        with open_with_pillow(data, "JPEG") as image:
            return pillow_pixels(image, lossy=True)
    if components not in (1, 3):
        raise SynthMedError(f"is a JPEG of {bits} bits with {components} channels", SAVE_AGAIN)
    if b"\xff\xd9" not in data[-4096:]:
        raise SynthMedError("is truncated or damaged (a JPEG without an end)", COPY_AGAIN)
    exif = Image.Exif()
    exif.load(next((segment for segment in segments if segment.startswith(b"Exif\0\0")), b""))
    orientation = exif.get(0x0112, 1)
    import imagecodecs

    return Decoded(imagecodecs.jpeg_decode(data), bits, lossy=frame not in _LOSSLESS).upright(orientation)


def _jpeg_header(data: bytes) -> tuple[int, int, int, list[bytes]]:
    """Bits and number of components, the frame's marker, and the application segments in front of it."""
    segments: list[bytes] = []
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:
            at += 1 if marker == 0xFF else 2
            continue
        length = struct.unpack(">H", data[at + 2 : at + 4])[0]
        body = data[at + 4 : at + 2 + length]
        if marker in _FRAMES and len(body) >= 6:
            height, width = struct.unpack(">HH", body[1:5])
            check_size(width, height)
            return body[0], body[5], marker, segments
        if 0xE0 <= marker <= 0xEF:
            segments.append(body)
        at += 2 + length
    raise SynthMedError("is truncated or damaged (a JPEG without a frame header)", COPY_AGAIN)


def decode_jpeg2000(data: bytes) -> Decoded:
    """Reads a JPEG 2000 file or codestream of 1 to 16 bits a channel."""
    at = data.find(b"\xff\x4f\xff\x51")
    size = data[at + 4 : at + 43]
    if at < 0 or len(size) < 39:
        raise SynthMedError("is truncated or damaged (a JPEG 2000 without a size marker)", COPY_AGAIN)
    bits = (size[38] & 0x7F) + 1
    if size[38] & 0x80:
        raise SynthMedError("stores values below zero", SAVE_AGAIN)
    if data[-2:] != b"\xff\xd9" and data.rfind(b"\xff\xd9") < 0:
        raise SynthMedError("is truncated or damaged (a JPEG 2000 without an end)", COPY_AGAIN)
    # The reversible transform alone is lossless, and not even it where layers were left out.
    with open_with_pillow(data, "JPEG2000") as image:
        if bits == 8:
            return pillow_pixels(image, lossy=True)
    colours = data.find(b"colr", 0, at)
    if colours >= 0 and data[colours + 4] == 1 and data[colours + 7 : colours + 11] == _SYCC:
        raise SynthMedError(f"is a JPEG 2000 of {bits} bits in YCC, which is not read", SAVE_AGAIN)
    import imagecodecs

    pixels = imagecodecs.jpeg2k_decode(data)
    if pixels.ndim == 3 and pixels.shape[-1] not in (2, 3, 4):
        raise SynthMedError(f"has {pixels.shape[-1]} channels", SAVE_AGAIN)
    return Decoded(pixels, bits, lossy=True)


def decode_webp(data: bytes) -> Decoded:
    """Reads the first frame of a WebP file."""
    with open_with_pillow(data, "WEBP") as image:
        return pillow_pixels(image, lossy=b"VP8L" not in data[:64])


def decode_netpbm(data: bytes) -> Decoded:
    """Reads PBM, PGM and PPM, plain and raw. The header says what white is: values go from 0 to its `maxval`."""
    with open_with_pillow(data, "PPM") as image:
        if image.mode == "F":
            raise SynthMedError("has 32 bits a channel", SAVE_AGAIN)
        arguments = image.tile[0][3] if image.tile else ()
        largest = arguments[-1] if isinstance(arguments, tuple) and isinstance(arguments[-1], int) else 255
        if data[:2] == b"P6" and largest > 255:
            return _deep_ppm(data[image.tile[0][2] :], image.size, largest)
        decoded = pillow_pixels(image)
    if decoded.pixels.dtype == np.uint16 and 255 < largest < 65535:
        return replace(decoded, depth=16)
    return decoded


def _deep_ppm(body: bytes, size: tuple[int, int], largest: int) -> Decoded:
    # Pillow keeps 8 bits of each colour.
    count = size[0] * size[1] * 3
    if len(body) < 2 * count:
        raise SynthMedError("is truncated or damaged (pixels are missing)", COPY_AGAIN)
    pixels = np.frombuffer(body, ">u2", count).reshape(size[1], size[0], 3)
    if largest == 65535:
        return Decoded(pixels.astype(np.uint16))
    whole = np.minimum(pixels, largest).astype(np.uint32)
    return Decoded(((whole * 65535 + largest // 2) // largest).astype(np.uint16), 16)
