"""The report of an evaluation: `report.json` for programs, and a line for each synthetic pair in `pairs.jsonl`.

What each field means is in docs/report.md, which `evaluation.schema` writes from the models.
"""

import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from synthmed_tf import __version__, files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation.context import EvaluationContext, SectionResults, Settings
from synthmed_tf.evaluation.results import Sections
from synthmed_tf.evaluation.verdict import LIMITS, QUESTIONS, Limits, State, Verdict, worst
from synthmed_tf.old_names import renamed

KIND = "synthmed report"
SCHEMA_VERSION: Literal["2"] = "2"
"""Rises when a field is removed or changes its meaning; a new field does not change it."""

_FIRST_VERSION = "1"
_OLD_REASON = "the report is of schema version 1, whose reasons may name files"

FILE = "report.json"
PAIRS = "pairs.jsonl"

Line = dict[str, Any]


class Report(pydantic.BaseModel):
    """The results of an evaluation.

    Attributes:
        kind: `synthmed report`.
        schema_version: of this file; rises when a field is removed or changes its meaning.
        made_with: versions of the program and of Python.
        created: when, in UTC.
        quick: whether it was a quick look, with fewer and shorter trainings.
        real_images: whether `report.html` shows real photographs and masks.
        settings: how thorough the evaluation was.
        limits: fixed in advance; they are not options.
        verdict: the worst of the answers; CANNOT TELL never counts as PASS.
        verdicts: an answer for each question that was asked, in the order of the questions.
        not_asked: questions whose section did not run; the verdict says nothing of them.
        sections: the results of each section.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    kind: str = KIND
    schema_version: Literal["2"] = SCHEMA_VERSION
    made_with: dict[str, str]
    created: datetime
    quick: bool
    real_images: bool
    settings: Settings
    limits: Limits
    verdict: State
    verdicts: tuple[Verdict, ...]
    not_asked: tuple[str, ...]
    sections: Sections

    @pydantic.model_validator(mode="before")
    @classmethod
    def _by_present_names(cls, values: Any) -> Any:
        return renamed(values)


def make(context: EvaluationContext, sections: SectionResults, real_images: bool = True) -> Report:
    """Puts a report together.

    Args:
        context: what was evaluated.
        sections: the results of those that ran.
        real_images: whether the page shows real photographs and masks.
    """
    answers = {answer.question: answer for _, result in sections.items() for answer in result.verdicts}
    return Report(
        made_with={"synthmed_tf": __version__, "python": platform.python_version()},
        created=datetime.now(timezone.utc).replace(microsecond=0),
        quick=context.settings.quick,
        real_images=real_images,
        settings=context.settings,
        limits=LIMITS,
        verdict=worst(answer.state for answer in answers.values()),
        verdicts=[answers[question] for question in QUESTIONS if question in answers],
        not_asked=[question for question in QUESTIONS if question not in answers],
        sections=sections.metrics,
    )


def pair_lines(context: EvaluationContext, scores: Mapping[str, np.ndarray]) -> Iterator[Line]:
    """The scores of each synthetic pair, under its index in the set's manifest (its place, for a set in memory)."""
    lines = getattr(context.synthetic, "lines", None)
    for row in range(len(context.synthetic)):
        yield {"index": lines[row]["index"] if lines else row} | {
            name: _plain(column[row].item()) for name, column in scores.items()
        }


def write(written: Report, lines: Iterable[Line], folder: Path) -> None:
    """Writes both files; NaN and infinity are null. The report comes last: where it is, both are complete.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    with files.replaced_file(folder / PAIRS) as file:
        for line in lines:
            file.write((json.dumps(line, allow_nan=False) + "\n").encode())
    files.write_text(folder / FILE, written.model_dump_json(indent=2) + "\n")


def read(folder: Path) -> Report:
    """Reads a report, of this or of an earlier schema version.

    Raises:
        SynthMedError: it is missing, damaged or of another schema version.
    """
    file = Path(folder) / FILE
    found = _load(file)
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise SynthMedError(f"{file} is not a report; name the folder that synthmed evaluate wrote.")
    if found.get("schema_version") == _FIRST_VERSION:
        try:
            found = _from_first_version(found)
        except ValueError as error:
            raise SynthMedError(f"{file} is damaged ({error}); run synthmed evaluate again.") from error
    if found.get("schema_version") != SCHEMA_VERSION:
        raise SynthMedError(
            f"{file} has schema version {found.get('schema_version')}, not {SCHEMA_VERSION}; run synthmed evaluate "
            "again, or use the version of synthmed that wrote it."
        )
    try:
        return Report.model_validate(found)
    except pydantic.ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise SynthMedError(f"{file} is damaged at {place}; run synthmed evaluate again.") from error


def read_on(folder: Path, evaluated: Path, fingerprint: str) -> Report:
    """Reads the report on a certain set.

    Args:
        folder: the report's.
        evaluated: the set's.
        fingerprint: of the set, as `pairs.fingerprint` has it.

    Raises:
        SynthMedError: as `read`, or it is a report on another set.
    """
    written = read(folder)
    if written.sections.compared.set.sha256 != fingerprint:
        raise SynthMedError(f"{folder} is a report on another set than {evaluated}; run synthmed evaluate on this one.")
    return written


def read_pairs(folder: Path) -> dict[int, Line]:
    """The lines of the pairs by their index.

    Raises:
        SynthMedError: they are missing or damaged.
    """
    file = Path(folder) / PAIRS
    try:
        return {line["index"]: line for line in map(json.loads, _text(file).splitlines())}
    except (ValueError, TypeError, KeyError) as error:
        raise SynthMedError(f"{file} is damaged ({error}); run synthmed evaluate again.") from error


def _load(file: Path) -> Any:
    try:
        return json.loads(_text(file), object_hook=renamed)
    except ValueError as error:
        raise SynthMedError(f"{file} is damaged ({error}); run synthmed evaluate again.") from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SynthMedError(f"{file} is damaged ({error}); run synthmed evaluate again.") from error
    except OSError as error:
        raise SynthMedError(
            f"{file} cannot be read ({error.strerror}); name the folder that synthmed evaluate wrote."
        ) from error


def _plain(value: float | str) -> float | str | None:
    return value if isinstance(value, str) or abs(value) < float("inf") else None


def _from_first_version(found: Line) -> Line:
    """A report of schema version 1 as one of version 2.

    Its sentences and reasons may name patients and files, so they become private fields as a whole.

    Raises:
        ValueError: it is damaged.
    """
    try:
        sections = {name: dict(section) for name, section in found["sections"].items()}
        for section in sections.values():
            reasons = section.get("left_out", {}).items()
            section["left_out"] = [{"name": _arm(name), "reason": _OLD_REASON, "error": why} for name, why in reasons]
        if "utility" in sections:
            sections["utility"] = _old_utility(sections["utility"])
        if "fidelity" in sections:
            sections["fidelity"] = _old_fidelity(sections["fidelity"])
        for copy in sections.get("privacy", {}).get("copies", ()):
            copy["transform"] = {name: copy[name] for name in ("flips", "rotation", "scale", "right", "down")}
        verdicts = [_old_verdict(answer) for answer in found["verdicts"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return found | {"schema_version": SCHEMA_VERSION, "sections": sections, "verdicts": verdicts}


def _old_utility(section: Line) -> Line:
    for rows, names in (("arms", ("name",)), ("results", ("arm",)), ("compared", ("arm", "reference"))):
        section[rows] = [row | {name: _arm(row[name]) for name in names} for row in section[rows]]
    return section


def _old_fidelity(section: Line) -> Line:
    if section["mean"] is None:
        return section | {"difference": None}
    interval = {name: section[name] for name in ("mean", "low", "high")}
    units = min(section["synthetic"]["patients"], section["unseen"]["patients"])
    return section | {"difference": interval | {"units": units, "sd": None, "p": None, "least_p": None}}


def _old_verdict(answer: Line) -> Line:
    if answer["question"] == "copies" and answer["state"] == State.FAIL:
        return answer | {"sentence": "Pairs of the set copy real ones.", "private": [answer["sentence"]]}
    return answer


def _arm(name: str) -> str:
    return "stage2_on_real_masks" if name == "redrawn" else name
