"""`README.md`: the dataset card. It has the head that Hugging Face reads, and answers a datasheet's questions from
what is known.

The publisher's words are text in it: Markdown and HTML in them are escaped.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from synthmed_tf import files, templating
from synthmed_tf.evaluation.verdict import QUESTIONS
from synthmed_tf.repository import paths
from synthmed_tf.repository.entry import Entry
from synthmed_tf.repository.publish import card_text, evidence
from synthmed_tf.repository.publish.packing import IMAGEFOLDER

FILE = "README.md"

_TEMPLATES = Path(__file__).parent / "templates"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST = "1M<n<10M"
_SPECIAL = re.compile(r"([\\`*_\[\]<>&|~$#!{}])")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_LINKING = re.compile(r"(?i):(?=//)|(?<=www)\.|@")
_BEGINS_BLOCK = re.compile(r"^(\d+(?=[.)])|(?=[-+=]))")


def write(entry: Entry, card: dict[str, Any], generator_card: dict[str, Any] | None, folder: Path) -> None:
    """Writes the file.

    Args:
        entry: the entry.
        card: of the set.
        generator_card: of the artifact; None where it is not shared.
        folder: of the version.

    Raises:
        SynthMedError: the package Jinja2 is missing.
        OSError: it cannot be written.
    """
    files.write_text(folder / FILE, render(entry, card, generator_card))


def render(entry: Entry, card: dict[str, Any], generator_card: dict[str, Any] | None) -> str:
    """The card as Markdown; arguments as for `write`."""
    environment = templating.environment(
        _TEMPLATES,
        "repository",
        finalize=lambda value: value if hasattr(value, "__html__") else _Markdown(escaped(str(value))),
        keep_trailing_newline=True,
    )
    shown = {
        "entry": entry,
        "head": _Markdown(_head(entry)),
        "identity": _Markdown(f"{entry.name}@{entry.version}"),
        "code": code,
        "paragraphs": _paragraphs(entry.description),
        "words": card_text,
        "citation": _Markdown(card_text.CITATION),
        "questions": QUESTIONS,
        "card": card,
        "generator_card": generator_card,
        "page": f"{evidence.FOLDER}/{evidence.PAGE}" in {file.path for file in entry.files},
        "mebibytes": f"{sum(file.size for file in entry.files) / 2**20:,.1f}",
    }
    return environment.get_template("README.md.j2").render(**shown)


def escaped(text: str) -> str:
    """A text as one line of Markdown that shows it and does nothing else.

    Characters that control the terminal or turn the reading direction show as U+FFFD.
    """
    line = _SPECIAL.sub(lambda found: _ENTITIES.get(found[0], "\\" + found[0]), _line(text))
    line = _LINKING.sub(r"\\\g<0>", line)
    return _BEGINS_BLOCK.sub(r"\1\\", line)


def code(text: str) -> "_Markdown":
    """A text without backticks and line ends as a code span."""
    return _Markdown("`" + _line(text).replace("`", "'") + "`")


class _Markdown(str):
    """Markdown that is put in as it is."""

    def __html__(self) -> str:
        return self


def _head(entry: Entry) -> str:
    known = card_text.spdx(entry.license)
    license = {"license": known.lower()} if known else {"license": "other", "license_name": _line(entry.license)}
    facts = {
        **license,
        "pretty_name": _line(entry.title),
        "size_categories": [next((name for most, name in _SIZES if entry.count < most), _LARGEST)],
        "task_categories": ["image-segmentation"],
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["original"],
        "tags": [_line(tag) for tag in card_text.tags(entry)],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": f"{IMAGEFOLDER}/*.zip"}]},
        ],
    }
    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=float("inf"))


def _paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n\s*\n", text) if part.strip()]


def _line(text: str) -> str:
    """White space becomes single spaces, and what would act on a reader's screen unseen becomes U+FFFD."""
    return paths.plain(" ".join(text.split()), len(text))
