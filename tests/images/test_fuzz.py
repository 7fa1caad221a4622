"""Files changed by bits, blocks, headers and sizes: read or refused, never a traceback, a hang or other pixels."""

import contextlib
import io
import signal

import numpy as np
import pytest
import tifffile
from helpers.image_files import png, tiff
from PIL import Image

from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import decoding, read_image, read_mask

RANDOM = np.random.default_rng(8)
COLOUR = RANDOM.integers(0, 256, (40, 36, 3)).astype(np.uint8)
GREY = COLOUR[..., 0]
LABELS = (GREY % 3).astype(np.uint8)
SECONDS = 20


def saved(array, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def by_tifffile(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


DEEP = COLOUR.astype(np.uint16) * 257
SOURCES = {
    "png": png(COLOUR, 2, 8),
    "png16": png(DEEP, 2, 16, interlaced=True),
    "png palette": png(LABELS[..., None], 3, 2, chunks=[(b"PLTE", bytes(range(12)))]),
    "tiff": tiff(COLOUR, 2, strip=7),
    "tiff planes": tiff(DEEP, 2, planar=True, order=">"),
    "tiff big": tiff(GREY, 0, big=True),
    "tiff bits": tiff(GREY > 99, 1),
    "tiff lzw": by_tifffile(COLOUR, photometric="rgb", compression="lzw", predictor=True),
    "tiff tiles": by_tifffile(DEEP, photometric="rgb", compression="zlib", tile=(16, 16)),
    "tiff pages": by_tifffile(np.stack([COLOUR] * 3), photometric="rgb"),
    "tiff jpeg": by_tifffile(COLOUR, photometric="rgb", compression="jpeg"),
    "jpeg": saved(COLOUR, "JPEG"),
    "jpeg progressive": saved(COLOUR, "JPEG", progressive=True),
    "jpeg 2000": saved(COLOUR, "JPEG2000"),
    "webp": saved(COLOUR, "WEBP", lossless=True),
    "gif": saved(GREY, "GIF"),
    "bmp": saved(COLOUR, "BMP"),
    "ppm": saved(COLOUR, "PPM"),
    "pgm text": b"P2 3 2 255\n0 255 0\n255 0 255\n",
}
EXACT = ("png", "png16", "png palette")
"""Every bit of these is under a checksum."""


def bits(data, random):
    changed = bytearray(data)
    for place in random.integers(0, len(data), int(random.integers(1, 9))):
        changed[place] ^= 1 << int(random.integers(8))
    return bytes(changed)


def block(data, random):
    start, length = int(random.integers(len(data))), int(random.integers(1, 64))
    other = int(random.integers(len(data)))
    put = (b"", data[other : other + length], random.bytes(length), data[start : start + length] * 2)
    return data[:start] + put[int(random.integers(4))] + data[start + length :]


def sizes(data, random):
    """Puts an extreme number where the header has one."""
    at = int(random.integers(min(len(data) - 4, 200)))
    extremes = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x01\0\0\0", b"\0\0\xff\xff", b"\0\0\x01\0")
    return data[:at] + extremes[int(random.integers(len(extremes)))] + data[at + 4 :]


CHANGES = {
    "bits": bits,
    "block": block,
    "header bits": lambda data, random: bits(data[:80], random) + data[80:],
    "tail bits": lambda data, random: data[:-300] + bits(data[-300:], random),
    "sizes": sizes,
    "cut": lambda data, random: data[: int(random.integers(1, len(data)))],
    "joined": lambda data, random: data + data[: int(random.integers(len(data)))],
}


@contextlib.contextmanager
def no_hang(name):
    def stop(*_):
        raise TimeoutError(f"{name} takes more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(reader, path, name):
    """The array, or None where it was refused in one sentence that names the file."""
    with no_hang(name):
        try:
            return reader(path)
        except SynthMedError as error:
            text = str(error)
            assert text.startswith(str(path)) and text.endswith(".") and "\n" not in text and error.remedy, (name, text)
            return None


def fuzz(folder, rounds, seed):
    """Reads `rounds` files; returns how many were and how many were read."""
    whole = {}
    for kind, data in SOURCES.items():
        (folder / "whole").write_bytes(data)
        whole[kind] = read_image(folder / "whole")
    kinds, changes = list(SOURCES), list(CHANGES)
    count = 0
    for number in range(rounds):
        random = np.random.default_rng((seed, number))
        kind, change = kinds[number % len(kinds)], changes[number // len(kinds) % len(changes)]
        path = folder / f"{number} [{kind}] é.img"
        path.write_bytes(CHANGES[change](SOURCES[kind], random))
        name = f"{kind}, {change}, {seed}, {number}"
        pixels = outcome(read_image, path, name)
        mask = outcome(read_mask, path, name)
        if pixels is not None:
            count += 1
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[-1] == 3 and pixels.size, name
            if kind in EXACT:
                np.testing.assert_array_equal(pixels, whole[kind], err_msg=name)
            _compare_with_pillow(path, pixels, kind, name)
        if mask is not None:
            assert mask.dtype == bool and 0 < mask.mean() < 1, name
        path.unlink()
    return rounds, count


def _compare_with_pillow(path, pixels, kind, name):
    """Where Pillow reads an 8 bit RGB TIFF, it is to see the same."""
    if kind not in ("tiff", "tiff lzw", "tiff pages"):
        return
    try:
        with Image.open(path, formats=("TIFF",)) as image:
            if image.mode != "RGB" or image.getexif().get(0x0112, 1) != 1:
                return
            other = np.asarray(image)
    except Exception:
        return
    np.testing.assert_array_equal(pixels, other, err_msg=name)


@pytest.fixture(autouse=True)
def small_limit(monkeypatch):
    monkeypatch.setattr(
        decoding, "MAX_PIXELS", 2_000_000
    )  # a changed size is then refused early, and memory stays small


@pytest.mark.filterwarnings("ignore")
def test_399_changed_files(tmp_path):
    done, read = fuzz(tmp_path, rounds=3 * len(SOURCES) * len(CHANGES), seed=1)
    assert done == 399 and 20 < read < 300


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_3990_changed_files(tmp_path):
    done, read = fuzz(tmp_path, rounds=30 * len(SOURCES) * len(CHANGES), seed=2)
    assert done == 3990 and 200 < read < 3000
