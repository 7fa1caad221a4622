"""The start page: the newest version of each set, and what is searched in the browser."""

import itertools
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from synthmed_tf import files
from synthmed_tf.repository.entry import Entry, Index, Row, Tombstone, number
from synthmed_tf.repository.paths import plain
from synthmed_tf.site import rendering
from synthmed_tf.site.rendering import Pages

SEARCH = "search.json"
KIND = "synthmed site"
CARDS = 48
"""Sets on a page."""

_MOST_CHOICES = 100
_MOST_REASON = 120
_SIZES = (64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class Card:
    """A set on the start page.

    Attributes:
        row: its newest version in circulation, or its newest tombstone.
        versions: in circulation.
        withdrawn: versions that are not.
    """

    row: Row
    versions: int
    withdrawn: int

    @property
    def href(self) -> str:
        """Below the site."""
        return page_path(self.row)

    @property
    def thumbnail(self) -> str | None:
        """Below the site."""
        if self.row.withdrawn or not self.row.thumbnail:
            return None
        return rendering.url_path(f"repository/targets/{self.row.name}/{self.row.version}/{self.row.thumbnail}")

    @property
    def badge(self) -> rendering.Badge:
        """Its verdict, or that it was withdrawn."""
        return rendering.WITHDRAWN if self.row.withdrawn else rendering.badge(self.row.verdict)

    @property
    def facts(self) -> list[str]:
        """A line each."""
        row = self.row
        images = f"{rendering.number(row.size)} \N{MULTIPLICATION SIGN} {rendering.number(row.size)} px"
        return [
            f"{rendering.counted(row.count, 'pair')} \N{MIDDLE DOT} {images}",
            rendering.shown(f"{row.organ}, {row.modality}"),
        ]

    @property
    def extra(self) -> str:
        """What else there is: the generator, and other versions."""
        row = self.row
        if row.withdrawn:
            return plain(f"{rendering.day(row.withdrawn.date)}: {row.withdrawn.reason}", _MOST_REASON)
        said = ["generator shared"] if row.generator else []
        said += [f"{rendering.number(self.versions)} versions"] if self.versions > 1 else []
        if self.withdrawn:
            said.append(f"{rendering.number(self.withdrawn)} withdrawn")
        return ", ".join(said)

    def searched(self) -> dict[str, Any]:
        """What the browser needs to find it and to show it; addresses follow from its `id`."""
        row = self.row
        return {
            "thumbnail": self.thumbnail and rendering.url_path(row.thumbnail or ""),
            "badge": self.badge.kind,
            "title": rendering.shown(row.title),
            "id": row.id,
            "pairs": row.count,
            "size": row.size,
            "organ": rendering.shown(row.organ),
            "modality": rendering.shown(row.modality),
            "license": rendering.shown(row.license),
            "date": rendering.day(row.published),
            "generator": int(row.generator),
            "formats": " ".join(map(rendering.shown, row.formats)),
            "keywords": " ".join(map(rendering.shown, row.keywords)),
            "extra": self.extra,
        }


def page_path(row: Row | Entry | Tombstone) -> str:
    """The page of a version, below the site."""
    return f"entries/{row.name}/{row.version}/index.html"


def cards(index: Index) -> list[Card]:
    """A card a name: those in circulation first, each part from the newest on."""
    made = []
    for _, group in itertools.groupby(sorted(index.entries, key=lambda row: row.name), key=lambda row: row.name):
        rows = sorted(group, key=lambda row: number(row.version), reverse=True)
        live = [row for row in rows if not row.withdrawn]
        made.append(Card((live or rows)[0], len(live), len(rows) - len(live)))
    made.sort(key=lambda card: card.row.published, reverse=True)
    return sorted(made, key=lambda card: bool(card.row.withdrawn))


def write(index: Index, pages: Pages) -> None:
    """Writes the start page, those that follow it, and what is searched."""
    listed = cards(index)
    parts = [listed[start : start + CARDS] for start in range(0, len(listed), CARDS)] or [[]]
    for page, part in enumerate(parts):
        pages.write(
            _listing_path(page),
            "listing",
            "search",
            cards=part,
            total=len(listed),
            first=page * CARDS + 1,
            pages=[_listing_path(other) for other in range(len(parts))],
            page=page,
            choices=_choices(listed),
            sizes=_SIZES,
            badges=[*rendering.BADGES.values(), rendering.NOT_EVALUATED, rendering.WITHDRAWN],
        )
    rows = [card.searched() for card in listed]
    fields = list(rows[0]) if rows else []
    table = {"kind": KIND, "fields": fields, "rows": [list(row.values()) for row in rows]}
    files.write_text(pages.out / SEARCH, json.dumps(table, ensure_ascii=False, separators=(",", ":")))


def _listing_path(page: int) -> str:
    return "index.html" if page == 0 else f"page/{page + 1}.html"


def _choices(listed: list[Card]) -> dict[str, list[str]]:
    """What each filter offers, the most frequent where there are too many."""
    found = {}
    for field in ("organ", "modality", "license"):
        counts = Counter(rendering.shown(getattr(card.row, field)) for card in listed)
        found[field] = sorted(value for value, _ in counts.most_common(_MOST_CHOICES))
    return found
