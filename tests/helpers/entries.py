"""Sets, reports and requests for tests of what a version's folder holds."""

import dataclasses
from datetime import datetime, timezone
from pathlib import Path

from helpers.evaluating import generated as phantoms
from helpers.reports import made_sections
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import report
from synthmed_tf.evaluation.context import QUICK, Cache, EvaluationContext
from synthmed_tf.evaluation.pairs import ArrayPairs, SyntheticSet
from synthmed_tf.evaluation.verdict import LeftOut, State
from synthmed_tf.repository.publish import building

TRAIN = ("anna-k", "bertil", "07_left", "dora")
HOLDOUT = ("emil", "frida", "gösta")
REAL = {*TRAIN, *HOLDOUT, "photo_17.tif", "ward-9"}
"""What must not be published."""

PUBLISHED = datetime(2026, 11, 25, 12, 30, tzinfo=timezone.utc)


def request(folder: Path, **changes) -> building.Request:
    """A request to publish a set."""
    made = building.Request(folder, "tiny-eyes", "1.2.0", "Tiny eyes", "CC BY 4.0", ("Ada L.",), PUBLISHED)
    return dataclasses.replace(made, **changes)


def built(made: building.Request, folder: Path):
    """The entry, built into a new folder."""
    folder.mkdir()
    return building.build(made, folder)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its place."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_report(generated_set: Path, folder: Path, states=(), privacy=(), **changes) -> Path:
    """A report on a set of 12 pairs: made-up results of all sections; no copy, and CANNOT TELL to membership.

    Args:
        generated_set: the set.
        folder: of the report.
        states: of verdicts, by their questions.
        privacy: fields of the section on privacy, by their names.
        changes: of fields of the report.
    """
    block = phantoms(64, range(len(TRAIN) + len(HOLDOUT)))
    parts = [ArrayPairs(_rows(block, rows), names, names) for rows, names in _sides()]
    context = EvaluationContext(SyntheticSet(generated_set), *parts, Cache(folder / "cache"), QUICK)
    written = report.make(context, made_sections(context), real_images=False)
    states = {"copies": State.PASS} | dict(states)
    verdicts = [
        answer.model_copy(update={"state": states.get(answer.question, answer.state), "private": ()})
        for answer in written.verdicts
    ]
    left_out = (LeftOut.failed("reconstruction by Stage-II", SynthMedError("ward-9/model is missing.")),)
    privacy = written.sections.privacy.model_copy(update={"copies": (), "left_out": left_out} | dict(privacy))
    sections = written.sections.model_copy(update={"privacy": privacy})
    made = {"verdicts": tuple(verdicts), "sections": sections} | changes
    report.write(written.model_copy(update=made), report.pair_lines(context, {}), folder)
    (folder / "report.html").write_text("<!doctype html><title>anna-k</title>")
    return folder


def _sides():
    return ((slice(0, len(TRAIN)), TRAIN), (slice(len(TRAIN), None), HOLDOUT))


def _rows(block, rows):
    return type(block)(block.images[rows], block.masks[rows], block.fields[rows])
