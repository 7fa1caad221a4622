"""Pages from templates: everything is escaped, and a name that is missing is an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthmed_tf import __version__, files, templating
from synthmed_tf.evaluation.verdict import QUESTIONS
from synthmed_tf.site import words

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


class Pages:
    """Writes the pages of a site.

    Attributes:
        out: the site's folder.
        title: of the repository.
    """

    def __init__(self, out: Path, title: str):
        self.out = out
        self._environment = _environment()
        self._environment.globals |= {"site_title": words.shown(title), "made_with": f"synthmed_tf {__version__}"}

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


def _environment() -> jinja2.Environment:
    environment = templating.environment(_TEMPLATES, "repository")
    for name in ("shown", "paragraphs", "sentence", "web_address", "url_path", "number", "size", "day", "badge"):
        environment.filters[name] = getattr(words, name)
    environment.globals |= {
        "counted": words.counted,
        "questions": QUESTIONS,
        "not_asked": words.NOT_ASKED,
        "not_evaluated": words.NOT_EVALUATED,
        "withdrawn": words.WITHDRAWN,
    }
    return environment
