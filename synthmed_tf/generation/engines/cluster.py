"""Generates a set with an engine: what is missing, by the engine; then the files of the whole set."""

import importlib
from collections.abc import Mapping

from synthmed_tf import files, stores
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.artifact import Artifact
from synthmed_tf.generation import set_card, shards
from synthmed_tf.generation.engines.work import Work
from synthmed_tf.generation.part import Progress


def generate(
    opened: Artifact,
    work: Work,
    engine: str,
    options: Mapping[str, str],
    progress: Progress = lambda done, total: None,
) -> int:
    """Generates what is missing of a set, and the files of the whole set.

    Args:
        opened: the artifact.
        work: what the workers do; its paths mean the same on every machine.
        engine: one of `ENGINES`, but not `LOCAL`.
        options: of the engine; see its module.
        progress: called with (done, total), in pairs, by an engine without a progress bar of its own: Ray.

    Returns:
        The number of pairs that were generated.

    Raises:
        SynthMedError: the folder holds something else or cannot be written; the engine refuses an option, or gave up.
    """
    plan, out = work.plan, stores.place(work.out)
    with files.failing_clearly(out):
        set_card.prepare(opened, plan, out)
        needed = [shard for shard in range(plan.shards) if not shards.Shard(plan, out, shard).is_whole(work.repair)]
        if needed:
            run(engine, work, needed, options, progress)
        missing = shards.missing(plan, out)
        if missing:
            raise SynthMedError(
                f"{len(missing)} shards, the first of them {missing[0]}, are not in {out} on this machine; the workers "
                "need that folder under the same path. Run the same command again for what is missing."
            )
        shards.finish(plan, out)
    return sum(len(plan.indices(shard)) for shard in needed)


def run(
    engine: str,
    work: Work,
    numbers: list[int],
    options: Mapping[str, str],
    progress: Progress = lambda done, total: None,
) -> None:
    """Has an engine generate shards.

    Args:
        engine, work, options, progress: as of `generate`.
        numbers: of the shards.

    Raises:
        SynthMedError: the engine refuses an option, or gave up; finished shards are kept.
    """
    module = importlib.import_module(f"{__package__}.{engine}")
    try:
        module.run(work, numbers, options, progress)
    except Exception as error:  # each engine has its own errors, which contain the error of the worker
        raise SynthMedError(
            f"The engine {engine} failed ({_reason(error)}); correct this and run the same command again: finished "
            "shards are kept."
        ) from error


def _reason(error: Exception) -> str:
    """The line of an engine's error that says the most: what a worker raised, if a worker did."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    own = [line.partition("SynthMedError: ")[2] for line in lines if "SynthMedError: " in line]
    errors = [line for line in lines if "Error" in line and not line.startswith("at ")]  # Java's stack
    of_java = [line.removeprefix(": ") for line in lines if "Exception: " in line]
    return stores.redacted((own or errors[::-1] or of_java or lines)[0])[:300].rstrip(".")
