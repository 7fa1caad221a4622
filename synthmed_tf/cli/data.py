"""The commands about training data: `synthmed data`."""

import sys
from pathlib import Path

import click

from synthmed_tf.cli import progress
from synthmed_tf.cli.options import FOLDER, PLACE, kind_options


@click.group()
def data() -> None:
    """Checks and fixes training data, or generates the built-in data set."""


@data.command()
@click.argument("folder", type=PLACE)
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON.")
@click.option("--patient-regex", help="The first group of this expression, in a file's name, is the patient.")
@click.option("--vessel-labels", help="The vessels' values or colours in label maps, such as 1,2 or red,blue.")
@kind_options
def check(folder: Path, as_json: bool, patient_regex: str | None, vessel_labels: str | None, kind) -> None:
    """Reads every image in FOLDER; says what is wrong with it and what to do.

    Ends with 0, with 1 if there are warnings, with 2 if there are errors.
    """
    from synthmed_tf.data.doctor.check import check_folder
    from synthmed_tf.local_copies import local_copy

    with progress.bar("images") as shown:
        report = check_folder(local_copy(folder), patient_regex, vessel_labels, kind, progress=shown)
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


@data.command()
@click.argument("folder", type=FOLDER)
@click.option("--out", required=True, type=FOLDER, help="The new folder; the same command resumes.")
@click.option("--patient-regex", help="The first group of this expression, in a file's name, is the patient.")
@click.option("--vessel-labels", help="The vessels' values or colours in label maps, such as 1,2 or red,blue.")
@kind_options
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON, as in fixes.json.")
def fix(folder: Path, out: Path, patient_regex: str | None, vessel_labels: str | None, kind, as_json: bool) -> None:
    """Writes a clean copy of FOLDER: upright images, two-valued masks, no borders, no duplicates.

    FOLDER is never changed. Ends with 0, or with 1 if something was left out; fixes.json lists each change.
    """
    from synthmed_tf.data.doctor.fix import RECORD, fix_folder

    with progress.bar("pairs") as shown:
        fixes = fix_folder(folder, out, patient_regex, vessel_labels, kind, shown)
    click.echo((out / RECORD).read_text() if as_json else f"{fixes.to_text()}\nthe clean folder is {out}")
    sys.exit(fixes.exit_code)
