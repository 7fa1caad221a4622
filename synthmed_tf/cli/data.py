"""The commands about training data: `synthmed data`."""

import sys
from pathlib import Path

import click

from synthmed_tf.cli import progress
from synthmed_tf.cli.options import FOLDER


@click.group()
def data() -> None:
    """Checks training data, or generates the built-in data set."""


@data.command()
@click.argument("folder", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON.")
@click.option("--patient-regex", help="The first group of this expression, in a file's name, is the patient.")
@click.option("--vessel-labels", help="The vessels' values or colours in label maps, such as 1,2 or red,blue.")
def check(folder: Path, as_json: bool, patient_regex: str | None, vessel_labels: str | None) -> None:
    """Reads every image in FOLDER; says what is wrong with it and what to do.

    Ends with 0, with 1 if there are warnings, with 2 if there are errors.
    """
    from synthmed_tf.data.doctor.check import check_folder

    with progress.bar("images") as shown:
        report = check_folder(folder, patient_regex, vessel_labels, progress=shown)
    click.echo(report.to_json() if as_json else report.to_text())
    sys.exit(report.exit_code)


@data.command()
@click.option("--out", required=True, type=FOLDER, help="The folder for images/, masks/ and fov/.")
@click.option("-n", "--count", type=int, default=64, show_default=True)
@click.option("--size", type=int, default=256, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def phantom(out: Path, count: int, size: int, seed: int) -> None:
    """Generates the built-in data set as files."""
    from synthmed_tf.data.phantom import write_phantoms

    write_phantoms(out, size, count, seed)
    click.echo(f"{count} pairs of {size}x{size} pixels in {out}")
