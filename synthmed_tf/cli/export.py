"""The command that turns a run into one graph: `synthmed export`."""

from pathlib import Path

import click

from synthmed_tf.cli.options import FOLDER, PLACE, parts, say


@click.command()
@click.option("--run", required=True, type=FOLDER, help="A run with both stages trained.")
@click.option("--out", required=True, type=PLACE, help="The folder of the artifact, also s3://, gs:// or abfs://.")
@click.option(
    "--format",
    "formats",
    default="savedmodel,onnx",
    show_default=True,
    help="Several with commas. onnx-latent: without integers, for WebGPU; onnx-fp16, onnx-int8: smaller, with a "
    "measured loss; training: the discriminators, for fine-tuning.",
)
@click.option("--compact", is_flag=True, help="Weights in float16, kept once for the SavedModel and the ONNX file.")
@click.option("--latest", is_flag=True, help="The latest step of each stage, not the best one.")
@click.option(
    "--override",
    "overrides",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of Stage-II that acts only when images are generated, such as stage2.guidance=0.4.",
)
@click.option("--name", help="On the card; default: the name of the folder.")
@click.option("--license", default="not stated", show_default=True, help="Of the model, on the card.")
def export(
    run: Path,
    out: Path,
    formats: str,
    compact: bool,
    latest: bool,
    overrides: tuple[str, ...],
    name: str | None,
    license: str,
) -> None:
    """Writes both generators as one graph.

    The graph is compared across the runtimes, and nothing is written if they differ.
    """
    from synthmed_tf.exporting import exporter

    report = exporter.export(run, out, parts(formats), name, license, say, latest, compact, overrides)
    for runtime in exporter.FORMATS:
        if runtime not in report:
            continue
        found = report[runtime]
        mean = f" ({found['mean_grey_levels']:.2g} on average)" if "mean_grey_levels" in found else ""
        click.echo(
            f"{runtime}: {found['mask_share']:.1e} of the mask pixels and at most {found['grey_levels']} grey "
            f"level(s){mean} from Keras over {report['images']} images"
        )
    click.echo(f"the artifact is in {out}")
