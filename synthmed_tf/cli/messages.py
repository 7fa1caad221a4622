"""What commands say about paths: safe to show on a terminal, and safe to copy into a shell."""

import os
import re
import shlex

_WINDOWS_PATH = re.compile(r"(?<![\w/.])[A-Za-z]:[\\/]|(?<!\S)\\\\\w")


def failure(error: Exception) -> str:
    """The line that says why a command ends.

    A control character in a name, or a byte that is not UTF-8, is shown as its escape sequence. Where the message
    holds a Windows path and the system is not Windows, the line also says how to write that path here.

    Example:
        >>> failure(ValueError("a\\nb is missing."))
        'a\\\\nb is missing.'
    """
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(error))
    if os.name != "nt" and _WINDOWS_PATH.search(line):
        line += (
            r" This looks like a Windows path: in WSL C:\data is /mnt/c/data; in a container, name the path at which "
            "the folder is mounted."
        )
    return line


def quoted(path: str | os.PathLike[str]) -> str:
    """A path as a shell takes it, for a command that the user may copy."""
    return shlex.quote(str(path))
