"""What `synthmed generate` does in shards: other formats than plain PNG pairs, and clusters."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from synthmed_tf import terminal
from synthmed_tf.errors import SynthMedError

_OPTIONS = (
    click.option("--format", "format_name", default="png", show_default=True, help="Of the set; see docs."),
    click.option("--shards", "shard_count", type=int, help="Into how many shards; one for each 1,000 pairs if left."),
    click.option("--dicom", "facts", multiple=True, metavar="NAME=VALUE", help="A fact for --format dicom."),
    click.option("--runner", help="Apache Beam's: DirectRunner, FlinkRunner, SparkRunner, DataflowRunner."),
    click.option("--runner-option", "runner_options", multiple=True, help="Such as --flink_master=HOST:8081."),
)


def options(command: Callable) -> Callable:
    """Adds the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def wanted(given: dict[str, Any]) -> bool:
    """Whether any of them asks for shards."""
    return given["format_name"] != "png" or any(given[name] for name in ("shard_count", "facts", "runner"))


def generate(
    model: Path,
    out: Path,
    runtime: str,
    numbers: tuple[int, int, int, int],
    format_name: str,
    shard_count: int | None,
    facts: Sequence[str],
    runner: str | None,
    runner_options: Sequence[str],
) -> None:
    """Draws a set in shards.

    Args:
        model, out, runtime: as of `synthmed generate`.
        numbers: seed, first index, count and batch size.
        format_name, shard_count, facts, runner, runner_options: the options above.
    """
    from synthmed_tf import artifact, dicom, formats, plan, shard_job, shards

    if format_name not in formats.NAMES:
        raise SynthMedError(f"There is no format {format_name!r}; choose from {', '.join(formats.NAMES)}.")
    if facts and format_name != "dicom":
        raise SynthMedError(f"Option --dicom says what {format_name} has no place for; add --format dicom.")
    extra = dicom.parse_facts(facts).model_dump_json() if format_name == "dicom" else ""
    opened = artifact.open_artifact(model, runtime)
    seed, first_index, count, batch_size = numbers
    count_of_shards = shard_count or plan.default_shards(count)
    made = shards.make_plan(opened, seed, first_index, count, count_of_shards, format_name, batch_size)
    made = dataclasses.replace(made, options=extra)
    if runner:
        drawn = _import_beam().draw(model.absolute(), made, out.absolute(), runner, runner_options)
    else:
        with terminal.bar("pairs") as progress:
            drawn = shard_job.draw(opened, made, out, progress=progress).drawn
    click.echo(f"{count} pairs in {out} ({drawn} drawn now); look at {out / 'preview.png'}")


def _import_beam():
    try:
        from synthmed_tf import beam
    except ImportError as error:
        raise SynthMedError(
            f'Option --runner needs Apache Beam, which is not installed ({error}); pip install "synthmed-tf[beam]".'
        ) from error
    return beam
