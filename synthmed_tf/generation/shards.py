"""Sets in shards: each is drawn by itself, anywhere and in any order, and is whole or not there.

    <set>/card.json                    what draws it, and its plan
    <set>/shards/00003-of-00008.jsonl  of each whole shard: what it is, a line a pair or a file, and their SHA-256
    <set>/manifest.jsonl               all of these in their order, once every shard is there
    <set>/preview.png                  its first pairs; and what the format has

A shard is drawn in `<set>/.drawing/`, and moved to its place when it is whole; its own manifest comes last. What it
holds depends on artifact and plan alone, so that it does not matter who draws it, when, or how often.
"""

import contextlib
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from synthmed_tf import files, images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.artifact import Artifact
from synthmed_tf.generation import formats, manifest, set_card, stream
from synthmed_tf.generation.formats.base import Line, Pair, ShardWriter, opened_shard
from synthmed_tf.generation.plan import Plan

MANIFEST = manifest.FILE
RECORDS = "shards"
DRAWING = ".drawing"
PREVIEW = "preview.png"
_PREVIEW_PAIRS = 8

Progress = Callable[[int, int], None]


def make_plan(
    opened: Artifact, seed: int, first_index: int, count: int, shards: int, format: str, batch_size: int = 16
) -> Plan:
    """The plan of a set that this artifact draws.

    Raises:
        SynthMedError: a number is out of its range.
    """
    size, runtime = opened.card["size"], opened.runtime
    plan = Plan(opened.model_sha256, seed, first_index, count, shards, format, size, runtime, batch_size)
    plan.check()
    return plan


def prepare(opened: Artifact, plan: Plan, out: Path) -> None:
    """Makes the set's folder with its card, or sees that it is there. May be called by many at once.

    Raises:
        SynthMedError: the folder holds something else or another set, or a package is missing.
        OSError: it cannot be written.
    """
    formats.writer(plan.format).require()
    set_card.place(set_card.make(opened, plan.seed, plan), Path(out))


def draw_shard(
    opened: Artifact,
    plan: Plan,
    shard: int,
    out: Path,
    workers: int = stream.WORKERS,
    progress: Progress = lambda done, total: None,
) -> None:
    """Draws one shard into a set's folder. The files depend on the artifact and the plan alone.

    Nothing is seen of it before it is whole. Drawing it again, or at once on two machines, gives the same files.

    Args:
        opened: the artifact of the plan.
        plan: of the set.
        shard: its number, from 0.
        out: the set's folder, which must be there.
        workers: threads that encode and write.
        progress: called with (done, total), in pairs.

    Raises:
        SynthMedError: the artifact is not that of the plan, or there is no such shard.
        OSError: the folder cannot be written.
    """
    if (opened.model_sha256, opened.runtime) != (plan.model_sha256, plan.runtime):
        raise SynthMedError(
            f"The plan is for model {plan.model_sha256} in {plan.runtime}, not {opened.model_sha256} in "
            f"{opened.runtime}; open the artifact that it was made for."
        )
    indices = plan.indices(shard)
    work = out / DRAWING / f"{shard:05d}.{socket.gethostname()}.{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        with (
            open(work / MANIFEST, "wb") as file,
            opened_shard(formats.writer(plan.format), work, plan, shard) as writer,
        ):
            record = _Record(file)
            record.add([_heading(plan, shard)])
            preview = _Preview(indices[:_PREVIEW_PAIRS] if shard == 0 else range(0))
            pairs = stream.encoded(opened, plan.seed, indices, preview.seen(writer.encode), plan.batch_size, workers)
            with contextlib.closing(pairs):
                for done, encoded in enumerate(pairs, start=1):
                    record.add(writer.add(encoded))
                    progress(done, len(indices))
            record.add(writer.close())
            record.add(preview.save(writer))
            record.end(shard)
        _take_places(work, record_path(out, plan, shard), out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def read_record(plan: Plan, shard: int, out: Path) -> Iterator[Line]:
    """The lines of a whole shard.

    Raises:
        SynthMedError: at the end, where it is damaged or of another plan.
        OSError: there is none, or it cannot be read.
    """
    path, digest, line = record_path(out, plan, shard), hashlib.sha256(), None
    with open(path, "rb") as record:
        for number, text in enumerate(record):
            try:
                line = json.loads(text)
            except ValueError:
                break
            if number == 0 and line != _heading(plan, shard):
                break
            if line == _ending(shard, digest):
                return
            yield line
            digest.update(text)
    raise SynthMedError(f"{path} is damaged; run the same synthmed generate command again.")


def is_whole(plan: Plan, shard: int, out: Path, read: bool = False) -> bool:
    """Whether a shard is there, with all of its files.

    Args:
        plan: of the set.
        shard: its number.
        out: the set's folder.
        read: whether to read the files, or to look at their sizes alone.
    """
    try:
        lines = list(read_record(plan, shard, out))  # all of them: that they are true is known at the end
        listed = (file for line in lines for file in manifest.files_of(line))
        faults = (manifest.fault(out, file, read) for file in listed)
        return not any(faults)
    except (SynthMedError, FileNotFoundError):
        return False


def missing(plan: Plan, out: Path) -> tuple[int, ...]:
    """The shards that are not there."""
    return tuple(shard for shard in range(plan.shards) if not record_path(out, plan, shard).is_file())


def finish(plan: Plan, out: Path) -> None:
    """Writes what stands beside the shards, which must all be there. May be called by many at once.

    Raises:
        SynthMedError: a shard's manifest is damaged.
        OSError: one is missing, or the folder cannot be written.
    """
    for name, parts in beside(plan, out):
        with files.replaced_file(out / name) as file:
            file.writelines(parts)


def beside(plan: Plan, out: Path) -> Iterator[tuple[str, Iterable[bytes]]]:
    """The files that stand beside the shards: the place in the set, and the content in parts."""
    yield from formats.writer(plan.format).describe(plan, read_records(plan, out))
    yield MANIFEST, _merged(plan, out)


def _merged(plan: Plan, out: Path) -> Iterator[bytes]:
    for shard in range(plan.shards):
        with open(record_path(out, plan, shard), "rb") as record:
            yield from record


def read_records(plan: Plan, out: Path) -> Iterator[Line]:
    """The lines of all shards, in their order."""
    for shard in range(plan.shards):
        yield from read_record(plan, shard, out)


def record_path(out: Path, plan: Plan, shard: int) -> Path:
    """The manifest of a shard: where it is, the shard is whole."""
    return out / RECORDS / f"{shard:05d}-of-{plan.shards:05d}.jsonl"


def _heading(plan: Plan, shard: int) -> Line:
    indices = plan.indices(shard)
    facts = {"shard": shard, "shards": plan.shards, "first_index": indices.start, "count": len(indices)}
    return facts | {"seed": plan.seed, "model_sha256": plan.model_sha256, "format": plan.format}


def _ending(shard: int, digest) -> Line:
    return {"end_of_shard": shard, "sha256_of_lines": digest.hexdigest()}


class _Record:
    """A shard's manifest as it is written."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._digest = hashlib.sha256()

    def add(self, lines: Iterable[Line]) -> None:
        for line in lines:
            text = (json.dumps(line) + "\n").encode()
            self._file.write(text)
            self._digest.update(text)

    def end(self, shard: int) -> None:
        self.add([_ending(shard, self._digest)])


class _Preview:
    """Keeps a set's first pairs, and writes them as one picture."""

    def __init__(self, indices: range):
        self._indices = indices
        self._pairs: dict[int, Pair] = {}

    def seen(self, encode: Callable[[Pair], Any]) -> Callable[[Pair], Any]:
        def keep(pair: Pair) -> Any:
            if pair.index in self._indices:
                self._pairs[pair.index] = pair
            return encode(pair)

        return keep

    def save(self, writer: ShardWriter) -> list[Line]:
        if not self._pairs:
            return []
        pairs = [self._pairs[index] for index in self._indices]
        shown = [pair.photograph for pair in pairs] + [np.repeat(pair.mask, 3, axis=-1) for pair in pairs]
        return [writer.save(PREVIEW, images.encode_png(images.grid(np.stack(shown), len(pairs))))]


def _take_places(work: Path, record: Path, out: Path) -> None:
    """Moves a whole shard's files into the set, each over what is there, and its manifest last."""
    os.replace(work / MANIFEST, work / record.name)
    for folder, _, names in os.walk(work):
        place = out / Path(folder).relative_to(work)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            if (folder, name) != (str(work), record.name):
                os.replace(Path(folder) / name, place / name)
    record.parent.mkdir(exist_ok=True)
    os.replace(work / record.name, record)
