"""Draws a synthetic set from an artifact: labelled pairs on disk, with a manifest.

    <set>/images/00000042.png  masks/00000042.png
    <set>/manifest.jsonl       a line a pair: index, seed, model, SHA-256 of both files
    <set>/card.json            what drew it
    <set>/preview.png          the first pairs

Drawing, encoding and writing overlap, and pictures in memory do not grow with the number of pairs. A pair is in the
manifest once both of its files are whole; the same call goes on where it was.
"""

import hashlib
import itertools
import json
import os
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthmed_tf import __version__, files, images
from synthmed_tf.artifact import Artifact
from synthmed_tf.errors import SynthMedError

MANIFEST = "manifest.jsonl"
KIND = "synthetic set"
FOLDERS = ("images", "masks")
_PREVIEW_PAIRS = 8
_LARGEST_INDEX = 2**63 - 1


@dataclass(frozen=True)
class Job:
    """What to draw.

    Attributes:
        count: how many pairs.
        seed: of the endless set that they are a part of.
        first_index: where in that set they begin.
        batch_size: pairs drawn at once; the pictures do not depend on it.
        workers: threads that encode and write.
    """

    count: int
    seed: int
    first_index: int = 0
    batch_size: int = 16
    workers: int = max(1, os.cpu_count() or 1)


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
    _check(job)
    try:
        _prepare(opened, job, out)
        finished = _tidy_manifest(out)
        drawn = _draw_missing(opened, job, out, finished, progress)
        _tidy_manifest(out)
        write_preview(out, range(job.first_index, job.first_index + job.count))
    except OSError as error:
        raise SynthMedError(
            f"{error.filename or out} cannot be written ({error.strerror}); free space or choose another --out, "
            "and run the same command again: what is finished is kept."
        ) from error
    return drawn


def read_manifest(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a set's manifest in the order of the indices.

    One that a crash cut short is passed over, and so are the pairs that `synthmed filter` dropped.
    """
    with open(Path(folder) / MANIFEST, "rb") as lines:
        yield from (line for line in map(_parse_line, lines) if line and "dropped" not in line)


def _check(job: Job) -> None:
    if job.count < 1:
        raise SynthMedError(f"The number of pairs is {job.count}; it must be at least 1.")
    if job.first_index < 0 or job.first_index + job.count - 1 > _LARGEST_INDEX:
        raise SynthMedError(
            f"Indices {job.first_index} to {job.first_index + job.count - 1} are not all from 0 to {_LARGEST_INDEX}; "
            "choose another --from-index."
        )
    if not -(2**63) <= job.seed < 2**63:
        raise SynthMedError(f"The seed is {job.seed}; it must fit into 64 bits.")


def _prepare(opened: Artifact, job: Job, out: Path) -> None:
    """Makes the folders and the card, and removes what a killed process was writing."""
    card = {
        "kind": KIND,
        "model_sha256": opened.model_sha256,
        "seed": job.seed,
        "size": opened.card["size"],
        "synthetic": True,
        "licence": opened.card["licence"],
        "data": opened.card["data"],
        "evaluation": "not evaluated",
        "made_with": f"synthmed_tf {__version__}",
    }
    if out.exists() and any(out.iterdir()):
        _check_same_set(out, card)
    for folder in FOLDERS:
        (out / folder).mkdir(parents=True, exist_ok=True)
        for part in (out / folder).glob(f".*{files.PART}"):
            part.unlink()
    files.write_text(out / "card.json", json.dumps(card, indent=2) + "\n")


def _check_same_set(out: Path, card: dict[str, Any]) -> None:
    try:
        there = json.loads((out / "card.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = None
    except ValueError as error:
        raise SynthMedError(f"{out / 'card.json'} is damaged ({error}); choose another --out.") from error
    if not isinstance(there, dict) or there.get("kind") != KIND:
        raise SynthMedError(f"{out} is there and is not a synthetic set; choose another --out or empty it.")
    if "filtered" in there:
        raise SynthMedError(f"{out} is a filtered set, to which nothing can be added; choose another --out.")
    for name in ("model_sha256", "seed"):
        if there.get(name) != card[name]:
            raise SynthMedError(
                f"{out} holds a set with {name} {there.get(name)}, not {card[name]}; choose another --out."
            )


def _tidy_manifest(out: Path) -> np.ndarray:
    """Puts the manifest in the order of the indices, each once, without lines whose files are not there.

    A set is the same bytes however often it was interrupted, and in whatever order its parts were drawn. Two integers
    a pair are kept in memory, not the lines.

    Returns:
        The indices of the finished pairs, `(n,)` int64, ascending.
    """
    manifest = out / MANIFEST
    manifest.touch()
    indices, offsets = array("q"), array("q")
    with open(manifest, "rb") as old:
        position = 0
        for text in old:
            line = _parse_line(text)
            if line and all((out / folder / file_name(line["index"])).is_file() for folder in FOLDERS):
                indices.append(line["index"])
                offsets.append(position)
            position += len(text)
    finished, first = np.unique(np.array(indices, np.int64), return_index=True)
    with open(manifest, "rb") as old, files.replaced_file(manifest) as new:
        for i in first:
            old.seek(offsets[i])
            new.write(old.readline().rstrip() + b"\n")
    return finished


def _parse_line(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    whole = isinstance(line, dict) and isinstance(line.get("index"), int) and 0 <= line["index"] <= _LARGEST_INDEX
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
    """Keeps a bounded number of pairs between drawing and the disk. Returns how many were drawn."""
    waiting: deque[Future] = deque()
    present = finished[(finished >= job.first_index) & (finished <= job.first_index + job.count - 1)]
    missing, drawn = _missing(job, present), 0
    progress(len(present), job.count)
    with ThreadPoolExecutor(job.workers) as pool, open(out / MANIFEST, "a", encoding="utf-8") as manifest:

        def settle(limit: int) -> None:
            nonlocal drawn
            while len(waiting) > limit:
                manifest.write(json.dumps(waiting.popleft().result()) + "\n")
                drawn += 1
                progress(len(present) + drawn, job.count)
            manifest.flush()

        while batch := list(itertools.islice(missing, job.batch_size)):
            indices = np.array(batch, np.int64)
            pairs = zip(batch, *opened.pixels(np.full_like(indices, job.seed), indices), strict=True)
            for index, mask, photograph in pairs:
                known = {"index": index, "seed": job.seed, "model_sha256": opened.model_sha256}
                waiting.append(pool.submit(_write_pair, out, known, mask, photograph))
            settle(4 * job.batch_size)
        settle(0)
    return drawn


def _write_pair(out: Path, known: dict[str, Any], mask: np.ndarray, photograph: np.ndarray) -> dict[str, Any]:
    """Writes both files, and returns the pair's line: what is known of it, and what its files are."""
    line = dict(known)
    for folder, pixels in zip(FOLDERS, (photograph, mask), strict=True):
        content = images.encode_png(pixels)
        files.write_bytes(out / folder / file_name(known["index"]), content)
        line[f"{folder}_sha256"] = hashlib.sha256(content).hexdigest()
    line["vessel_share"] = round(float(np.mean(mask >= 128)), 5)
    return line


def write_preview(out: Path, indices: Sequence[int]) -> None:
    """Writes `preview.png`: the photographs of the first of these pairs, and their masks below."""
    shown = indices[:_PREVIEW_PAIRS]
    masks = [np.repeat(images.read_image(out / "masks" / file_name(i))[..., :1], 3, axis=-1) for i in shown]
    photographs = [images.read_image(out / "images" / file_name(i)) for i in shown]
    images.write_png(out / "preview.png", images.grid(np.stack(photographs + masks), len(shown)))


def file_name(index: int) -> str:
    """Of a pair's photograph and of its mask, in `FOLDERS`."""
    return f"{index:08d}.png"
