"""Sets in shards: each is drawn by itself, anywhere and in any order, and is whole or not there.

    <set>/card.json                    what draws it, and its plan
    <set>/shards/00003-of-00008.jsonl  of each finished shard: what it is, then a line a pair or a file
    <set>/manifest.jsonl               all of these in their order, once every shard is there
    <set>/...                          what the format has

A shard is drawn in `<set>/.drawing/`, and moved to its place when it is whole; its own manifest comes last. What it
holds depends on artifact and plan alone, so that it does not matter who draws it, when, or how often.
"""

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from synthmed_tf import files, formats, setcard, stream
from synthmed_tf.artifact import Artifact
from synthmed_tf.errors import SynthMedError
from synthmed_tf.formats.base import Line, opened_shard
from synthmed_tf.plan import Plan

MANIFEST = "manifest.jsonl"
RECORDS = "shards"
DRAWING = ".drawing"

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
    setcard.place(setcard.make(opened, plan.seed, plan), Path(out))


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
            open(work / MANIFEST, "w", encoding="utf-8") as record,
            opened_shard(formats.writer(plan.format), work, plan, shard) as writer,
        ):
            _write(record, [_heading(plan, shard)])
            pairs = stream.encoded(opened, plan.seed, indices, writer.encode, plan.batch_size, workers)
            with contextlib.closing(pairs):
                for done, encoded in enumerate(pairs, start=1):
                    _write(record, writer.add(encoded))
                    progress(done, len(indices))
            _write(record, writer.close())
        _take_places(work, record_path(out, plan, shard), out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def finish(plan: Plan, out: Path) -> bool:
    """Writes what stands beside the shards, once all of them are there. May be called by many at once.

    Returns:
        Whether they are all there.
    """
    if not all(record_path(out, plan, shard).is_file() for shard in range(plan.shards)):
        return False
    for name, parts in formats.writer(plan.format).describe(plan, read_records(plan, out)):
        with files.replaced_file(out / name) as file:
            file.writelines(parts)
    with files.replaced_file(out / MANIFEST) as merged:
        for shard in range(plan.shards):
            with open(record_path(out, plan, shard), "rb") as record:
                shutil.copyfileobj(record, merged)
    return True


def read_records(plan: Plan, out: Path) -> Iterator[Line]:
    """The lines of all shards, in their order."""
    for shard in range(plan.shards):
        with open(record_path(out, plan, shard), "rb") as record:
            yield from map(json.loads, record)


def record_path(out: Path, plan: Plan, shard: int) -> Path:
    """The manifest of a shard: where it is, the shard is whole."""
    return out / RECORDS / f"{shard:05d}-of-{plan.shards:05d}.jsonl"


def _heading(plan: Plan, shard: int) -> Line:
    indices = plan.indices(shard)
    facts = {"shard": shard, "shards": plan.shards, "first_index": indices.start, "count": len(indices)}
    return facts | {"seed": plan.seed, "model_sha256": plan.model_sha256, "format": plan.format}


def _write(record: TextIO, lines: Iterable[Line]) -> None:
    for line in lines:
        record.write(json.dumps(line) + "\n")


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
