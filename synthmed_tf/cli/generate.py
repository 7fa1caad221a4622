"""The commands that generate synthetic sets and check them."""

import dataclasses
import sys
from pathlib import Path

import click

from synthmed_tf.cli import progress
from synthmed_tf.cli.options import FOLDER
from synthmed_tf.errors import SynthMedError
from synthmed_tf.extras import require_extra
from synthmed_tf.generation.plan import FORMATS

_SHOWN = 20
_RUNTIMES = ("auto", "savedmodel", "onnx", "openvino", "onnx-fp16", "onnx-int8")


@click.command()
@click.option("--model", required=True, type=FOLDER, help="An artifact, or its generator.onnx.")
@click.option("-n", "--count", type=int, help="How many pairs.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--from-index", type=int, help="Where in the endless set to begin; 0 if left.")
@click.option("--index-range", metavar="A:B", help="The pairs from A to B - 1, instead of -n and --from-index.")
@click.option("--out", required=True, type=FOLDER, help="The set's folder; the same command goes on where it was.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="png", show_default=True)
@click.option("--shards", type=int, help="Cut into so many parts. One a thousand pairs if left; png: not cut.")
@click.option(
    "--shard", "only", type=int, multiple=True, help="Generate this one of them alone, from 0; may be repeated."
)
@click.option("--workers", type=click.IntRange(1, 256), help="Threads that encode and write; one a core if left.")
@click.option("--repair", is_flag=True, help="Read what is there, and generate again what has changed.")
@click.option("--dicom", "facts", multiple=True, metavar="NAME=VALUE", help="A fact for --format dicom.")
@click.option("--runner", help="Apache Beam's: DirectRunner, FlinkRunner, SparkRunner, DataflowRunner.")
@click.option("--runner-option", "runner_options", multiple=True, help="Such as --flink_master=HOST:8081.")
@click.option("--runtime", type=click.Choice(_RUNTIMES), default="auto", show_default=True)
@click.option("--batch-size", type=click.IntRange(1, 4096), default=16, show_default=True)
def generate(model, count, seed, from_index, index_range, out, form, runtime, batch_size, workers, repair, **sharded):
    """Generates labelled pairs: photographs, masks, manifest and card.

    Several jobs may generate one set in shards: give all of them the same command, or each its own --shard.
    """
    first, count = _range(count, from_index, index_range)

    from synthmed_tf.exporting import artifact
    from synthmed_tf.generation import plan, stream, synthesis

    plan.check_pairs(count, first, seed)
    opened = artifact.open_artifact(model, runtime)
    workers = workers or stream.WORKERS
    if form == "png" and sharded["shards"] is None and not any(sharded[name] for name in ("only", "facts", "runner")):
        job = synthesis.Job(count, seed, first, batch_size, workers, repair)
        with progress.bar("pairs") as shown:
            generated = synthesis.generate(opened, job, out, shown)
        click.echo(f"{count} pairs in {out} ({generated} generated now); look at {out / 'preview.png'}")
        return
    numbers = {"seed": seed, "first_index": first, "count": count, "format": form, "batch_size": batch_size}
    _in_shards(opened, model, out, numbers, workers, repair, **sharded)


def _in_shards(opened, model, out, numbers, workers, repair, shards, only, facts, runner, runner_options):
    from synthmed_tf.generation import plan, shard_job
    from synthmed_tf.generation.shards import make_plan

    if facts and numbers["format"] != "dicom":
        raise SynthMedError(f"Option --dicom says what {numbers['format']} has no place for; add --format dicom.")
    if only and runner:
        raise SynthMedError("Options --shard and --runner exclude each other: a runner generates all shards.")
    planned = make_plan(opened, shards=plan.default_shards(numbers["count"]) if shards is None else shards, **numbers)
    if numbers["format"] == "dicom":
        from synthmed_tf.generation.formats import dicom_objects

        planned = dataclasses.replace(planned, options=dicom_objects.parse_facts(facts).model_dump_json())
    if runner:
        require_extra("beam")
        from synthmed_tf.generation import beam

        generated = beam.generate(
            opened, model.absolute(), planned, out.absolute(), runner, runner_options, repair, workers
        )
        outcome = shard_job.Outcome(generated, (), ())
    else:
        with progress.bar("pairs") as shown:
            outcome = shard_job.generate(opened, planned, out, only, repair, workers, shown)
    click.echo(_said(planned, out, outcome))


@click.command()
@click.argument("folder", metavar="SET", type=FOLDER)
@click.option("--all", "whole", is_flag=True, help=f"Name every file, not the first {_SHOWN} alone.")
def verify(folder: Path, whole: bool) -> None:
    """Checks every file of SET against its manifest, and says what is wrong and how to mend it.

    Ends with 0 where all is well, with 2 where something is wrong.
    """
    from synthmed_tf.generation import verification

    with progress.bar("files") as shown:
        found = verification.verify(folder, shown)
    for problem in found.problems if whole else found.problems[:_SHOWN]:
        click.echo(str(problem))
    if not whole and len(found.problems) > _SHOWN:
        click.echo(f"and {len(found.problems) - _SHOWN} more; --all names them")
    click.echo(f"{found.good} files of {folder} are as they should be, {len(found.problems)} are not")
    sys.exit(2 if found.problems else 0)


def _range(count: int | None, from_index: int | None, index_range: str | None) -> tuple[int, int]:
    """The first index, and how many pairs."""
    if index_range is None:
        if count is None:
            raise click.UsageError("Missing option '-n' / '--count' (or '--index-range').")
        return from_index or 0, count
    if count is not None or from_index is not None:
        raise SynthMedError("Option --index-range says where to begin and to end; leave -n and --from-index out.")
    try:
        start, stop = map(int, index_range.split(":"))
    except ValueError:
        raise SynthMedError(f"Option --index-range is {index_range}; write it as 0:1000.") from None
    if not 0 <= start < stop:
        raise SynthMedError(f"Option --index-range is {index_range}; it must go from 0 or more to something larger.")
    return start, stop - start


def _said(planned, out: Path, outcome) -> str:
    there = planned.shards - len(outcome.missing)
    if there == planned.shards:
        return (
            f"{planned.count} pairs in {out} ({outcome.generated} generated now); check it with synthmed verify {out}"
        )
    elsewhere = f", {len(outcome.elsewhere)} of them being generated by others" if outcome.elsewhere else ""
    return (
        f"{there} of {planned.shards} shards in {out} ({outcome.generated} pairs generated now); "
        f"{len(outcome.missing)} are missing{elsewhere}"
    )
