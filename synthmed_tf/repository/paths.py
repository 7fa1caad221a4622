"""Names that come from somebody else: a path that stays in its folder, and text that a terminal may show."""

import re
import unicodedata
from collections.abc import Iterable

from synthmed_tf.errors import SynthMedError

MOST_CHARACTERS = 200
MOST_PARTS = 8
MOST_IN_PART = 128
"""Bytes; file systems allow 255, of which a file that is being written takes some."""

_PART = re.compile(r"[A-Za-z0-9_+@=,()-][A-Za-z0-9._+@=,() -]*")
# Windows gives these to devices, with any ending.
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}


def safe(path: str) -> str:
    """A path from a repository or an archive, where it is one that cannot leave its folder on any system.

    Relative, with `/`, of at most 200 characters in at most 8 parts. A part begins with a letter, a digit or one of
    `_+@=,()-`, and goes on with these, dots and spaces; it does not end with a dot or a space. So there is no `..`,
    no hidden name, no backslash, no drive, no control character, and nothing that looks like another name.

    Returns:
        The path, unchanged.

    Raises:
        SynthMedError: it is another.
    """
    fault = _fault(path)
    if fault:
        raise SynthMedError(f"Path {plain(repr(path), 120)} {fault}; a file is named relative to its folder, plainly.")
    return path


def check_distinct(paths: Iterable[str]) -> None:
    """Sees that safe paths can all be there at once, also where capitals do not count.

    Raises:
        SynthMedError: two name one file, or a file is named as a folder too.
    """
    seen: dict[str, str] = {}
    for path in paths:
        if path.casefold() in seen:
            other = seen[path.casefold()]
            raise SynthMedError(f"Paths {other} and {path} name one file; give each file a name of its own.")
        seen[path.casefold()] = path
    for path in seen.values():
        parts = path.casefold().split("/")
        for end in range(1, len(parts)):
            if "/".join(parts[:end]) in seen:
                raise SynthMedError(f"Path {path} lies in what is a file too; give each file a name of its own.")


def plain(text: str, most: int = 300) -> str:
    """Text that a terminal shows as it stands, on one line.

    Control characters, those that turn the direction of writing or show nothing, and what is no character become
    U+FFFD; what is longer than `most` characters is cut.
    """
    shown = "".join(
        character if character.isspace() or unicodedata.category(character)[0] != "C" else "\ufffd"
        for character in text[:most]
    )
    shown = " ".join(shown.split())
    return shown if len(text) <= most else f"{shown}…"


def _fault(path: str) -> str | None:
    if not isinstance(path, str) or not path:
        return "is empty"
    if len(path) > MOST_CHARACTERS:
        return f"has {len(path)} characters where {MOST_CHARACTERS} are allowed"
    parts = path.split("/")
    if len(parts) > MOST_PARTS:
        return f"has {len(parts)} parts where {MOST_PARTS} are allowed"
    for part in parts:
        if not _PART.fullmatch(part):
            return "is absolute, leaves its folder, is hidden or has a character that is not allowed"
        if len(part) > MOST_IN_PART:
            return f"has a part of {len(part)} characters where {MOST_IN_PART} are allowed"
        if part[-1] in ". ":
            return "has a part that ends with a dot or a space"
        if part.split(".")[0].strip().casefold() in _DEVICES:
            return "has a part that names a device on Windows"
    return None
