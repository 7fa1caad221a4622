"""Pages from templates, and the text on them: numbers, sizes, dates, verdicts, and text that others wrote.

Everything is escaped, and a name that is missing is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from synthmed_tf import __version__, files, templating
from synthmed_tf.evaluation.verdict import QUESTIONS, State
from synthmed_tf.repository.paths import plain

if TYPE_CHECKING:
    import jinja2

_TEMPLATES = Path(__file__).parent / "templates"

_READ_ONLY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'"
_SCRIPTED = f"{_READ_ONLY}; script-src 'self'; connect-src 'self'"
_IMAGES = _SCRIPTED.replace("img-src 'self'", "img-src 'self' blob:")
POLICIES = {
    "read": _READ_ONLY,
    "search": _SCRIPTED,
    "view": _IMAGES,
    "generate": _IMAGES.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'") + "; worker-src 'self'",
}
"""The Content-Security-Policy of a page by what it does."""


MOST = 10_000
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class Badge:
    """A state at a glance: by symbol and word; colour comes with `kind`, and never alone."""

    kind: str
    symbol: str
    word: str


NOT_EVALUATED = Badge("none", "\N{EN DASH}", "not evaluated")
NOT_ASKED = Badge("none", "\N{EN DASH}", "not asked")
WITHDRAWN = Badge("withdrawn", "\N{CIRCLED DIVISION SLASH}", "withdrawn")
BADGES = {
    State.PASS: Badge("pass", "\N{CHECK MARK}", "PASS"),
    State.CANNOT_TELL: Badge("cannot", "?", "CANNOT TELL"),
    State.FAIL: Badge("fail", "\N{BALLOT X}", "FAIL"),
}


class Pages:
    """Writes the pages of a site.

    Attributes:
        out: the site's folder.
        title: of the repository.
    """

    def __init__(self, out: Path, title: str):
        self.out = out
        self._environment = _environment()
        self._environment.globals |= {"site_title": shown(title), "made_with": f"synthmed_tf {__version__}"}

    def write(self, path: str, template: str, policy: str, **content: Any) -> None:
        """Renders a page.

        Args:
            path: below the site.
            template: its file, without `.html.j2`.
            policy: of `POLICIES`.
            content: what the template shows.
        """
        root = "../" * path.count("/")
        rendered = self._environment.get_template(f"{template}.html.j2").render(
            root=root, policy=POLICIES[policy], **content
        )
        files.write_text(self.out / path, rendered)


def badge(state: State | None) -> Badge:
    """Of a verdict; None was not evaluated."""
    return NOT_EVALUATED if state is None else BADGES[state]


def shown(text: str) -> str:
    """A line of others, with what cannot be seen made visible. The template escapes it."""
    return plain(" ".join(text.split()), MOST)


def paragraphs(text: str) -> list[str]:
    """Text of others by its blank lines."""
    return [shown(part) for part in re.split(r"\n\s*\n", text.replace("\r\n", "\n")) if part.strip()]


def sentence(text: str) -> str:
    """With a capital."""
    return text[:1].upper() + text[1:]


def web_address(text: str | None) -> str | None:
    """The text where it is the address of a web page, to link to; no other scheme, and no name or password in it."""
    try:
        parts = urlsplit(text or "")
    except ValueError:
        return None
    is_page = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    return text if text and is_page and shown(text) == text else None


def url_path(path: str) -> str:
    """A relative path as part of an address."""
    return quote(path, safe="/")


def number(value: int) -> str:
    """`5,000`."""
    return f"{value:,}"


def size(count: int) -> str:
    """Bytes for people: `512 bytes`, `14.2 MB`."""
    if count < 1000:
        return "1 byte" if count == 1 else f"{count} bytes"
    amount, unit = count / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if amount < 999.95:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}"


def day(moment: datetime) -> str:
    """`2026-11-25`."""
    return moment.strftime("%Y-%m-%d")


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 pair`, `5,000 pairs`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def _environment() -> jinja2.Environment:
    environment = templating.environment(_TEMPLATES, "repository")
    filters = (shown, paragraphs, sentence, web_address, url_path, number, size, day, badge)
    environment.filters.update({function.__name__: function for function in filters})
    environment.globals |= {
        "counted": counted,
        "questions": QUESTIONS,
        "not_asked": NOT_ASKED,
        "not_evaluated": NOT_EVALUATED,
        "withdrawn": WITHDRAWN,
    }
    return environment
