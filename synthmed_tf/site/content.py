"""What the pages show, read from a repository; a file is compared with what was announced before it is shown."""

import json
from pathlib import Path
from typing import TypeVar

import pydantic

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.entry import ENTRY, INDEX, TOMBSTONE, Entry, File, Index, Row, Tombstone

_Model = TypeVar("_Model", bound=pydantic.BaseModel)
REPORT = "report/report.json"


class Content:
    """A repository on this machine.

    Attributes:
        folder: its folder.
        index: its search index.
    """

    def __init__(self, folder: Path):
        """Reads the index.

        Raises:
            SynthMedError: the folder holds no repository, or a damaged one.
        """
        self.folder = Path(folder)
        self.targets = self.folder / "targets"
        if not (self.targets / INDEX).is_file():
            raise SynthMedError(f"{folder} is not a repository: it has no targets/{INDEX}; see synthmed repository.")
        self.index = _read(self.targets / INDEX, Index)

    def entry(self, row: Row) -> Entry:
        """A version in circulation."""
        entry = _read(self._place(row) / ENTRY, Entry)
        _check_name(entry, row)
        return entry

    def tombstone(self, row: Row) -> Tombstone:
        """A version that was withdrawn."""
        tombstone = _read(self._place(row) / TOMBSTONE, Tombstone)
        _check_name(tombstone, row)
        return tombstone

    def verified(self, entry: Entry, path: str) -> Path:
        """A file of a version, once it has the size and SHA-256 that the entry announces.

        Raises:
            SynthMedError: it is not announced, not there, or another one.
        """
        announced = announced_file(entry, path)
        place = self._place(entry) / path
        if place.is_symlink() or not place.is_file():
            raise SynthMedError(f"{place} is announced and not there; restore the repository from a copy.")
        if place.stat().st_size != announced.size or files.sha256(place) != announced.sha256:
            raise SynthMedError(f"{place} is not the file that {ENTRY} announces; restore the repository from a copy.")
        return place

    def _place(self, of: Row | Entry) -> Path:
        return self.targets / of.name / of.version


def announced_file(entry: Entry, path: str) -> File:
    """What the entry says of one of its files."""
    for file in entry.files:
        if file.path == path:
            return file
    raise SynthMedError(f"{entry.name}@{entry.version} names {path!r}, which its files do not list; publish it again.")


def _check_name(found: Entry | Tombstone, row: Row) -> None:
    if (found.name, found.version) != (row.name, row.version):
        raise SynthMedError(f"The folder of {row.id} holds {found.name}@{found.version}; restore it from a copy.")


def _read(path: Path, model: type[_Model]) -> _Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SynthMedError(f"{path} cannot be read ({error.strerror}); restore it from a copy.") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its JSON"
        raise SynthMedError(
            f"{path} is damaged at {place} ({json.dumps(first['msg'])}); restore it from a copy."
        ) from error
