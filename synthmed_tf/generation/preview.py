"""The preview of a set: its first pairs in one PNG, the images above their masks.

It has two such rows of 8 pairs where the set has 16, else one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthmed_tf import files, images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.generation.formats.base import Pair
from synthmed_tf.generation.formats.png import FOLDERS, file_name

FILE = "preview.png"
COLUMNS = 8


def encode(pairs: Sequence[Pair]) -> bytes:
    """The preview of some pairs as PNG."""
    cells: list[np.ndarray] = []
    for start in range(0, len(pairs), COLUMNS):
        row = pairs[start : start + COLUMNS]
        cells += [pair.image for pair in row] + [np.repeat(pair.mask, 3, axis=-1) for pair in row]
    return images.encode_png(images.grid(np.stack(cells), min(COLUMNS, len(pairs))))


def shown(indices: Sequence[int]) -> Sequence[int]:
    """The indices of the pairs that the preview shows."""
    return indices[: 2 * COLUMNS if len(indices) >= 2 * COLUMNS else COLUMNS]


def write(folder: Path, indices: Sequence[int]) -> None:
    """Writes the preview of a plain set from the first of these pairs, which are on the disk.

    Raises:
        SynthMedError: one of their files is damaged.
    """
    of_images, of_masks = FOLDERS
    pairs = [
        Pair(index, _read(folder / of_masks / file_name(index))[..., :1], _read(folder / of_images / file_name(index)))
        for index in shown(indices)
    ]
    files.write_bytes(folder / FILE, encode(pairs))


def _read(file: Path) -> np.ndarray:
    try:
        return images.read_image(file)
    except SynthMedError as error:
        raise SynthMedError("is damaged", "run the same synthmed generate command with --repair", file) from error


class Collector:
    """Keeps the first pairs of a set while they are encoded, in any order."""

    def __init__(self, indices: Sequence[int]):
        self._indices = shown(indices)
        self._pairs: dict[int, Pair] = {}

    def collecting(self, function: Callable[[Pair], Any]) -> Callable[[Pair], Any]:
        """The function, which now also keeps the pairs that are needed."""

        def collect(pair: Pair) -> Any:
            if pair.index in self._indices:
                self._pairs[pair.index] = pair
            return function(pair)

        return collect

    def encode(self) -> bytes | None:
        """The preview as PNG, or None if there is nothing to show."""
        return encode([self._pairs[index] for index in self._indices]) if self._pairs else None
