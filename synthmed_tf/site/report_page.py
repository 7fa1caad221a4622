"""The judge's report as a page: verdicts, limits and every figure as a table."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from synthmed_tf.evaluation import report
from synthmed_tf.evaluation.verdict import headline
from synthmed_tf.repository.entry import Entry
from synthmed_tf.site import listing, words
from synthmed_tf.site.content import Content
from synthmed_tf.site.rendering import Pages

_MOST_ROWS = 200
_MOST_DEPTH = 5
_DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Table:
    """Figures.

    Attributes:
        caption: what of.
        head: of the columns; none where a row is a name and its figure.
        rows: of cells.
        left_out: rows beyond those that are shown.
    """

    caption: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    left_out: int = 0


def write(content: Content, entry: Entry, path: str, pages: Pages) -> None:
    """Writes the page of a version's report, beside that of the version."""
    read = report.read(content.verified(entry, path).parent)
    pages.write(
        listing.page_path(entry).replace("index.html", "report.html"),
        "report",
        "read",
        entry=entry,
        report=read,
        badge=words.badge(read.verdict),
        headline=words.shown(headline(read.verdict, read.verdicts)),
        limits=list(tables("limits", read.limits.model_dump())),
        settings=list(tables("settings", read.settings.model_dump())),
        sections={label(name): list(tables(name, figures)) for name, figures in read.sections.items()},
        source=f"../../../repository/targets/{entry.name}/{entry.version}/{words.url_path(path)}",
    )


def tables(name: str, figures: dict[str, Any], depth: int = 0) -> Iterator[Table]:
    """Nested figures as flat tables: single ones first, then each list of rows, then what lies deeper.

    Args:
        name: of the whole.
        figures: as JSON has them.
        depth: of the whole in the report; below `_MOST_DEPTH` figures are shown as JSON.
    """
    if depth == _MOST_DEPTH:
        figures = {key: value if _is_single(value) else json.dumps(value) for key, value in figures.items()}
    single = {key: value for key, value in figures.items() if _is_single(value)}
    if single:
        yield _cut(Table(label(name), (), [(label(key), cell(value)) for key, value in single.items()]))
    for key, value in figures.items():
        if key in single:
            continue
        if isinstance(value, dict):
            yield from tables(f"{name}: {key}" if depth else key, value, depth + 1)
        else:
            yield _of_rows(key, value)


def label(name: str) -> str:
    """`dice_p05` as `Dice p05`."""
    text = words.shown(name).replace("_", " ").replace("sha256", "SHA-256").strip() or _DASH
    return text[0].upper() + text[1:]


def cell(value: Any) -> str:
    """A figure for people."""
    if value is None:
        return _DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return words.number(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(cell, value)) or _DASH
    return words.shown(value if isinstance(value, str) else str(getattr(value, "value", value)))


def _of_rows(name: str, rows: list[Any]) -> Table:
    flat = [_flat(row) if isinstance(row, dict) else {"": row} for row in rows]
    columns = tuple(dict.fromkeys(column for row in flat for column in row))
    body = [tuple(cell(row.get(column)) for column in columns) for row in flat]
    return _cut(Table(label(name), tuple(map(label, columns)), body))


def _flat(row: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict) and before.count(" ") < _MOST_DEPTH:
            found |= _flat(value, f"{before}{key} ")
        else:
            found[before + key] = value if _is_single(value) else json.dumps(value)
    return found


def _is_single(value: Any) -> bool:
    if isinstance(value, list):
        return all(not isinstance(part, (dict, list)) for part in value)
    return not isinstance(value, dict)


def _cut(table: Table) -> Table:
    left_out = max(0, len(table.rows) - _MOST_ROWS)
    return Table(table.caption, table.head, table.rows[:_MOST_ROWS], left_out)
