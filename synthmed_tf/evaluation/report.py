"""The report of a judgement: `report.json` for programs, and a line a synthetic pair in `pairs.jsonl`.

What each field means is in docs/report.md, which `evaluation.schema` writes from the models.
"""

import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pydantic

from synthmed_tf import __version__, files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation.context import Case, Outcome, Settings
from synthmed_tf.evaluation.verdict import LIMITS, QUESTIONS, Limits, State, Verdict, worst
from synthmed_tf.old_names import renamed

KIND = "synthmed report"
SCHEMA_VERSION = "1"
"""Rises when a field is removed or means something else; a new field leaves it."""

FILE = "report.json"
PAIRS = "pairs.jsonl"

Line = dict[str, Any]


class Report(pydantic.BaseModel):
    """What a synthetic set was found to be.

    Attributes:
        kind: `synthmed report`.
        schema_version: of this file; rises when a field is removed or means something else.
        made_with: versions of the program and of Python.
        created: when, in UTC.
        quick: whether it was a quick look, with fewer and shorter trainings.
        real_images: whether `report.html` shows real photographs and masks.
        settings: how thoroughly it was judged.
        limits: set before looking, and no options.
        verdict: the worst of the answers; CANNOT TELL never rounds up.
        verdicts: an answer for each question that was asked, in the order of the questions.
        not_asked: questions whose section did not run; the verdict says nothing of them.
        sections: figures of each section that ran, by its name; others are absent.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    kind: str = KIND
    schema_version: str = SCHEMA_VERSION
    made_with: dict[str, str]
    created: datetime
    quick: bool
    real_images: bool
    settings: Settings
    limits: Limits
    verdict: State
    verdicts: tuple[Verdict, ...]
    not_asked: tuple[str, ...]
    sections: dict[str, dict[str, Any]]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _by_present_names(cls, values: Any) -> Any:
        return renamed(values)


def make(case: Case, outcomes: Mapping[str, Outcome], real_images: bool = True) -> Report:
    """Puts a report together.

    Args:
        case: what was judged.
        outcomes: of the sections that ran, by their names, in the order of the report.
        real_images: whether the page shows real photographs and masks.
    """
    answers = {answer.question: answer for outcome in outcomes.values() for answer in outcome.verdicts}
    return Report(
        made_with={"synthmed_tf": __version__, "python": platform.python_version()},
        created=datetime.now(timezone.utc).replace(microsecond=0),
        quick=case.settings.quick,
        real_images=real_images,
        settings=case.settings,
        limits=LIMITS,
        verdict=worst(answer.state for answer in answers.values()),
        verdicts=tuple(answers[question] for question in QUESTIONS if question in answers),
        not_asked=tuple(question for question in QUESTIONS if question not in answers),
        sections={name: json.loads(outcome.figures.model_dump_json()) for name, outcome in outcomes.items()},
    )


def pair_lines(case: Case, outcomes: Mapping[str, Outcome]) -> Iterator[Line]:
    """The scores of each synthetic pair, under its index in the set's manifest (its place, for a set in memory)."""
    lines = getattr(case.synthetic, "lines", None)
    scores = {name: column for outcome in outcomes.values() for name, column in outcome.scores.items()}
    for row in range(len(case.synthetic)):
        yield {"index": lines[row]["index"] if lines else row} | {
            name: _finite(float(column[row])) for name, column in scores.items()
        }


def write(written: Report, lines: Iterable[Line], folder: Path) -> None:
    """Writes both files; NaN and infinity are null. The report comes last: where it is, all is there.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    with files.replaced_file(folder / PAIRS) as file:
        for line in lines:
            file.write((json.dumps(line, allow_nan=False) + "\n").encode())
    files.write_text(folder / FILE, written.model_dump_json(indent=2) + "\n")


def read(folder: Path) -> Report:
    """Reads a report.

    Raises:
        SynthMedError: it is missing, damaged or of another schema version.
    """
    file = Path(folder) / FILE
    found = _load(file)
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise SynthMedError(f"{file} is not a report; name the folder that synthmed evaluate wrote.")
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


def read_on(folder: Path, judged: Path, fingerprint: str) -> Report:
    """Reads the report on a certain set.

    Args:
        folder: the report's.
        judged: the set's.
        fingerprint: of the set, as `pairs.fingerprint` has it.

    Raises:
        SynthMedError: as `read`, or it is a report on another set.
    """
    written = read(folder)
    if written.sections.get("compared", {}).get("set", {}).get("sha256") != fingerprint:
        raise SynthMedError(f"{folder} is a report on another set than {judged}; run synthmed evaluate on this.")
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
        return json.loads(_text(file))
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


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
