"""The commands about a run: `synthmed train`, `synthmed status` and `synthmed segment`."""

import sys
from pathlib import Path

import click

from synthmed_tf.cli import progress
from synthmed_tf.cli.messages import quoted
from synthmed_tf.cli.options import FOLDER, field_of_view_option, say, structures_option
from synthmed_tf.errors import SynthMedError

PRESETS = ("paper", "gan", "recommended", "demo")


@click.command()
@click.argument("stage", type=click.Choice(["stage1", "stage2", "segmenter", "all"]), default="all")
@click.option("--preset", help=f"One of {', '.join(PRESETS)}; default: recommended.")
@click.option("--from", "start", help="Fine-tuning: a name that `synthmed models` lists, an artifact, or a run.")
@click.option("--data", "source", required=True, help="A folder of pairs, or `phantom`, the built-in set.")
@click.option("--run", type=FOLDER, help="The folder of the run; the same command resumes it.")
@click.option("--config", "config_file", type=FOLDER, help="A YAML file with options that differ from the preset.")
@click.option("--override", "overrides", multiple=True, metavar="NAME=VALUE", help="Such as stage1.batch_size=16.")
@click.option("--size", type=int, help="Pixels a side; the same as --override size=...")
@click.option("--patients", help="Train on these only, such as 01-10; the same as --override data.patients=...")
@click.option(
    "--validation-patients",
    help="Choose the best step with these; the same as --override data.validation_patients=...",
)
@click.option("--patient-regex", help="The same as --override data.patient_regex=...")
@click.option("--vessel-labels", help="Of label maps, such as 1,2; the same as --override data.vessel_labels=...")
@field_of_view_option
@structures_option
@click.option("--strategy", help="auto, one, mirrored or multi_worker.")
@click.option("--cpus", type=click.IntRange(1, 64), default=1, help="Logical CPUs, to try `mirrored` without GPUs.")
@click.option("--precision", help="float32, mixed_float16 or mixed_bfloat16; the same as --override precision=...")
@click.option("--xla", is_flag=True, help="Compile with XLA; the same as --override xla=true.")
@click.option("--override-config", is_flag=True, help="Resume a run that was started with other options.")
@click.option("--dry-run", is_flag=True, help="Show configuration, networks, data and plan; train nothing.")
def train(stage, preset, start, source, run, cpus, override_config, dry_run, **options):
    """Trains a model, or the segmenter.

    STAGE is stage1 (masks), stage2 (images of masks), all (both; the default), or segmenter.
    """
    from synthmed_tf import api

    config = api.training_config(preset, start, **options)
    if run is None and not dry_run:
        raise SynthMedError("Option --run is missing: name the folder of the run.")
    _use_logical_cpus(cpus)
    if dry_run:
        from synthmed_tf.training.run import plan

        planned = plan(config, source, api.stages_of(stage))
        click.echo(f"{config.model_dump_json(indent=2)}\n{planned}")
        return
    from synthmed_tf.training.loop import Interrupted
    from synthmed_tf.training.run import GANS, parts

    try:
        api.train(
            source, run, stage=stage, preset=preset, start=start, override_config=override_config, say=say, **options
        )
    except Interrupted as stopped:
        say(f"synthmed: {stopped}")
        sys.exit(128 + stopped.signal_number)
    say(f"the run is in {run}; next: {_next_command(run, stage, parts(config, GANS))}")


@click.command()
@click.argument("run", type=FOLDER)
def status(run: Path) -> None:
    """Shows the state of RUN.

    This is its speed, best step, warnings and newest contact sheet, and in one sentence whether it goes well.
    """
    from rich.console import Console

    from synthmed_tf.training.run_status import describe, render

    render(describe(run), Console())


@click.command()
@click.option("--run", required=True, type=FOLDER, help="A run with a trained segmenter.")
@click.option("--images", required=True, type=FOLDER, help="A folder of photographs; masks in it are ignored.")
@click.option("--out", required=True, type=FOLDER, help="The folder to write; the same command resumes.")
@click.option("--flips", is_flag=True, help="Average over the four flips: better, and four times slower.")
@click.option(
    "--field-pixels", type=int, help="Side of the field of view that the segmenter sees; default: as in training."
)
@click.option("--tile", type=int, default=512, show_default=True, help="Larger fields are processed in tiles.")
def segment(run: Path, images: Path, out: Path, flips: bool, field_pixels: int | None, tile: int) -> None:
    """Finds the vessels of photographs that have no masks."""
    from synthmed_tf.segmentation.labelling import segment_folder

    with progress.bar("photographs") as shown:
        labelled = segment_folder(run, images, out, flips, field_pixels, tile, shown)
    look = f"; look at {out / 'preview.png'}" if labelled.facts else ""
    click.echo(f"{len(labelled.facts)} photographs are labelled in {out}{look}")
    for sentence in labelled.failures:
        say(f"synthmed: {sentence}")
    sys.exit(2 if labelled.failures else 0)


def _next_command(run: Path, stage: str, needed: tuple[str, ...]) -> str:
    if stage == "segmenter":
        return f"synthmed segment --run {quoted(run)} --images DIR --out DIR"
    ready = all((run / name / "snapshot").is_dir() for name in needed)
    return f"synthmed export --run {quoted(run)} --out DIR" if ready else "the other stage"


def _use_logical_cpus(count: int) -> None:
    if count > 1:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
