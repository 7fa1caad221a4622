"""The commands that generate synthetic sets and check them: `synthmed generate` and `synthmed verify`."""

import sys
from pathlib import Path

import click

from synthmed_tf.cli import progress
from synthmed_tf.cli.messages import quoted
from synthmed_tf.cli.options import MODEL, PLACE
from synthmed_tf.errors import SynthMedError
from synthmed_tf.generation.engines import ENGINES, LOCAL
from synthmed_tf.generation.plan import FORMATS

RUNTIMES = ("auto", "savedmodel", "onnx", "openvino", "onnx-fp16", "onnx-int8")
_SHOWN = 20


@click.command()
@click.option(
    "--model",
    required=True,
    type=MODEL,
    help="An artifact, its generator.onnx, or a name that `synthmed models` lists.",
)
@click.option("-n", "--count", type=int, help="Number of pairs.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--from-index", type=int, help="Index of the first pair in the endless sequence; default: 0.")
@click.option("--index-range", metavar="A:B", help="The pairs from A to B - 1, instead of -n and --from-index.")
@click.option("--out", required=True, type=PLACE, help="The folder of the set; the same command resumes.")
@click.option("--format", type=click.Choice(FORMATS), default="png", show_default=True)
@click.option("--shards", type=int, help="Number of shards; default: one a thousand pairs, none for png.")
@click.option("--shard", "only", type=int, multiple=True, help="Generate only this shard, from 0; may be repeated.")
@click.option("--workers", type=click.IntRange(1, 256), help="Threads that encode and write; default: one a core.")
@click.option("--repair", is_flag=True, help="Read what is there, and generate again what has changed.")
@click.option("--dicom", "facts", multiple=True, metavar="NAME=VALUE", help="A fact for --format dicom.")
@click.option("--engine", type=click.Choice(ENGINES), default=LOCAL, show_default=True, help="What runs the shards.")
@click.option(
    "--engine-option", "engine_options", multiple=True, metavar="NAME=VALUE", help="Such as address=HOST:6379."
)
@click.option("--runtime", type=click.Choice(RUNTIMES), default="auto", show_default=True)
@click.option("--batch-size", type=click.IntRange(1, 4096), default=16, show_default=True)
def generate(model, count, from_index, index_range, out, workers, facts, engine_options, **options):
    """Generates labelled pairs: images, masks, manifest and card.

    Model and set may be in an object store (s3://, gs://, abfs://). Several processes can generate one set in shards:
    give all of them the same command, or each its own --shard.
    """
    first, count = _range(count, from_index, index_range)
    options |= {"workers": workers} if workers else {}
    options["dicom"] = dict(fact.partition("=")[::2] for fact in facts)
    options["engine_options"] = dict(option.lstrip("-").partition("=")[::2] for option in engine_options)

    from synthmed_tf.generation import synthesis

    with progress.bar("pairs") as shown:
        written = synthesis.generate_set(model, out, count, first_index=first, progress=shown, **options)
    click.echo(_summary(count, out, written))


@click.command()
def models() -> None:
    """Lists the models that the package holds: --model takes their names."""
    from synthmed_tf.exporting import artifact, pretrained

    for name in pretrained.names():
        card = artifact.read_card(pretrained.FOLDER / name)
        click.echo(f"{name}: {card['size']} x {card['size']} pixels, license {card['license']}")
        click.echo(f"  trained on {card.get('trained_on') or ', '.join(_sources(card))}")
        click.echo(f"  evaluation: {card['evaluation']}; card: {pretrained.FOLDER / name / 'card.md'}")
    if not pretrained.names():
        click.echo("This installation holds no model; synthmed train and synthmed export make one.")


def _sources(card: dict) -> list[str]:
    return sorted({f"{facts['pairs']} pairs of {facts['source']}" for facts in card["data"].values()})


@click.command()
@click.argument("folder", metavar="SET", type=PLACE)
@click.option("--all", "whole", is_flag=True, help=f"Name every file, not only the first {_SHOWN}.")
def verify(folder: Path, whole: bool) -> None:
    """Checks every file of SET against its manifest.

    It names each wrong file with a remedy. Ends with 0 if all is well, with 2 if something is wrong.
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
    """The first index, and the number of pairs."""
    if index_range is None:
        if count is None:
            raise click.UsageError("Missing option '-n' / '--count' (or '--index-range').")
        return from_index or 0, count
    if count is not None or from_index is not None:
        raise SynthMedError("Option --index-range gives the first and the last index; leave out -n and --from-index.")
    try:
        start, stop = map(int, index_range.split(":"))
    except ValueError:
        raise SynthMedError(f"Option --index-range is {index_range}; write it as 0:1000.") from None
    if not 0 <= start < stop:
        raise SynthMedError(f"Option --index-range is {index_range}; it must go from 0 or more to something larger.")
    return start, stop - start


def _summary(count: int, out: Path, written) -> str:
    if not written.missing:
        return (
            f"{count} pairs in {out} ({written.generated} generated now); look at {out / 'preview.png'}, check it with "
            f"synthmed verify {quoted(out)}"
        )
    others = f", {len(written.elsewhere)} of them are being generated by others" if written.elsewhere else ""
    return f"{written.generated} pairs generated now; {len(written.missing)} shards are missing in {out}{others}"
