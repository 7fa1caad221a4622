"""What is found in an index, and how it is shown."""

import io
import re
from datetime import datetime, timezone

import pytest
from helpers import repositories
from rich.console import Console

from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.entry import Index, Withdrawal
from synthmed_tf.repository.read.search import Query, find, render

GONE = Withdrawal(date=datetime(2026, 12, 1, tzinfo=timezone.utc), reason="pair 2 is a copy\x1b[2J")
INDEX = Index(
    title="A repository",
    entries=(
        repositories.row("chase", "2.0.0", verdict="PASS", verdicts={"copies": "PASS", "utility": "PASS"}, size=256),
        repositories.row("chase", "1.0.0", withdrawn=GONE, verdict="PASS"),
        repositories.row("fundus-wide", "1.0.0", title="Wide [bold]Fundus[/bold]\u202e", keywords=("Laser",), size=128),
        repositories.row(
            "oct", "1.0.0", organ="Retina", modality="OCT", license="MIT", verdict="CANNOT TELL", size=512
        ),
        repositories.row("veins", "0.1.0", organ="hand", verdict="FAIL", verdicts={"copies": "CANNOT TELL"}),
    ),
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), ["chase@2.0.0", "fundus-wide@1.0.0", "oct@1.0.0", "veins@0.1.0"]),
        (Query(("RETINA", "fundus")), ["chase@2.0.0", "fundus-wide@1.0.0"]),
        (Query(("laser",)), ["fundus-wide@1.0.0"]),
        (Query(("laser", "oct")), []),
        (Query(("chase",)), ["chase@2.0.0", "chase@1.0.0"]),
        (Query(("chase@1.0.0",)), ["chase@1.0.0"]),
        (Query(("chas",)), ["chase@2.0.0"]),
        (Query(withdrawn=True), [row.id for row in INDEX.entries]),
        (Query(organ="retina", min_size=256), ["chase@2.0.0", "oct@1.0.0"]),
        (Query(modality="oct"), ["oct@1.0.0"]),
        (Query(license="cc0"), ["chase@2.0.0", "fundus-wide@1.0.0", "veins@0.1.0"]),
        (Query(verdicts=("pass",)), ["chase@2.0.0"]),
        (Query(verdicts=("CANNOT TELL",)), ["oct@1.0.0"]),
        (Query(verdicts=("not evaluated",)), ["fundus-wide@1.0.0"]),
        (Query(verdicts=("copies=CANNOT TELL",)), ["veins@0.1.0"]),
        (Query(verdicts=("PASS", "utility=PASS")), ["chase@2.0.0"]),
        (Query(("veins",), verdicts=("utility=not evaluated",)), ["veins@0.1.0"]),
    ],
)
def test_versions_are_found(query, found):
    assert [row.id for row in find(INDEX, query)] == found


@pytest.mark.parametrize("verdict", ["good", "copies=", "beauty=PASS", "=x", ""])
def test_a_verdict_that_is_none_is_said(verdict):
    with pytest.raises(
        SynthMedError, match=r"^Option --verdict is .*; give one of PASS, CANNOT TELL, FAIL, not evaluated"
    ):
        find(INDEX, Query(verdicts=(verdict,)))


def _shown(rows, width=120) -> str:
    written = io.StringIO()
    render(INDEX, rows, Console(width=width, file=written))
    return written.getvalue()


def test_a_table_shows_words_as_words():
    shown = _shown(INDEX.entries)
    assert "Wide [bold]Fundus[/bold]\ufffd" in shown
    assert "chase@1.0.0 was withdrawn on 2026-12-01: pair 2 is a copy\ufffd[2J" in shown
    assert "5 of 5 versions in A repository" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)
    verdicts = dict(_ends(line) for line in shown.splitlines() if "@" in line and "withdrawn on" not in line)
    assert verdicts == {
        "chase@2.0.0": "PASS",
        "chase@1.0.0": "withdrawn",
        "fundus-wide@1.0.0": "not evaluated",
        "oct@1.0.0": "CANNOT TELL",
        "veins@0.1.0": "FAIL",
    }


def _ends(line: str) -> tuple[str, str]:
    """The first and the last cell of a row."""
    cells = re.split(r"\s{2,}", line.strip())
    return cells[0], cells[-1]


def test_nothing_that_matches_is_said():
    assert _shown([]) == "nothing in A repository matches\n"
