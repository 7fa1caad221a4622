"""Results that took long, kept by what they were made from, so that the same command goes on where it was."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synthmed_tf import files

Arrays = dict[str, np.ndarray]


class Cache:
    """A folder of arrays, one file for each name and key."""

    def __init__(self, folder: Path):
        """Keeps the path; the folder is made with the first result."""
        self.folder = Path(folder)

    def arrays(self, name: str, key: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
        """What `compute` gives, or gave when it was called with this key.

        Args:
            name: what it is, for people.
            key: all that it depends on, as JSON; other values are another result. A change of the code that changes
                the result must change the key.
            compute: called where there is no result, or a damaged one.
        """
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        file = self.folder / f"{name}-{digest}.npz"
        kept = _read(file)
        if kept is None:
            kept = compute()
            with files.replaced_file(file) as new:
                np.savez(new, **kept)
        return kept


def _read(file: Path) -> Arrays | None:
    try:
        with np.load(file) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
