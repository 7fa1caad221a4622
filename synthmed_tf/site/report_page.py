"""The report of an evaluation as a page: verdicts, limits and all results as tables."""

import enum
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic

from synthmed_tf.evaluation import report
from synthmed_tf.evaluation.transforms import Transform
from synthmed_tf.evaluation.verdict import headline
from synthmed_tf.repository.entry import Entry
from synthmed_tf.site import listing, rendering
from synthmed_tf.site.content import Content
from synthmed_tf.site.rendering import Pages

_MOST_ROWS = 200
_DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Table:
    """Results.

    Attributes:
        caption: what of.
        head: of the columns; empty where each row is a name and its value.
        rows: of cells.
        left_out: rows beyond those that are shown.
    """

    caption: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    left_out: int = 0


def write(content: Content, entry: Entry, path: str, pages: Pages) -> None:
    """Writes the page of a version's report, next to that of the version."""
    read = report.read(content.verified(entry, path).parent)
    pages.write(
        listing.page_path(entry).replace("index.html", "report.html"),
        "report",
        "read",
        entry=entry,
        report=read,
        badge=rendering.badge(read.verdict),
        headline=rendering.shown(headline(read.verdict, read.verdicts)),
        limits=list(tables("limits", read.limits)),
        settings=list(tables("settings", read.settings)),
        sections={label(name): list(tables(name, section)) for name, section in read.sections if section is not None},
        source=f"../../../repository/targets/{entry.name}/{entry.version}/{rendering.url_path(path)}",
    )


def tables(name: str, result: pydantic.BaseModel) -> Iterator[Table]:
    """A result as flat tables: single values first, then each list of results, then each result within it."""
    fields = _fields(result)
    nested = {key: value for key, value in fields.items() if _is_result(value)}
    lists = {key: value for key, value in fields.items() if isinstance(value, tuple) and any(map(_is_result, value))}
    single: list[tuple[str, ...]] = [
        (label(key), cell(value)) for key, value in fields.items() if key not in nested | lists
    ]
    if single:
        yield _cut(Table(label(name), (), single))
    for key, rows in lists.items():
        yield _of_rows(key, rows)
    for key, value in nested.items():
        yield from tables(key, value)


def label(name: str) -> str:
    """`dice_p05` as `Dice p05`."""
    text = rendering.shown(name).replace("_", " ").replace("sha256", "SHA-256").strip() or _DASH
    return text[0].upper() + text[1:]


def cell(value: Any) -> str:
    """A value for people."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return _DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return rendering.number(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(cell, value)) or _DASH
    if isinstance(value, enum.Enum):
        return rendering.shown(value.value)
    return rendering.shown(value if isinstance(value, str) else json.dumps(value))


def _of_rows(name: str, rows: Sequence[Any]) -> Table:
    flat = [dict(_flat(row)) for row in rows]
    columns = tuple(dict.fromkeys(column for row in flat for column in row))
    body = [tuple(cell(row.get(column)) for column in columns) for row in flat]
    return _cut(Table(label(name), tuple(map(label, columns)), body))


def _flat(row: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a result and of the results in it, by their names."""
    for key, value in _fields(row).items():
        if _is_result(value):
            yield from _flat(value, f"{before}{key} ")
        else:
            yield before + key, value


def _fields(result: Any) -> dict[str, Any]:
    if not isinstance(result, pydantic.BaseModel):
        return dict(vars(result))
    return dict(result) | {name: getattr(result, name) for name in type(result).model_computed_fields}


def _is_result(value: Any) -> bool:
    return isinstance(value, (pydantic.BaseModel, Transform))


def _cut(table: Table) -> Table:
    left_out = max(0, len(table.rows) - _MOST_ROWS)
    return Table(table.caption, table.head, table.rows[:_MOST_ROWS], left_out)
