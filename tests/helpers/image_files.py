"""Image files written by hand from the formats' specifications, so that no reader's own library made them."""

import struct
import zlib

import numpy as np


def tiff(array, photometric, *, order="<", bits=None, planar=False, big=False, **options) -> bytes:
    """A TIFF of one page.

    Args:
        array: `(height, width)` or `(height, width, samples)`, of the type to store (bool is stored as bits).
        photometric: the tag's number.
        order: `<` or `>`.
        bits: a sample, where not those of the array's type; packed if they fill no bytes.
        planar: each sample in a plane of its own.
        big: BigTIFF.
        options: `strip` rows a strip, `deflate`, `extra` (kinds of further samples), `palette` (n, 3) of 16 bits,
            `orientation`, `reduced` (a thumbnail), `sample_format`, `parts` (compressed strips),
            and `tags` {number: (type, values)}.
    """
    array = array[..., None] if array.ndim == 2 else array
    height, width, samples = array.shape
    bits = bits or (1 if array.dtype == bool else 8 * array.dtype.itemsize)
    formats = {"u": 1, "b": 1, "i": 2, "f": 3}
    strip = options.get("strip", height)
    planes = [array[..., i : i + 1] for i in range(samples)] if planar else [array]
    parts = [_packed(plane[row : row + strip], bits, order) for plane in planes for row in range(0, height, strip)]
    parts = [zlib.compress(part) for part in parts] if options.get("deflate") else parts
    parts = options.get("parts", parts)
    tags = {
        254: ("I", [1 if options.get("reduced") else 0]),
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits] * samples),
        259: ("H", [8 if options.get("deflate") else 1]),
        262: ("H", [photometric]),
        274: ("H", [options.get("orientation", 1)]),
        277: ("H", [samples]),
        278: ("I", [strip]),
        284: ("H", [2 if planar else 1]),
        339: ("H", [options.get("sample_format", formats[array.dtype.kind])] * samples),
    }
    if "extra" in options:
        tags[338] = ("H", options["extra"])
    if "palette" in options:
        tags[320] = ("H", list(np.asarray(options["palette"]).T.ravel()))
    return _tiff_file(tags | options.get("tags", {}), parts, order, big)


def _packed(rows, bits, order):
    if bits in (10, 12, 14):
        each = np.unpackbits(rows.reshape(len(rows), -1, 1).astype(">u2").view(np.uint8), axis=2)[:, :, 16 - bits :]
        return b"".join(np.packbits(row.ravel()).tobytes() for row in each)
    if bits >= 8:
        return rows.astype(rows.dtype.newbyteorder(order)).tobytes()
    packed = b""
    for row in rows.reshape(len(rows), -1).astype(np.uint8):
        packed += np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes()
    return packed


def _tiff_file(tags, parts, order, big):
    size = "Q" if big else "I"
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    head += struct.pack(f"{order}HH", 8, 0) if big else b""
    start = len(head) + struct.calcsize(f"{order}{size}")
    offsets, at = [], start
    for part in parts:
        offsets.append(at)
        at += len(part)
    tags = tags | {273: (size, offsets), 279: (size, [len(part) for part in parts])}
    body = b"".join(parts) + b"\0" * (at % 2)
    at += at % 2
    kinds = {"H": 3, "I": 4, "Q": 16}
    entries, far, room = b"", b"", 8 if big else 4
    beyond = at + (8 if big else 2) + len(tags) * (20 if big else 12) + (8 if big else 4)
    for number, (kind, values) in sorted(tags.items()):
        data = struct.pack(f"{order}{len(values)}{kind}", *(int(value) for value in values))
        entries += struct.pack(f"{order}HH{size}", number, kinds[kind], len(values))
        if len(data) <= room:
            entries += data.ljust(room, b"\0")
        else:
            entries += struct.pack(f"{order}{size}", beyond + len(far))
            far += data + b"\0" * (len(data) % 2)
    count = struct.pack(f"{order}{'Q' if big else 'H'}", len(tags))
    return head + struct.pack(f"{order}{size}", at) + body + count + entries + struct.pack(f"{order}{size}", 0) + far


def png(array, color_type, bits, *, interlaced=False, chunks=()) -> bytes:
    """A PNG.

    Args:
        array: `(height, width, channels)`, raw values of `bits` bits.
        color_type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
        bits: 1, 2, 4, 8 or 16.
        interlaced: by Adam7.
        chunks: `(kind, data)` before the pixels, such as PLTE, tRNS, gAMA.
    """
    height, width = array.shape[:2]
    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    passes = [array[y::down, x::right] for y, x, down, right in starts] if interlaced else [array]
    data = b"".join(b"\0" + _packed(row[None], bits, ">") for part in passes if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, int(interlaced))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in parts)


def png_chunk(kind, data) -> bytes:
    """A chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
