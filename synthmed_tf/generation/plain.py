"""A plain set: pairs of PNG files that are not cut into shards.

    <set>/images/00000042.png  masks/00000042.png
    <set>/manifest.jsonl       a line a pair: index, seed, model, SHA-256 of both files

A pair is in the manifest once both of its files are whole. The set can grow: any range of the same seed can be added.
"""

import contextlib
import json
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from synthmed_tf import files
from synthmed_tf.generation import manifest, preview, stream
from synthmed_tf.generation.formats import png
from synthmed_tf.generation.formats.base import Line
from synthmed_tf.generation.part import Part, Sink
from synthmed_tf.generation.plan import Plan

LOCK = ".lock"


class PlainPairs(Part):
    """The only part of a plain set."""

    def __init__(self, plan: Plan, out: Path):
        super().__init__(plan, out, 0, out / LOCK)

    def is_whole(self, read: bool) -> bool:
        return False  # known under the lock only, since others may be adding to the manifest

    def start(self, repair: bool) -> Sequence[int]:
        for folder in (self.out, *(self.out / name for name in png.FOLDERS)):
            for part in folder.glob(f".*{files.PART}"):
                part.unlink()
        finished = _tidy_manifest(self.out, repair)
        inside = (finished >= self.indices[0]) & (finished <= self.indices[-1])
        return [int(index) for index in finished[inside]]

    @contextlib.contextmanager
    def opened(self) -> Iterator[Sink]:
        writer = png.Writer(self.out, self.plan, 0)
        with open(self.out / manifest.FILE, "a", buffering=1, encoding="utf-8") as lines:

            def add(encoded: Line) -> None:
                lines.writelines(json.dumps(line) + "\n" for line in writer.add(encoded))

            yield Sink(writer.encode, add)

    def end(self, generated: int) -> None:
        if generated:
            _tidy_manifest(self.out)
        preview.write(self.out, self.indices)


def _tidy_manifest(out: Path, repair: bool = False) -> np.ndarray:
    """Puts the manifest in the order of the indices, each once, without lines whose files are missing or have another
    size (to repair: another content).

    So a set has the same bytes however often it was interrupted, and in any order its parts were generated. Two
    integers a pair are kept in memory, not the lines.

    Returns:
        The indices of the finished pairs, `(n,)` int64, ascending.
    """
    path = out / manifest.FILE
    path.touch()
    indices, offsets = array("q"), array("q")
    with open(path, "rb") as old:
        for line, offset in _true_lines(old, out, repair):
            indices.append(line["index"])
            offsets.append(offset)
    finished, first = np.unique(np.array(indices, np.int64), return_index=True)
    with open(path, "rb") as old, files.replaced_file(path) as new:
        for i in first:
            old.seek(offsets[i])
            new.write(old.readline().rstrip() + b"\n")
    return finished


def _true_lines(lines: BinaryIO, out: Path, repair: bool) -> Iterator[tuple[Line, int]]:
    """The lines of pairs whose files are as they say, each with its position in the manifest."""

    def positioned() -> Iterator[tuple[Line, int]]:
        position = 0
        for text in lines:
            if line := manifest.parse_pair(text):
                yield line, position
            position += len(text)

    def check(item: tuple[Line, int]) -> tuple[bool, tuple[Line, int]]:
        return bool(manifest.files_of(item[0])) and manifest.is_true(out, item[0], repair), item

    checked = stream.parallel(check, positioned()) if repair else map(check, positioned())
    yield from (item for is_true, item in checked if is_true)
