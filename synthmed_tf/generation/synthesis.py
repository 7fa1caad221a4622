"""Draws a synthetic set from an artifact: labelled pairs on disk, with a manifest.

    <set>/images/00000042.png  masks/00000042.png
    <set>/manifest.jsonl       a line a pair: index, seed, model, SHA-256 of both files
    <set>/card.json            what drew it
    <set>/preview.png          the first pairs

Drawing, encoding and writing overlap, and pictures in memory do not grow with the number of pairs. A pair is in the
manifest once both of its files are whole; the same call goes on where it was.
"""

import contextlib
import itertools
import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from synthmed_tf import files, images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.artifact import Artifact
from synthmed_tf.generation import manifest, set_card, stream
from synthmed_tf.generation.formats import png
from synthmed_tf.generation.formats.base import Line, Pair
from synthmed_tf.generation.formats.png import FOLDERS, file_name
from synthmed_tf.generation.plan import LARGEST_INDEX, check_pairs

MANIFEST = manifest.FILE
KIND = set_card.KIND
LOCK = ".lock"
_PREVIEW_PAIRS = 8


@dataclass(frozen=True)
class Job:
    """What to draw.

    Attributes:
        count: how many pairs.
        seed: of the endless set that they are a part of.
        first_index: where in that set they begin.
        batch_size: pairs drawn at once; the pictures do not depend on it.
        workers: threads that encode and write.
        repair: whether to read what is there, and to draw again what has changed; otherwise sizes are looked at alone.
    """

    count: int
    seed: int
    first_index: int = 0
    batch_size: int = 16
    workers: int = stream.WORKERS
    repair: bool = False


def generate(
    opened: Artifact, job: Job, out: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Draws what is missing of a set.

    Args:
        opened: the artifact.
        job: what to draw.
        out: the set's folder, made where it is missing.
        progress: called with (done, total).

    Returns:
        How many pairs were drawn now.

    Raises:
        SynthMedError: the folder holds something else or a set of another model or seed, or cannot be written.
    """
    out = Path(out)
    check_pairs(job.count, job.first_index, job.seed)
    with files.failing_clearly(out):
        set_card.place(set_card.make(opened, job.seed), out)
        with _alone(out):
            _clear(out)
            finished = _tidy_manifest(out, job.repair)
            drawn = _draw_missing(opened, job, out, finished, progress)
            _tidy_manifest(out)
            write_preview(out, range(job.first_index, job.first_index + job.count))
    return drawn


def read_manifest(folder: Path) -> Iterator[Line]:
    """The lines of a set's manifest in the order of the indices.

    One that a crash cut short is passed over, and so are the pairs that `synthmed filter` dropped.
    """
    with open(Path(folder) / MANIFEST, "rb") as lines:
        yield from (line for line in map(parse_line, lines) if line and "dropped" not in line)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps other jobs off a set whose manifest is one file."""
    try:
        with files.exclusive(out / LOCK):
            yield
    except BlockingIOError as error:
        raise SynthMedError(
            f"{out} is being drawn by {error.strerror}; wait for it, or draw in --shards, which several jobs can share."
        ) from error


def _clear(out: Path) -> None:
    """Makes the folders, and removes what a killed process was writing."""
    for folder in (out, *(out / name for name in FOLDERS)):
        folder.mkdir(exist_ok=True)
        for part in folder.glob(f".*{files.PART}"):
            part.unlink()


def _tidy_manifest(out: Path, repair: bool = False) -> np.ndarray:
    """Puts the manifest in the order of the indices, each once, without lines whose files are missing or of
    another size or, to repair, of another content.

    A set is the same bytes however often it was interrupted, and in whatever order its parts were drawn. Two integers
    a pair are kept in memory, not the lines.

    Returns:
        The indices of the finished pairs, `(n,)` int64, ascending.
    """
    path = out / MANIFEST
    path.touch()
    indices, offsets = array("q"), array("q")
    with open(path, "rb") as old:
        for line, offset in _whole_lines(old, out, repair):
            indices.append(line["index"])
            offsets.append(offset)
    finished, first = np.unique(np.array(indices, np.int64), return_index=True)
    with open(path, "rb") as old, files.replaced_file(path) as new:
        for i in first:
            old.seek(offsets[i])
            new.write(old.readline().rstrip() + b"\n")
    return finished


def _whole_lines(lines: BinaryIO, out: Path, repair: bool) -> Iterator[tuple[Line, int]]:
    """The lines of pairs whose files are as they say, each with its place in the manifest."""

    def placed() -> Iterator[tuple[Line, int]]:
        position = 0
        for text in lines:
            if line := parse_line(text):
                yield line, position
            position += len(text)

    def look(item: tuple[Line, int]) -> tuple[bool, tuple[Line, int]]:
        listed = manifest.files_of(item[0])
        return len(listed) == 2 and not any(manifest.fault(out, file, repair) for file in listed), item

    looked = stream.parallel(look, placed()) if repair else map(look, placed())
    yield from (item for whole, item in looked if whole)


def parse_line(text: bytes) -> Line | None:
    """A pair's line, or None where it is none."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    whole = isinstance(line, dict) and isinstance(line.get("index"), int) and 0 <= line["index"] <= LARGEST_INDEX
    return line if whole else None


def _missing(job: Job, present: np.ndarray) -> Iterator[int]:
    """The job's indices that are not among those present (ascending)."""
    start = job.first_index
    for stop in itertools.chain(map(int, present), [job.first_index + job.count]):
        yield from range(start, stop)
        start = stop + 1


def _draw_missing(
    opened: Artifact, job: Job, out: Path, finished: np.ndarray, progress: Callable[[int, int], None]
) -> int:
    """Returns how many were drawn."""
    present = finished[(finished >= job.first_index) & (finished <= job.first_index + job.count - 1)]
    drawn = 0
    progress(len(present), job.count)

    def write(pair: Pair) -> Line:
        return _write_pair(out, pair, job.seed, opened.model_sha256)

    lines = stream.encoded(opened, job.seed, _missing(job, present), write, job.batch_size, job.workers)
    with contextlib.closing(lines), open(out / MANIFEST, "a", encoding="utf-8") as written:
        for drawn, line in enumerate(lines, start=1):
            written.write(json.dumps(line) + "\n")
            if drawn % job.batch_size == 0:
                written.flush()
            progress(len(present) + drawn, job.count)
    return drawn


def _write_pair(out: Path, pair: Pair, seed: int, model_sha256: str) -> Line:
    """Writes both files, and returns the pair's line."""
    line, contents = png.encode(pair, seed, model_sha256)
    for name, content in contents.items():
        files.write_bytes(out / name, content)
    return line


def write_preview(out: Path, indices: Sequence[int]) -> None:
    """Writes `preview.png`: the photographs of the first of these pairs, and their masks below."""
    shown = indices[:_PREVIEW_PAIRS]
    masks = [np.repeat(images.read_image(out / "masks" / file_name(i))[..., :1], 3, axis=-1) for i in shown]
    photographs = [images.read_image(out / "images" / file_name(i)) for i in shown]
    images.write_png(out / "preview.png", images.grid(np.stack(photographs + masks), len(shown)))
