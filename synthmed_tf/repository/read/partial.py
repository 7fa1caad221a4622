"""A file that is being fetched, of which a part may be there from an earlier time."""

import hashlib
from typing import BinaryIO


class Partial:
    """What there is of it, with its SHA-256.

    Attributes:
        size: in bytes.
    """

    def __init__(self, opened: BinaryIO, most: int):
        """Reads what there is.

        Args:
            opened: the file, opened to be read and appended to.
            most: bytes; what is longer cannot be a part, and is thrown away.
        """
        self._file, self.size, self._digest = opened, 0, hashlib.sha256()
        opened.seek(0)
        while block := opened.read(1 << 20):
            self._digest.update(block)
            self.size += len(block)
        if self.size > most:
            self.empty()

    @property
    def sha256(self) -> str:
        """As hexadecimal digits."""
        return self._digest.hexdigest()

    def add(self, part: bytes) -> None:
        """Writes what comes next, so that it is there whatever becomes of the process."""
        self._file.write(part)
        self._file.flush()
        self._digest.update(part)
        self.size += len(part)

    def empty(self) -> int:
        """Begins again; returns how much there was."""
        there, self.size, self._digest = self.size, 0, hashlib.sha256()
        self._file.truncate(0)
        return there
