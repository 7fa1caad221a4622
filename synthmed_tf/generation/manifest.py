"""The manifest of a set, `manifest.jsonl`: what it says about the files, and whether that is true.

A line is a pair of PNG files (`index`, `images_sha256`, `masks_sha256`, ...), a file (`file`, `size`, `sha256`), or the
first or last line of a shard.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from synthmed_tf import files, stores
from synthmed_tf.generation.formats.base import Line
from synthmed_tf.generation.formats.png import FOLDERS, file_name
from synthmed_tf.generation.plan import LARGEST_INDEX

FILE = "manifest.jsonl"
MISSING = "is missing"
CHANGED = "has changed"


def read_pairs(folder: Path) -> Iterator[Line]:
    """The lines of the pairs of a plain set, in the order of the manifest.

    Damaged lines, and pairs that `synthmed filter` dropped, are left out.
    """
    with open(Path(folder) / FILE, "rb") as lines:
        yield from (line for line in map(parse_pair, lines) if line and "dropped" not in line)


def parse_pair(text: bytes) -> Line | None:
    """The line of a pair, or None if the text is something else or damaged."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    is_pair = isinstance(line, dict) and isinstance(line.get("index"), int) and 0 <= line["index"] <= LARGEST_INDEX
    return line if is_pair else None


def files_of(line: Line) -> list[Line]:
    """The files that a line lists, as `{"file", "size", "sha256"}`; the size is None in older sets.

    A pair that `synthmed filter` dropped has none.
    """
    if "file" in line:
        return [line]
    if f"{FOLDERS[0]}_sha256" not in line or "dropped" in line:
        return []
    name = file_name(line["index"])
    return [
        {"file": f"{folder}/{name}", "size": line.get(f"{folder}_size"), "sha256": line[f"{folder}_sha256"]}
        for folder in FOLDERS
    ]


def fault(folder: Path, file: Line, read: bool) -> str | None:
    """What is wrong with a file, or None.

    Args:
        folder: of the set.
        file: one of `files_of`.
        read: whether to read the file, or to compare its size only.
    """
    path = folder / file["file"]
    try:
        size = path.stat().st_size
        if file["size"] not in (size, None):
            return f"has {size} bytes, not {file['size']}"
        return CHANGED if read and files.sha256(path) != file["sha256"] else None
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        if stores.in_store(path):
            raise  # it says nothing about this file
        return f"cannot be read ({error.strerror})"


def is_true(folder: Path, line: Line, read: bool) -> bool:
    """Whether all files of a line are there, as the line says; the arguments are those of `fault`."""
    return not any(fault(folder, file, read) for file in files_of(line))
