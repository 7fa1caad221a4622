"""The commands that evaluate a synthetic set and filter it: `synthmed evaluate` and `synthmed filter`."""

import sys
from pathlib import Path

import click

from synthmed_tf.cli import progress
from synthmed_tf.cli.options import FOLDER, MODEL, PLACE, parts


@click.command()
@click.argument("folder", metavar="SET", type=PLACE)
@click.option("--real", required=True, type=PLACE, help="The real pairs that the generator was trained on.")
@click.option("--patients", help="Patients of --real that it was trained on; default: all not held out.")
@click.option("--holdout", type=PLACE, help="Real pairs of patients that it never saw.")
@click.option("--holdout-patients", help="Patients of --real that it never saw, such as 11-14.")
@click.option("--other", type=PLACE, help="Real pairs of another camera, as a second test of usefulness.")
@click.option("--patient-regex", help="The first group of this expression, in a file's name, is the patient.")
@click.option("--vessel-labels", help="The vessels' values or colours in label maps, such as 1,2 or red,blue.")
@click.option("--artifact", type=MODEL, help="The artifact that generated the set: for the attacks that need it.")
@click.option("--run", type=FOLDER, help="The run that it was exported from; also for these attacks.")
@click.option("--out", required=True, type=PLACE, help="The folder of the report; the same command resumes.")
@click.option("--only", help="Some sections only, such as privacy or geometry,dispersion.")
@click.option("--size", type=click.IntRange(16), help="Average all pairs down to so many pixels a side.")
@click.option("--quick", is_flag=True, help="A quick look: fewer and shorter trainings; the report says so.")
@click.option("--seeds", type=click.IntRange(1, 50), help="Segmenters in each arm; default: 3 (1 with --quick).")
@click.option("--segmenter-steps", type=click.IntRange(1), help="Steps of each; default: 1000 (200 with --quick).")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the evaluation.")
@click.option("--no-real-images", is_flag=True, help="Leave real photographs and masks out of the report.")
def evaluate(folder, out, only, no_real_images, **options):
    """Evaluates SET: usefulness, fidelity, diversity, privacy.

    SET is a folder that synthmed generate or synthmed filter wrote. All folders but that of the run may be addresses
    of object stores (s3://, gs://, abfs://). Ends with 0 if every verdict is PASS, with 1 if
    one is not, with 2 if something is missing.
    """
    from synthmed_tf import api

    options |= {"only": parts(only), "real_images": not no_real_images}
    with progress.bars() as shown:
        report = api.evaluate(folder, out=out, progress=shown, **options)
    for verdict in report.verdicts:
        click.echo(f"{verdict.state.value:<11} {verdict.question}: {' '.join((verdict.sentence, *verdict.private))}")
    click.echo(f"{report.verdict.value:<11} overall; look at {out / 'report.html'}")
    sys.exit(0 if report.verdict == "PASS" else 1)


@click.command("filter")
@click.argument("folder", metavar="SET", type=FOLDER)
@click.option("--report", required=True, type=FOLDER, help="A report of synthmed evaluate on SET.")
@click.option("--out", required=True, type=FOLDER, help="The folder of the new set.")
@click.option("--copy-excess", type=float, help="Drop pairs so far above the threshold of a copy; default: 0.")
@click.option("--atypicality", type=float, help="Drop trees so many times beyond the most atypical real one; 1.5.")
@click.option("--least-dice", type=float, help="Drop pairs whose image shows its mask less well; default: 0.5.")
def filter_set(folder: Path, report: Path, out: Path, **limits: float | None) -> None:
    """Copies SET without the pairs that a report rejects.

    These are copies of real images, implausible vessel trees, and images that do not show their masks.
    """
    from synthmed_tf.evaluation import filtering

    chosen = filtering.FilterLimits(**{name: value for name, value in limits.items() if value is not None})
    with progress.bar("pairs") as shown:
        counts = filtering.filter_set(folder, report, out, chosen, shown)
    for reason, count in sorted(counts.items()):
        if reason != "kept":
            click.echo(f"dropped {count}: {reason}")
    click.echo(f"{counts['kept']} pairs are kept in {out}")
