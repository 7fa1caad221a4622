"""What a set says of its files, line by line, and whether it is true.

A line is a pair of a png set (`index`, `images_sha256`, `masks_sha256`, ...), a file (`file`, `size`, `sha256`), or
stands at the head or the end of a shard.
"""

from pathlib import Path

from synthmed_tf import files
from synthmed_tf.generation.formats.base import Line
from synthmed_tf.generation.formats.png import FOLDERS, file_name

FILE = "manifest.jsonl"
MISSING = "is missing"
CHANGED = "has changed"


def files_of(line: Line) -> list[Line]:
    """The files that a line tells of, as `{"file", "size", "sha256"}`; older sets have no sizes: None.

    Those of a pair that `synthmed filter` dropped are not there.
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
        file: its line.
        read: whether to read it, or to look at its size alone.
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
        return f"cannot be read ({error.strerror})"
