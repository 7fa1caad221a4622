"""Draws a synthetic set from an artifact: labelled pairs on disk, with a manifest.

    <set>/images/00000042.png  masks/00000042.png
    <set>/manifest.jsonl       a line a pair: index, seed, model, SHA-256 of both files
    <set>/card.json            what drew it
    <set>/preview.png          the first pairs

Drawing, encoding and writing overlap, and memory does not grow with the number of pairs. A pair is in the manifest
once both of its files are whole; the same call goes on where it was.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthmed_tf import __version__, files, images
from synthmed_tf.artifact import Artifact
from synthmed_tf.errors import SynthMedError

MANIFEST = "manifest.jsonl"
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


def generate(opened: Artifact, job: Job, out: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> int:
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
        done = _prepare(opened, job, out)
        missing = [i for i in range(job.first_index, job.first_index + job.count) if i not in done]
        _draw_missing(opened, job, out, missing, progress)
        _write_preview(job, out)
    except OSError as error:
        raise SynthMedError(
            f"{error.filename or out} cannot be written ({error.strerror}); free space or choose another --out, "
            "and run the same command again: what is finished is kept."
        ) from error
    return len(missing)


def read_manifest(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a set's manifest; one that was cut short by a crash is passed over."""
    with open(Path(folder) / MANIFEST, encoding="utf-8") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                continue


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


def _prepare(opened: Artifact, job: Job, out: Path) -> set[int]:
    """Makes the folders and the card, and reads which pairs are finished."""
    if out.exists() and any(out.iterdir()) and not (out / "card.json").is_file():
        raise SynthMedError(f"{out} is there and is not a synthetic set; choose another --out or empty it.")
    card = {
        "kind": "synthetic set",
        "model_sha256": opened.model_sha256,
        "seed": job.seed,
        "size": opened.card["size"],
        "synthetic": True,
        "licence": opened.card["licence"],
        "data": opened.card["data"],
        "evaluation": "not evaluated",
        "made_with": f"synthmed_tf {__version__}",
    }
    if (out / "card.json").is_file():
        _check_same_set(out, card)
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    files.write_text(out / "card.json", json.dumps(card, indent=2) + "\n")
    return _finished(out)


def _check_same_set(out: Path, card: dict[str, Any]) -> None:
    try:
        there = json.loads((out / "card.json").read_text(encoding="utf-8"))
        differing = [name for name in ("kind", "model_sha256", "seed") if there.get(name) != card[name]]
    except (ValueError, AttributeError) as error:
        raise SynthMedError(f"{out / 'card.json'} is damaged ({error}); choose another --out.") from error
    if differing:
        name = differing[0]
        raise SynthMedError(f"{out} holds a set with {name} {there.get(name)}, not {card[name]}; choose another --out.")


def _finished(out: Path) -> set[int]:
    """Indices in the manifest whose files are there; the manifest is rewritten without a line that was cut short."""
    if not (out / MANIFEST).is_file():
        return set()
    kept = [
        line
        for line in read_manifest(out)
        if all((out / folder / _file_name(line["index"])).is_file() for folder in ("images", "masks"))
    ]
    files.write_text(out / MANIFEST, "".join(json.dumps(line) + "\n" for line in kept))
    return {line["index"] for line in kept}


def _draw_missing(opened: Artifact, job: Job, out: Path, missing: list[int], progress: Callable[[int, int], None]) -> None:
    """Keeps a bounded number of pairs between drawing and the disk; the manifest grows in the order of the indices."""
    waiting: deque[Future] = deque()
    done = job.count - len(missing)
    progress(done, job.count)
    with ThreadPoolExecutor(job.workers) as pool, open(out / MANIFEST, "a", encoding="utf-8") as manifest:

        def settle(limit: int) -> None:
            nonlocal done
            while len(waiting) > limit:
                manifest.write(json.dumps(waiting.popleft().result()) + "\n")
                done += 1
                progress(done, job.count)
            manifest.flush()

        for start in range(0, len(missing), job.batch_size):
            indices = np.array(missing[start : start + job.batch_size], np.int64)
            masks, photographs = opened.pixels(np.full_like(indices, job.seed), indices)
            for index, mask, photograph in zip(indices, masks, photographs, strict=True):
                waiting.append(pool.submit(_write_pair, out, opened.model_sha256, job.seed, int(index), mask, photograph))
            settle(4 * job.batch_size)
        settle(0)


def _write_pair(out: Path, model: str, seed: int, index: int, mask: np.ndarray, photograph: np.ndarray) -> dict[str, Any]:
    line: dict[str, Any] = {"index": index, "seed": seed, "model_sha256": model}
    for folder, pixels in (("images", photograph), ("masks", mask)):
        content = images.encode_png(pixels)
        files.write_bytes(out / folder / _file_name(index), content)
        line[f"{folder}_sha256"] = hashlib.sha256(content).hexdigest()
    line["vessel_share"] = round(float(np.mean(mask >= 128)), 5)
    return line


def _write_preview(job: Job, out: Path) -> None:
    shown = range(job.first_index, job.first_index + min(job.count, _PREVIEW_PAIRS))
    masks = [np.repeat(images.read_image(out / "masks" / _file_name(i))[..., :1], 3, axis=-1) for i in shown]
    photographs = [images.read_image(out / "images" / _file_name(i)) for i in shown]
    images.write_png(out / "preview.png", images.grid(np.stack(photographs + masks), len(shown)))


def _file_name(index: int) -> str:
    return f"{index:08d}.png"
