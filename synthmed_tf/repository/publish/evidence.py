"""The evaluation report on a set: whether the set may be published with it, and what of the report is published."""

import shutil
from pathlib import Path

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import membership
from synthmed_tf.evaluation import report as reports
from synthmed_tf.evaluation.report import Report
from synthmed_tf.evaluation.verdict import State
from synthmed_tf.repository.entry import Evaluation
from synthmed_tf.repository.publish import redaction

FOLDER = "report"
PAGE = "report.html"
NOT_EVALUATED = "not evaluated"

_ON_WEIGHTS = {*membership.DISCRIMINATORS.values(), membership.RECONSTRUCTION, membership.VELOCITIES}
_FILTER = "drop them with synthmed filter, evaluate the new set, and publish that"
_SET_ALONE = (
    "evaluate the set without --artifact and --run and publish it without its generator: attacks on weights do not "
    "concern a set that is published without them"
)
_SET_LEAKS = "the set itself gives it away: generate one from another generator"


def read(folder: Path, evaluated: Path, fingerprint: str, full: bool) -> Report:
    """The report on a set, which may be published with it.

    Args:
        folder: the report's.
        evaluated: the set's.
        fingerprint: of the set.
        full: whether the report is published as it is.

    Raises:
        SynthMedError: no report, one on another set, one that forbids publishing, or one with real images that
            would be published in full.
    """
    written = reports.read_on(folder, evaluated, fingerprint)
    states = {answer.question: answer.state for answer in written.verdicts}
    privacy = written.sections.privacy
    if states.get("copies") is State.FAIL or (privacy is not None and privacy.copies):
        raise SynthMedError(f"By {folder} pairs of the set copy real ones, so it is not published; {_FILTER}.")
    if states.get("membership") is State.FAIL:
        leaking = set(privacy.leaking if privacy is not None else ())
        remedy = _SET_ALONE if leaking and leaking <= _ON_WEIGHTS else _SET_LEAKS
        raise SynthMedError(
            f"By {folder} an attacker can tell who was in the training data, so the set is not published; {remedy}."
        )
    if full and written.real_images:
        raise SynthMedError(
            f"{folder / PAGE} shows real photographs, which would be published; leave --full-report out, or evaluate "
            "the set with --no-real-images."
        )
    return written


def attacked_generator(written: Report | None) -> bool:
    """Whether the attack that an artifact allows was made, and so is part of the verdict on membership."""
    privacy = written.sections.privacy if written else None
    return privacy is not None and membership.RECONSTRUCTION in {attack.name for attack in privacy.attacks}


def evaluation(written: Report | None) -> Evaluation | None:
    """The summary of a report in an entry, without names of real files and patients."""
    if written is None:
        return None
    return Evaluation.model_validate(redaction.report(written).model_dump())


def write(written: Report, folder: Path, out: Path, full: bool) -> None:
    """Writes the report into a version's folder: `report/report.json`, and in full `report/report.html` too.

    Args:
        written: the report.
        folder: that it was read from.
        out: the version's folder.
        full: whether both files are copied unchanged; otherwise nothing real is named.

    Raises:
        SynthMedError: the page is missing.
        OSError: a file cannot be written.
    """
    place = out / FOLDER
    place.mkdir()
    if not full:
        published = redaction.report(written).model_dump_json(indent=2) + "\n"
        files.write_text(place / reports.FILE, published)
        return
    for name in (reports.FILE, PAGE):
        try:
            shutil.copyfile(folder / name, place / name)
        except FileNotFoundError:
            raise SynthMedError(f"{folder / name} is missing; run synthmed evaluate again.") from None
