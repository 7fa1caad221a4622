"""Finds versions in the search index, and shows them as a table on a terminal."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation.verdict import QUESTIONS, State
from synthmed_tf.repository.entry import Index, Row
from synthmed_tf.repository.paths import plain

NOT_EVALUATED = "not evaluated"
_STYLES = {"PASS": "green", "CANNOT TELL": "yellow", "FAIL": "red", "withdrawn": "red"}
_STATES = tuple(state.value for state in State)


@dataclass(frozen=True)
class Query:
    """What is looked for; capitals do not count.

    Attributes:
        words: each must be in name, version, title, keywords, organ or modality.
        organ, modality, license: must hold this; None is any.
        min_size: pixels a side, at the least.
        verdicts: as `PASS`, `not evaluated` (over all) or `copies=PASS` (of a question); each must hold.
        withdrawn: whether versions that were withdrawn are shown too; otherwise they are where one is named.
    """

    words: tuple[str, ...] = ()
    organ: str | None = None
    modality: str | None = None
    license: str | None = None
    min_size: int = 0
    verdicts: tuple[str, ...] = ()
    withdrawn: bool = False


def find(index: Index, query: Query) -> list[Row]:
    """The versions that match, in the order of the index.

    Raises:
        SynthMedError: a verdict is none.
    """
    wanted = [_verdict(text) for text in query.verdicts]
    return [row for row in index.entries if _matches(row, query, wanted)]


def overall(row: Row) -> str:
    """The verdict over all, or `not evaluated`."""
    return NOT_EVALUATED if row.verdict is None else row.verdict.value


def render(index: Index, rows: Iterable[Row], console: Console | None = None) -> None:
    """Writes a table, and below it why versions were withdrawn."""
    console, rows = console or Console(), list(rows)
    if not rows:
        console.print(Text(f"nothing in {plain(index.title)} matches"))
        return
    table = Table(box=box.SIMPLE_HEAD, show_lines=True)
    table.add_column("set", no_wrap=True)
    table.add_column("what it is", ratio=1, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        table.add_row(*map(_cell, _cells(row)))
    console.print(table)
    for row in rows:
        if row.withdrawn is not None:
            reason = plain(row.withdrawn.reason, 500)
            console.print(Text(f"{row.id} was withdrawn on {row.withdrawn.date:%Y-%m-%d}: {reason}"))
    console.print(Text(f"{len(rows)} of {len(index.entries)} versions in {plain(index.title)}"))


def _matches(row: Row, query: Query, verdicts: Iterable[tuple[str | None, str]]) -> bool:
    words = [word.casefold() for word in query.words]
    if row.withdrawn is not None and not query.withdrawn and not {row.name, row.id} & set(words):
        return False
    text = " ".join((row.id, row.title, *row.keywords, row.organ, row.modality)).casefold()
    held = ((query.organ, row.organ), (query.modality, row.modality), (query.license, row.license))
    return (
        all(word in text for word in words)
        and all(part is None or part.casefold() in whole.casefold() for part, whole in held)
        and row.size >= query.min_size
        and all(_state(row, question) == state for question, state in verdicts)
    )


def _state(row: Row, question: str | None) -> str:
    if question is None:
        return overall(row)
    return row.verdicts[question].value if question in row.verdicts else NOT_EVALUATED


def _verdict(text: str) -> tuple[str | None, str]:
    """The question (None: over all), and the state."""
    question, _, state = text.rpartition("=")
    shown = next((known for known in (*_STATES, NOT_EVALUATED) if known.casefold() == state.strip().casefold()), None)
    if shown is None or (question and question not in QUESTIONS):
        raise SynthMedError(
            f"Option --verdict is {text}; give one of {', '.join(_STATES)}, {NOT_EVALUATED}, alone or after a question "
            f"and =, such as copies=PASS (questions: {', '.join(QUESTIONS)})."
        )
    return question or None, shown


def _cells(row: Row) -> Iterable[str]:
    yield row.id
    yield "\n".join(
        (
            plain(row.title, 120),
            plain(
                f"{row.organ}, {row.modality}; {row.count} pairs of {row.size} pixels, {row.bytes / 1e6:.1f} MB", 200
            ),
            plain(f"{', '.join(row.formats)}; {row.license}; {row.published:%Y-%m-%d}", 200),
        )
    )
    yield "withdrawn" if row.withdrawn is not None else overall(row)


def _cell(text: str) -> Text:
    # As Text, so that rich takes no brackets in a title for its own markup.
    return Text(text, _STYLES.get(text, ""))
