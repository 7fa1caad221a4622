"""What the pages show: only what the repository's signatures cover, and only files that are what was signed."""

import os
import shutil
from pathlib import Path

import pydantic

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.entry import ENTRY, INDEX, TOMBSTONE, Entry, File, Row, Tombstone
from synthmed_tf.repository.paths import safe
from synthmed_tf.repository.read.client import Repository
from synthmed_tf.repository.read.fetching import Source

_MOST_TOMBSTONE_BYTES = 1_000_000
_TIMESTAMP = "timestamp.json"


class Content:
    """A repository on this machine.

    Attributes:
        index: its search index.
    """

    def __init__(self, folder: Path, scratch: Path):
        """Verifies the newest state.

        Args:
            folder: the repository.
            scratch: an empty folder to keep metadata in.

        Raises:
            SynthMedError: the folder holds no repository, or one that is not to be trusted.
        """
        self._folder = Path(folder)
        if not (self._folder / "metadata" / _TIMESTAMP).is_file():
            raise SynthMedError(f"{folder} is not a repository: it has no metadata/{_TIMESTAMP}; name another folder.")
        self._stamp = self._timestamp()
        self._signed = Repository(Source(str(folder)), cache=scratch)
        self.fingerprint = self._signed.fingerprint
        self.index = self._signed.index

    def entry(self, row: Row) -> Entry:
        """A version in circulation."""
        return self._signed.entry(row.id)

    def tombstone(self, row: Row) -> Tombstone:
        """A version that was withdrawn."""
        path = f"{row.name}/{row.version}/{TOMBSTONE}"
        try:
            return Tombstone.model_validate_json(self._signed.read(path, _MOST_TOMBSTONE_BYTES))
        except pydantic.ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"]))
            raise SynthMedError(f"{path} is damaged at {place}; withdraw the version again.") from error

    def verified(self, entry: Entry, path: str) -> Path:
        """A file of a version, once it is seen to be the one that is signed.

        Raises:
            SynthMedError: it is not announced, not there, or another one.
        """
        announced = announced_file(entry, path)
        place = self._folder / "targets" / entry.name / entry.version / safe(path)
        if place.is_symlink() or not place.is_file():
            raise SynthMedError(f"{place} is announced and not there; see synthmed repository check.")
        if place.stat().st_size != announced.size or files.sha256(place) != announced.sha256:
            raise SynthMedError(f"{place} is not the file that is signed; see synthmed repository check.")
        return place

    def place_beside(self, out: Path, entries: list[Entry], withdrawn: list[Row], borrowed: bool) -> None:
        """Puts the repository into a folder, by links to the same files where the disk allows it.

        What is not announced stays behind.

        Args:
            out: the folder.
            entries: in circulation.
            withdrawn: rows of the others.
            borrowed: whether files on another disk are symbolic links, not copies.

        Raises:
            SynthMedError: somebody has published in between.
        """
        paths = [Path("targets", INDEX)]
        paths += [Path("targets", row.name, row.version, TOMBSTONE) for row in withdrawn]
        for entry in entries:
            folder = Path("targets", entry.name, entry.version)
            paths += [folder / ENTRY, *(folder / file.path for file in entry.files)]
        signed = [*self._folder.glob("metadata/*.json"), *self._folder.glob(f"targets/*.{INDEX}")]
        for path in [*paths, *(path.relative_to(self._folder) for path in sorted(signed))]:
            _place(self._folder / path, out / path, borrowed)
        if self._timestamp() != self._stamp:
            raise SynthMedError("The repository has changed while its pages were made; run the same command again.")

    def _timestamp(self) -> bytes:
        return (self._folder / "metadata" / _TIMESTAMP).read_bytes()


def announced_file(entry: Entry, path: str) -> File:
    """What the entry says of one of its files.

    Raises:
        SynthMedError: nothing.
    """
    for file in entry.files:
        if file.path == path:
            return file
    raise SynthMedError(f"{entry.name}@{entry.version} names {path}, which is none of its files; publish it again.")


def _place(file: Path, place: Path, borrowed: bool) -> None:
    if file.is_symlink():
        raise SynthMedError(f"{file} is a link, which a repository must not hold; see synthmed repository check.")
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, place)
    except OSError:  # another disk, or one without links
        if borrowed:
            place.symlink_to(file.resolve())
        else:
            shutil.copyfile(file, place)
