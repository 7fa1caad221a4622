"""`synthmed verify`: compares every byte of a set with its manifest.

Every file is read, nothing is written, and TensorFlow is not needed. The card is not checked: users may add to it.
"""

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from synthmed_tf import files, images, stores
from synthmed_tf.errors import ERROR, Finding, SynthMedError
from synthmed_tf.generation import manifest, plain, preview, set_card, shards, stream
from synthmed_tf.generation.formats.base import Line
from synthmed_tf.generation.plan import Plan

_AGAIN = "run the same synthmed generate command again"
_REPAIR = "run the same synthmed generate command with --repair"
_FILTER = "run the same synthmed filter command into another folder"
_AHEAD = 256

Check = tuple[str, Callable[[], str | None]]
"""The path of a file in the set, and a function that says what is wrong with it (None: nothing)."""


@dataclass(frozen=True)
class Verified:
    """The result.

    Attributes:
        good: number of files that are as they should be.
        problems: one for each other file; files that do not belong to the set come last.
    """

    good: int
    problems: tuple[Finding, ...]


def verify(folder: str | os.PathLike[str], progress: Callable[[int, int], None] = lambda done, total: None) -> Verified:
    """Looks for files of a set that are missing, changed, left half-written, or do not belong to it.

    Args:
        folder: a set that `synthmed generate` or `synthmed filter` wrote, in any format.
        progress: called with (done, total), in files.

    Raises:
        SynthMedError: it is not a set, or its card or manifest cannot be read.
    """
    folder = stores.place(folder)
    with stores.reading(folder):
        return _verified(folder, progress)


def _verified(folder: Path, progress: Callable[[int, int], None]) -> Verified:
    card = set_card.read(folder, "name the folder that synthmed generate wrote")
    filtered = "filtered" in card
    plan = set_card.plan_of(card)
    checks = _of_pairs(folder) if plan is None else _of_shards(folder, plan)
    unlisted = set(files.walk(folder)) - {set_card.FILE}
    total, good, problems = len(unlisted), 0, []
    workers = stores.WORKERS if stores.in_store(folder) else stream.WORKERS
    for file, fault in stream.parallel(lambda check: (check[0], check[1]()), checks, workers, _AHEAD):
        unlisted.discard(file)
        progress(total - len(unlisted), total)
        if fault is None:
            good += 1
        else:
            remedy = _FILTER if filtered else _AGAIN if fault == manifest.MISSING else _REPAIR
            problems.append(Finding(ERROR, file, fault, remedy))
    return Verified(good, (*problems, *map(_unlisted, sorted(unlisted))))


def _of_pairs(folder: Path) -> Iterator[Check]:
    """What a plain set should hold."""
    path = folder / manifest.FILE
    if not path.is_file():
        yield manifest.FILE, lambda: manifest.MISSING
        return
    damaged, pairs = 0, 0
    with path.open("rb") as lines:
        for line in map(manifest.parse_pair, lines):
            damaged += line is None
            listed = manifest.files_of(line) if line else []
            pairs += bool(listed)
            yield from _files(folder, listed)
    yield manifest.FILE, lambda: f"has {damaged} damaged line(s)" if damaged else None
    if pairs:
        yield preview.FILE, lambda: _unreadable(folder / preview.FILE)


def _of_shards(folder: Path, plan: Plan) -> Iterator[Check]:
    """What a set in shards should hold."""
    whole = True
    for shard in range(plan.shards):
        fault = None
        try:
            lines = list(shards.read_record(plan, shard, folder))  # all: the digest is at the end
        except FileNotFoundError:
            fault = manifest.MISSING
        except SynthMedError:
            fault = "is damaged"
        else:
            yield from (check for line in lines for check in _files(folder, manifest.files_of(line)))
        whole &= fault is None
        yield shards.record_path(Path(), plan, shard).as_posix(), _known(fault)
    if whole:
        for name, parts in shards.files_of_the_whole(plan, folder):
            yield name, _known(_other_than(folder / name, parts))


def _files(folder: Path, listed: Iterable[Line]) -> Iterator[Check]:
    for file in listed:
        yield file["file"], functools.partial(manifest.fault, folder, file, read=True)


def _known(fault: str | None) -> Callable[[], str | None]:
    return lambda: fault


def _other_than(path: Path, parts: Iterable[bytes]) -> str | None:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    if not path.is_file():
        return manifest.MISSING
    return None if files.sha256(path) == digest.hexdigest() else manifest.CHANGED


def _unreadable(path: Path) -> str | None:
    if not path.is_file():
        return manifest.MISSING
    try:
        images.decode_png(path.read_bytes())
    except SynthMedError:
        return "is damaged"
    return None


def _unlisted(file: str) -> Finding:
    name = file.rpartition("/")[2]
    if file.startswith(f"{shards.STAGING}/") or name.endswith(files.PART) or name == plain.LOCK:
        return Finding(ERROR, file, "was left by a killed process", "delete it, unless the process is still running")
    return Finding(ERROR, file, "does not belong to the set", "delete it")
