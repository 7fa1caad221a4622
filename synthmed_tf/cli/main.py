"""The command line: parses, builds the configuration, calls one function. TensorFlow is imported when it is needed."""

import os
import signal
import sys
from pathlib import Path

import click

from synthmed_tf import __version__
from synthmed_tf.cli import evaluate, generate, publish, repository, serve, site, terminal
from synthmed_tf.errors import SynthMedError

_FOLDER = click.Path(path_type=Path)
_PRESETS = ("paper", "recommended", "demo")


class _Group(click.Group):
    """Turns an error that the user can put right into one sentence and exit code 2."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except SynthMedError as error:
            click.echo(f"synthmed: {error}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("synthmed: stopped; run the same command again", err=True)
            sys.exit(128 + signal.SIGINT)
        except Exception:
            if _terminated:  # inside a callback TensorFlow makes another exception of the exit
                sys.exit(128 + signal.SIGTERM)
            raise


def _terminate(number: int, frame) -> None:
    """Unlike the default action this unwinds, so that what is half-written is removed."""
    _terminated.append(number)
    sys.exit(128 + number)


_terminated: list[int] = []
"""The signal, once it has come."""


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="synthmed")
def main() -> None:
    """Labelled synthetic medical images from two generative adversarial networks."""
    # TensorFlow's optimizer logs as errors what it gets over by itself; what stops a command is raised, not logged.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    signal.signal(signal.SIGTERM, _terminate)


@main.group()
def data() -> None:
    """Looks at training data, or generates some."""


@data.command("check")
@click.argument("folder", type=_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON.")
@click.option("--patient-regex", help="Its first group in a file's name is the patient.")
def check(folder: Path, as_json: bool, patient_regex: str | None) -> None:
    """Reads every image in FOLDER and says what is wrong with it and what to do.

    Ends with 0, with 1 where there are warnings, with 2 where there are errors.
    """
    from synthmed_tf.data.doctor.check import check_folder

    with terminal.bar("images") as progress:
        report = check_folder(folder, patient_regex, progress=progress)
    click.echo(report.to_json() if as_json else report.to_text())
    sys.exit(report.exit_code)


@data.command("phantom")
@click.option("--out", required=True, type=_FOLDER, help="Folder to write images/, masks/ and fov/ into.")
@click.option("-n", "--count", type=int, default=64, show_default=True)
@click.option("--size", type=int, default=256, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def phantom(out: Path, count: int, size: int, seed: int) -> None:
    """Generates the built-in data set as files."""
    from synthmed_tf.data.phantom import write_phantoms

    write_phantoms(out, size, count, seed)
    click.echo(f"{count} pairs of {size}x{size} pixels in {out}")


@main.command()
@click.argument("stage", type=click.Choice(["stage1", "stage2", "segmenter", "all"]), default="all")
@click.option("--preset", default="recommended", show_default=True, help=f"One of {', '.join(_PRESETS)}.")
@click.option("--data", "source", required=True, help="A folder of pairs, or `phantom` for the built-in set.")
@click.option("--run", type=_FOLDER, help="The run's folder; the same command goes on where it was.")
@click.option("--config", "config_file", type=_FOLDER, help="YAML file with options that differ from the preset.")
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Such as stage1.batch_size=16.")
@click.option("--size", type=int, help="Pixels a side; the same as --set size=...")
@click.option("--patients", help="Train on these alone, such as 01-10; the same as --set data.patients=...")
@click.option("--validation-patients", help="Choose the step by these; the same as --set data.validation_patients=...")
@click.option("--patient-regex", help="The same as --set data.patient_regex=...")
@click.option("--strategy", help="auto, one, mirrored or multi_worker.")
@click.option("--cpus", type=click.IntRange(1, 64), default=1, help="Logical CPUs, to try `mirrored` without GPUs.")
@click.option("--precision", help="float32, mixed_float16 or mixed_bfloat16; the same as --set precision=...")
@click.option("--xla", is_flag=True, help="Compile with XLA; the same as --set xla=true.")
@click.option("--override-config", is_flag=True, help="Go on with a run that was begun with other options.")
@click.option("--dry-run", is_flag=True, help="Show configuration, networks, data and plan; train nothing.")
def train(
    stage,
    preset,
    source,
    run,
    config_file,
    overrides,
    size,
    patients,
    validation_patients,
    patient_regex,
    strategy,
    cpus,
    precision,
    xla,
    override_config,
    dry_run,
):
    """Trains STAGE (stage1, stage2, segmenter, or all: both stages of the GAN)."""
    from synthmed_tf.config.schema import load_config

    shortcuts = {"size": size, "data.patients": patients, "data.validation_patients": validation_patients}
    shortcuts |= {"data.patient_regex": patient_regex, "strategy": strategy, "precision": precision, "xla": xla or None}
    named = tuple(f"{name}={_yaml_string(value)}" for name, value in shortcuts.items() if value is not None)
    config = load_config(preset, config_file, (*overrides, *named))
    stages = ("stage1", "stage2") if stage == "all" else (stage,)
    if run is None and not dry_run:
        raise SynthMedError("Option --run is missing: name the folder that the run is kept in.")
    _use_logical_cpus(cpus)

    from synthmed_tf.training import run as training

    if dry_run:
        plan = training.plan(config, source, stages)
        click.echo(f"{config.model_dump_json(indent=2)}\n{plan}")
        return
    from synthmed_tf.training.loop import Interrupted

    try:
        training.train(config, source, run, stages, _say, override_config)
    except Interrupted as stopped:
        click.echo(f"synthmed: {stopped}", err=True)
        sys.exit(128 + stopped.signal_number)
    if stage == "segmenter":
        _say(f"the run is in {run}; next: synthmed segment --run {run} --images DIR --out DIR")
        return
    ready = all((run / name / "snapshot").is_dir() for name in training.GANS)
    _say(f"the run is in {run}; next: " + (f"synthmed export --run {run} --out DIR" if ready else "the other stage"))


@main.command()
@click.option("--run", required=True, type=_FOLDER, help="A run with a trained segmenter.")
@click.option("--images", required=True, type=_FOLDER, help="A folder of photographs; masks in it are not looked at.")
@click.option("--out", required=True, type=_FOLDER, help="The labelled folder; the same command goes on where it was.")
@click.option("--flips", is_flag=True, help="Average over the four flips: better, and four times as slow.")
@click.option(
    "--field-pixels", type=int, help="Side of the field of view as the segmenter sees it; as trained if left."
)
@click.option("--tile", type=int, default=512, show_default=True, help="Larger fields are worked on in tiles.")
def segment(run: Path, images: Path, out: Path, flips: bool, field_pixels: int | None, tile: int) -> None:
    """Generates vessel masks for photographs that have none."""
    from synthmed_tf.segmentation.labelling import segment_folder

    with terminal.bar("photographs") as progress:
        labelled = segment_folder(run, images, out, flips, field_pixels, tile, progress)
    look = f"; look at {out / 'preview.png'}" if labelled.facts else ""
    click.echo(f"{len(labelled.facts)} photographs are labelled in {out}{look}")
    for sentence in labelled.failures:
        click.echo(f"synthmed: {sentence}", err=True)
    sys.exit(2 if labelled.failures else 0)


@main.command()
@click.argument("run", type=_FOLDER)
def runs(run: Path) -> None:
    """Shows how RUN is doing: state, speed, best step, warnings and the newest image."""
    from rich.console import Console

    from synthmed_tf.training.run_status import describe, render

    render(describe(run), Console())


@main.command()
@click.option("--run", required=True, type=_FOLDER, help="A run with both stages trained.")
@click.option("--out", required=True, type=_FOLDER, help="The artifact's folder.")
@click.option(
    "--format",
    "formats",
    default="savedmodel,onnx",
    show_default=True,
    help="Several with commas. onnx-latent: without integers, for WebGPU; onnx-fp16, onnx-int8: smaller, with a loss "
    "that is measured.",
)
@click.option("--latest", is_flag=True, help="The latest step of each stage, not the best by the validation patients.")
@click.option("--name", help="On the card; the folder's name where it is left out.")
@click.option(
    "--license", "--licence", "license", default="not stated", show_default=True, help="Of the model, on the card."
)
def export(run: Path, out: Path, formats: str, latest: bool, name: str | None, license: str) -> None:
    """Writes both generators as one graph, proven equal across the runtimes."""
    from synthmed_tf.exporting import exporter

    wanted = [part.strip() for part in formats.split(",") if part.strip()]
    report = exporter.export(run, out, wanted, name, license, _say, latest)
    for runtime in exporter.FORMATS:
        if runtime not in report:
            continue
        figures = report[runtime]
        mean = f" ({figures['mean_grey_levels']:.2g} on average)" if "mean_grey_levels" in figures else ""
        click.echo(
            f"{runtime}: {figures['mask_share']:.1e} of the mask pixels and at most {figures['grey_levels']} grey "
            f"level(s){mean} from Keras over {report['images']} images"
        )
    click.echo(f"the artifact is in {out}")


def _say(line: str) -> None:
    click.echo(line, err=True)


def _yaml_string(value) -> str:
    """Quotes text, so that a patient `01-10` stays text."""
    import json

    return json.dumps(value)


def _use_logical_cpus(count: int) -> None:
    if count > 1:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


main.add_command(generate.generate)
main.add_command(generate.verify)
main.add_command(evaluate.evaluate)
main.add_command(evaluate.filter_set)
main.add_command(serve.serve)
main.add_command(site.site)
main.add_command(repository.search)
main.add_command(repository.download)
main.add_command(repository.repository)
main.add_command(publish.publish)
main.add_command(publish.withdraw)
repository.repository.add_command(publish.init)
repository.repository.add_command(publish.refresh)
repository.repository.add_command(publish.rotate)

if __name__ == "__main__":
    main()
