"""Rows of the search index as a table on a terminal."""

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from synthmed_tf.repository.entry import Index, Row
from synthmed_tf.repository.paths import plain
from synthmed_tf.repository.read.search import overall

_STYLES = {"PASS": "green", "CANNOT TELL": "yellow", "FAIL": "red", "withdrawn": "red"}


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
