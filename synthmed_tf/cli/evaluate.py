"""The commands that judge a synthetic set and act on the judgement: `synthmed evaluate` and `synthmed filter`."""

import sys
from pathlib import Path

import click

from synthmed_tf.cli import terminal
from synthmed_tf.errors import SynthMedError

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.option("--set", "folder", required=True, type=_FOLDER, help="A set of synthmed generate or synthmed filter.")
@click.option("--real", required=True, type=_FOLDER, help="The real pairs that the generator was trained on.")
@click.option("--patients", help="Of --real, whom it was trained on, such as 01-10; all that are not held out if left.")
@click.option("--holdout", type=_FOLDER, help="Real pairs of patients that it never saw.")
@click.option("--holdout-patients", help="Patients of --real that it never saw, such as 11-14.")
@click.option("--other", type=_FOLDER, help="Real pairs of another camera, as a second test of usefulness.")
@click.option("--patient-regex", help="Its first group in a file's name is the patient, in all folders.")
@click.option("--artifact", type=_FOLDER, help="The artifact that generated the set: for the attacks that need it.")
@click.option("--run", type=_FOLDER, help="The run that it was exported from: likewise.")
@click.option("--out", required=True, type=_FOLDER, help="The report's folder; the same command goes on where it was.")
@click.option("--only", help="Some sections alone, such as privacy or geometry,dispersion.")
@click.option("--quick", is_flag=True, help="A quick look: fewer and shorter trainings; the report says so.")
@click.option("--seeds", type=click.IntRange(1, 50), help="Segmenters of each arm; 3 if left (1 in a quick look).")
@click.option("--segmenter-steps", type=click.IntRange(1), help="Steps that each is trained for; 1000 if left (200).")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything that the judge generates.")
@click.option("--no-real-images", is_flag=True, help="Leave real photographs and masks out of the report.")
def evaluate(folder, only, quick, seeds, segmenter_steps, seed, no_real_images, **given):
    """Judges a synthetic set: is it useful, and does it give a patient away.

    Ends with 0 where every verdict is PASS, with 1 where one is not, with 2 where something is missing.
    """
    if given["holdout"] is not None and given["holdout_patients"] is not None:
        raise SynthMedError("Options --holdout and --holdout-patients both name the holdout; leave one of them out.")

    from synthmed_tf.evaluation import evaluator
    from synthmed_tf.evaluation.context import QUICK, Settings

    changed = {"seeds": seeds, "segmenter_steps": segmenter_steps, "seed": seed}
    settings = (QUICK if quick else Settings()).model_copy(
        update={name: value for name, value in changed.items() if value is not None}
    )
    sections = tuple(part.strip() for part in (only or "").split(",") if part.strip())
    job = evaluator.Job(set=folder, only=sections, real_images=not no_real_images, **given)
    with terminal.bars() as progress:
        written = evaluator.evaluate(job, settings, progress)
    for verdict in written.verdicts:
        click.echo(f"{verdict.state.value:<11} {verdict.question}: {verdict.sentence}")
    click.echo(f"{written.verdict.value:<11} over all; look at {job.out / 'report.html'}")
    sys.exit(0 if written.verdict == "PASS" else 1)


@click.command("filter")
@click.option("--set", "folder", required=True, type=_FOLDER, help="The set.")
@click.option("--report", required=True, type=_FOLDER, help="A report on it.")
@click.option("--out", required=True, type=_FOLDER, help="The new set's folder.")
@click.option("--copy-excess", type=float, help="Drop pairs this far above the threshold of a copy, or further; 0.")
@click.option("--atypicality", type=float, help="Drop trees beyond so many times the most atypical real one; 1.5.")
@click.option("--least-dice", type=float, help="Drop pairs whose photograph shows less of its mask; 0.5.")
def filter_set(folder: Path, report: Path, out: Path, **limits: float | None) -> None:
    """Leaves out copies, implausible trees, and photographs that do not show their masks."""
    from synthmed_tf.evaluation import filtering

    chosen = filtering.Limits(**{name: value for name, value in limits.items() if value is not None})
    with terminal.bar("pairs") as progress:
        counts = filtering.filter_set(folder, report, out, chosen, progress)
    for reason, count in sorted(counts.items()):
        if reason != "kept":
            click.echo(f"dropped {count}: {reason}")
    click.echo(f"{counts['kept']} pairs are kept in {out}")
