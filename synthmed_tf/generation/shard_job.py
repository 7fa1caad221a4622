"""Draws the shards of a set that are missing, beside whoever else draws them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.artifact import Artifact
from synthmed_tf.generation import shards, stream
from synthmed_tf.generation.plan import Plan


@dataclass(frozen=True)
class Outcome:
    """What a job came to.

    Attributes:
        drawn: pairs that it drew.
        missing: shards of the set that are not there yet.
        elsewhere: those that others are drawing.
    """

    drawn: int
    missing: tuple[int, ...]
    elsewhere: tuple[int, ...]


def draw(
    opened: Artifact,
    plan: Plan,
    out: Path,
    only: Sequence[int] = (),
    repair: bool = False,
    workers: int = stream.WORKERS,
    progress: shards.Progress = lambda done, total: None,
) -> Outcome:
    """Draws what is missing of a set, or of some of its shards.

    Several jobs may draw one set at once: each takes the shards that no other has. The one that finds all of them there
    writes what stands beside them.

    Args:
        opened: the artifact.
        plan: of the set.
        out: the set's folder, made where it is missing.
        only: these shards alone.
        repair: whether to read what is there, and to draw again what has changed; otherwise sizes are looked at alone.
        workers: threads that encode and write.
        progress: called with (done, total), in pairs.

    Raises:
        SynthMedError: the folder holds something else or another set, or cannot be written; a package is missing; there
            is no such shard, or one of `only` is being drawn by another process.
    """
    out, chosen = Path(out), sorted(set(only)) or range(plan.shards)
    total, done, drawn, elsewhere = sum(len(plan.indices(shard)) for shard in chosen), 0, 0, []
    with files.failing_clearly(out):
        shards.prepare(opened, plan, out)
        progress(0, total)
        for shard in chosen:
            try:
                drew = _draw_one(opened, plan, shard, out, repair, workers, _shifted(progress, done, total))
            except BlockingIOError as error:
                if only:
                    raise SynthMedError(f"Shard {shard} of {out} is being drawn by {error.strerror}; wait.") from error
                elsewhere.append(shard)
                drew = False
            count = len(plan.indices(shard))
            done, drawn = done + count, drawn + count * drew
            progress(done, total)
        missing = shards.missing(plan, out)
        if not missing:
            shards.finish(plan, out)
            shutil.rmtree(out / shards.DRAWING, ignore_errors=True)
    return Outcome(drawn, missing, tuple(elsewhere))


def _draw_one(
    opened: Artifact, plan: Plan, shard: int, out: Path, repair: bool, workers: int, progress: shards.Progress
) -> bool:
    """Returns whether it had to be drawn."""
    if shards.is_whole(plan, shard, out, repair):
        return False
    locks = out / shards.DRAWING
    locks.mkdir(exist_ok=True)
    with files.exclusive(locks / f"{shard:05d}.lock"):
        if not repair and shards.is_whole(plan, shard, out):
            return False  # another job was just ending it
        for left in locks.glob(f"{shard:05d}.*.*"):
            shutil.rmtree(left, ignore_errors=True)
        shards.draw_shard(opened, plan, shard, out, workers, progress)
    return True


def _shifted(progress: shards.Progress, before: int, total: int) -> shards.Progress:
    return lambda done, _: progress(before + done, total)
