"""Pairs of an entry to look at: some of the set's own files, and one small image for lists."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from synthmed_tf import images
from synthmed_tf.generation.formats.base import PngPair
from synthmed_tf.repository.entry import Preview

COUNT = 24
FOLDER = "previews"
THUMBNAIL = "thumbnail.png"

_TILE, _MARGIN, _COLOURS = 117, 2, 96
_PAIRS = 2


def chosen(indices: Sequence[int]) -> list[int]:
    """At most `COUNT` indices, evenly spread, the first among them."""
    count = min(COUNT, len(indices))
    return [indices[len(indices) * number // count] for number in range(count)]


def write(pairs: Mapping[int, PngPair], folder: Path) -> tuple[Preview, ...]:
    """Writes the previews, each the bytes that it has in the set, and the thumbnail.

    Args:
        pairs: by their indices.
        folder: of the version.
    """
    (folder / FOLDER).mkdir()
    (folder / THUMBNAIL).write_bytes(thumbnail([pairs[index] for index in sorted(pairs)][:_PAIRS]))
    return tuple(_write_pair(pairs[index], folder) for index in sorted(pairs))


def thumbnail(pairs: Sequence[PngPair]) -> bytes:
    """The first pairs as one PNG of 240 pixels a side: photographs, and below each its mask.

    A palette keeps it to some tens of kilobytes.
    """
    tiles = [_tile(pair.image) for pair in pairs] + [_tile(pair.mask) for pair in pairs]
    image = Image.fromarray(images.grid(np.stack(tiles), len(pairs), _MARGIN))
    small = io.BytesIO()
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def _tile(png: bytes) -> np.ndarray:
    image = Image.fromarray(images.decode_png(png).squeeze()).convert("RGB")
    return np.asarray(image.resize((_TILE, _TILE), Image.Resampling.LANCZOS))


def _write_pair(pair: PngPair, folder: Path) -> Preview:
    names = {kind: f"{FOLDER}/{pair.index:08d}.{kind}.png" for kind in ("image", "mask")}
    (folder / names["image"]).write_bytes(pair.image)
    (folder / names["mask"]).write_bytes(pair.mask)
    return Preview(index=pair.index, photograph=names["image"], mask=names["mask"])
