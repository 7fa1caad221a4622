"""The commands that draw sets and look after them: `synthmed generate` and `synthmed verify`."""

import dataclasses
import sys
from pathlib import Path

import click

from synthmed_tf import terminal
from synthmed_tf.errors import SynthMedError
from synthmed_tf.plan import FORMATS

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.option("--model", required=True, type=_FOLDER, help="An artifact, or its generator.onnx.")
@click.option("-n", "--count", type=int, help="How many pairs.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--from-index", type=int, help="Where in the endless set to begin; 0 if left.")
@click.option("--index-range", metavar="A:B", help="Pairs A to B - 1, in place of -n and --from-index.")
@click.option("--out", required=True, type=_FOLDER, help="The set's folder; the same command goes on where it was.")
@click.option("--runtime", type=click.Choice(["auto", "savedmodel", "onnx"]), default="auto", show_default=True)
@click.option("--batch-size", type=click.IntRange(1, 4096), default=16, show_default=True)
@click.option("--workers", type=click.IntRange(1, 256), help="Threads that encode and write; one a core if left.")
@click.option("--repair", is_flag=True, help="Read what is there, and draw again what has changed.")
@click.option("--format", "format_name", type=click.Choice(FORMATS), default="png", show_default=True)
@click.option("--shards", type=int, help="Cut into so many; if left, png is not cut, others for each 1,000 pairs.")
@click.option("--shard", "only", type=int, multiple=True, help="This one alone, from 0; for arrays of jobs.")
@click.option("--dicom", "facts", multiple=True, metavar="NAME=VALUE", help="A fact for --format dicom.")
@click.option("--runner", help="Apache Beam's: DirectRunner, FlinkRunner, SparkRunner, DataflowRunner.")
@click.option("--runner-option", "runner_options", multiple=True, help="Such as --flink_master=HOST:8081.")
def generate(model, count, seed, from_index, index_range, out, runtime, batch_size, workers, repair, **sharded):
    """Draws labelled pairs: photographs, masks, manifest and card.

    Several processes or machines may draw one set in --shards at once: each takes what no other has.
    """
    from synthmed_tf import artifact, stream, synthesis

    first, count = _range(count, from_index, index_range)
    opened = artifact.open_artifact(model, runtime)
    workers = workers or stream.WORKERS
    if sharded["format_name"] != "png" or any(sharded[name] for name in ("shards", "only", "facts", "runner")):
        numbers = {"seed": seed, "first_index": first, "count": count, "batch_size": batch_size}
        _in_shards(opened, model, out, numbers, workers, repair, **sharded)
        return
    job = synthesis.Job(count, seed, first, batch_size, workers, repair)
    with terminal.bar("pairs") as progress:
        drawn = synthesis.generate(opened, job, out, progress)
    click.echo(f"{count} pairs in {out} ({drawn} drawn now); look at {out / 'preview.png'}")


@click.command()
@click.argument("folder", type=_FOLDER)
def verify(folder: Path) -> None:
    """Checks every file of a synthetic set against its manifest.

    Ends with 0, or with 2 where a file is missing, changed, half-written or not announced.
    """
    from synthmed_tf.verify import verify_set

    with terminal.bar("files") as progress:
        found = verify_set(folder, progress)
    for fault in found.faults:
        click.echo(f"{fault.place}: {fault.what}")
    if found.faults:
        click.echo(f"synthmed: {len(found.faults)} fault(s) in {folder}; {found.cure}", err=True)
        sys.exit(2)
    click.echo(f"{found.pairs} pairs in {found.files} files of {folder} are as the manifest says")


def _range(count: int | None, from_index: int | None, index_range: str | None) -> tuple[int, int]:
    """The first index, and how many."""
    if index_range is None:
        if count is None:
            raise SynthMedError("Option -n is missing: say how many pairs, or name them with --index-range A:B.")
        return from_index or 0, count
    if count is not None or from_index is not None:
        raise SynthMedError("Option --index-range says all; leave -n and --from-index out.")
    try:
        start, stop = map(int, index_range.split(":"))
    except ValueError:
        raise SynthMedError(f"Option --index-range is {index_range!r}; write it as A:B, such as 0:1000.") from None
    return start, stop - start


def _in_shards(opened, model, out, numbers, workers, repair, format_name, shards, only, facts, runner, runner_options):
    from synthmed_tf import plan, shard_job
    from synthmed_tf.shards import make_plan

    if facts and format_name != "dicom":
        raise SynthMedError(f"Option --dicom says what {format_name} has no place for; add --format dicom.")
    if only and runner:
        raise SynthMedError("Options --shard and --runner exclude each other: a runner draws all shards.")
    made = make_plan(opened, shards=shards or plan.default_shards(numbers["count"]), format=format_name, **numbers)
    if format_name == "dicom":
        from synthmed_tf import dicom

        made = dataclasses.replace(made, options=dicom.parse_facts(facts).model_dump_json())
    if runner:
        drawn = _import_beam().draw(model.absolute(), made, out.absolute(), runner, runner_options, repair, workers)
        click.echo(f"{made.count} pairs in {out} ({drawn} drawn now); look at {out / 'preview.png'}")
        return
    with terminal.bar("pairs") as progress:
        outcome = shard_job.draw(opened, made, out, only, repair, workers, progress)
    if outcome.missing:
        waiting = f", {len(outcome.elsewhere)} of them being drawn by others" if outcome.elsewhere else ""
        click.echo(f"{outcome.drawn} pairs drawn now; {len(outcome.missing)} shards of {out} are missing yet{waiting}")
        return
    click.echo(f"{made.count} pairs in {out} ({outcome.drawn} drawn now); look at {out / 'preview.png'}")


def _import_beam():
    try:
        from synthmed_tf import beam
    except ImportError as error:
        raise SynthMedError(
            f'Option --runner needs Apache Beam, which is not installed ({error}); pip install "synthmed-tf[beam]".'
        ) from error
    return beam
