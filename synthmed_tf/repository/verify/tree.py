"""What lies in a repository's folder, without following or opening anything."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_FILES = 2_000_000


@dataclass(frozen=True)
class Found:
    """A file, or what is there in the place of one.

    Attributes:
        path: below the repository, with `/`; bytes that are no UTF-8 as surrogates.
        fault: what is wrong with its kind; None of a plain file.
    """

    path: str
    fault: str | None


def walk(folder: Path) -> Iterator[Found]:
    """All that is no folder, and folders that are empty or cannot be read; in no order."""
    waiting, count = [""], 0
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(folder / place) as listed:
                inside = list(listed)
        except OSError as error:
            yield Found(place, f"cannot be read ({error.strerror})")
            continue
        if not inside and place:
            yield Found(place, "is an empty folder")
        for item in inside:
            path = f"{place}/{item.name}" if place else item.name
            if item.is_dir(follow_symlinks=False):
                waiting.append(path)
                continue
            count += 1
            yield Found(path, _fault(item))
            if count == MOST_FILES:
                yield Found(path, f"is one of more than {MOST_FILES} files")
                return


def _fault(item: os.DirEntry) -> str | None:
    try:
        mode = item.stat(follow_symlinks=False).st_mode
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if stat.S_ISLNK(mode):
        return "is a link"
    if not stat.S_ISREG(mode):
        return "is no regular file"
    return "is marked executable" if mode & 0o111 else None
