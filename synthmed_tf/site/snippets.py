"""What a reader copies: commands, loading code, and how to cite."""

from synthmed_tf.repository.entry import Entry
from synthmed_tf.site import words

HERE = "ADDRESS/repository"
"""Stands for the repository's address, which static pages do not know; the page's script puts it in."""


def download(entry: Entry) -> str:
    """The command."""
    return f"synthmed download {entry.name}@{entry.version} --from {HERE} --out {entry.name}"


def loading(entry: Entry) -> dict[str, str]:
    """Code by the title of what it needs."""
    return {"synthmed": f'import synthmed_tf.repository\n\npairs, card = synthmed_tf.repository.load("{entry.name}@{entry.version}", "{HERE}")'}


def citation(entry: Entry) -> str:
    """BibTeX."""
    return words.shown(entry.title)
