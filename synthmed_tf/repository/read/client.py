"""The reader's view of a repository: only what the signatures of The Update Framework cover is trusted.

The first contact trusts the repository's root as it is, or requires the one that was named. Verified metadata is cached
(`~/.cache/synthmed/repositories/`), so that a later contact cannot be shown an older state.
"""

import hashlib
from pathlib import Path
from typing import TypeVar

import pydantic
from tuf.api.metadata import TargetFile
from tuf.ngclient import Updater

from synthmed_tf.errors import SynthMedError
from synthmed_tf.files import cache_folder
from synthmed_tf.repository.entry import ENTRY, INDEX, Entry, Index, Row, number, split
from synthmed_tf.repository.paths import check_distinct, plain, safe
from synthmed_tf.repository.read import tuf_errors
from synthmed_tf.repository.read.client_cache import LIMITS, ClientCache, Trust
from synthmed_tf.repository.read.fetching import Source

MOST_INDEX_BYTES = 64_000_000
MOST_ENTRY_BYTES = 64_000_000

Model = TypeVar("Model", bound=pydantic.BaseModel)


class Repository:
    """One source, as its newest signed state has it.

    Attributes:
        source: its address.
        fingerprint: of its root of trust.
        is_new: whether nothing of it had been seen before.
        index: the search index.
    """

    def __init__(self, source: Source, trust: Trust | None = None, cache: Path | None = None):
        """Reads the newest state.

        Args:
            source: its address.
            trust: what its root must be; anything if omitted.
            cache: of verified metadata; `cache_folder()` if omitted.

        Raises:
            SynthMedError: it is no repository, cannot be reached, or its metadata is not to be trusted, and why.
        """
        self.source = source
        self._cache = ClientCache(source, Path(cache or cache_folder()))
        with self._cache.alone():
            self._root, self.is_new = self._cache.anchor(trust or Trust())
        self.fingerprint = hashlib.sha256(self._root).hexdigest()
        self.refresh()

    def refresh(self) -> None:
        """Reads the newest state again.

        Raises:
            SynthMedError: as when it was read first.
        """
        self._updater = self._refreshed()
        # Under its hash, so that a publisher who writes a new one meanwhile does not change this one.
        self.index = self._parsed(Index, INDEX, MOST_INDEX_BYTES, prefixed=True)

    def row(self, name: str, version: str | None = None) -> Row:
        """The version of a set in the index, the newest in circulation if none is named.

        Raises:
            SynthMedError: there is none, or it was withdrawn: when and why.
        """
        rows = [row for row in self.index.entries if row.name == name]
        if not rows:
            raise SynthMedError(f"{self.source} has no set {plain(name, 80)}; synthmed search shows what it has.")
        if version is not None:
            rows = [row for row in rows if row.version == version]
            if not rows:
                raise SynthMedError(
                    f"{self.source} has no version {plain(version, 40)} of {name}; leave the version out."
                )
        there = [row for row in rows if row.withdrawn is None]
        if not there:
            raise SynthMedError(_withdrawn(max(rows, key=lambda row: number(row.version))))
        return max(there, key=lambda row: number(row.version))

    def entry(self, name_and_version: str) -> Entry:
        """What `entry.json` says of `retina-chase@1.0.0`, or of the newest version of `retina-chase` in circulation.

        Its files are sure to lie in the version's folder, each at a place of its own, and to be those that are signed.

        Raises:
            SynthMedError: there is none, it was withdrawn, or it is not what it should be.
        """
        name, version = split(name_and_version)
        try:
            return self._entry(self.row(name, version))
        except (tuf_errors.Untrusted, tuf_errors.Unreachable):
            self.refresh()  # a publisher may have written in between
            return self._entry(self.row(name, version))

    def versions(self) -> tuple[str, ...]:
        """All that files are signed for, such as `retina-chase@1.0.0`, in circulation or not."""
        delegations = self._cache.role("targets").delegations
        return tuple(delegations and delegations.roles or ())

    def newest(self) -> dict[str, int]:
        """The version of each metadata file that counts now, by role."""
        return self._cache.newest()

    def announced(self, name_and_version: str) -> dict[str, TargetFile]:
        """The files that are signed for a version, by their path below `targets/`.

        Raises:
            SynthMedError: the metadata is not to be trusted.
        """
        with self._cache.clearly(), tuf_errors.as_sentences(self.source):
            self._updater.get_targetinfo(f"{name_and_version.replace('@', '/')}/{ENTRY}")  # reads the version's role
        try:
            return self._cache.role(name_and_version).targets
        except FileNotFoundError as error:
            raise SynthMedError(
                f"{self.source}: nobody may sign for {plain(name_and_version, 80)}; restore the metadata from the "
                "publisher's copy."
            ) from error

    def target(self, path: str) -> TargetFile:
        """Length and hashes of a file below `targets/`, as signed.

        Raises:
            SynthMedError: it is not announced, or the metadata is not to be trusted.
        """
        with self._cache.clearly(), tuf_errors.as_sentences(self.source):
            found = self._updater.get_targetinfo(path)
        if found is None:
            raise SynthMedError(f"{self.source}: {path} is not announced by the signed metadata; do not use it.")
        return found

    def read(self, path: str, most: int, prefixed: bool = False) -> bytes:
        """A file below `targets/`, which is what is signed.

        Args:
            path: below `targets/`.
            most: bytes that are taken.
            prefixed: whether it is stored under its SHA-256 and its name.

        Raises:
            SynthMedError: it is missing, larger, or not what is signed.
        """
        target = self.target(path)
        place = target.get_prefixed_paths()[0] if prefixed else path
        if target.length > most:
            raise SynthMedError(
                f"{self.source}: {path} has {target.length} bytes where {most} are allowed; do not use it."
            )
        with tuf_errors.as_sentences(self.source):
            content = self.source.download_bytes(self.source.target_url(place), target.length)
            target.verify_length_and_hashes(content)
        return content

    def _entry(self, row: Row) -> Entry:
        folder = f"{row.name}/{row.version}"
        entry = self._parsed(Entry, f"{folder}/{ENTRY}", MOST_ENTRY_BYTES)
        if (entry.name, entry.version) != (row.name, row.version):
            raise SynthMedError(
                f"{self.source}: {folder}/{ENTRY} is that of {entry.name}@{entry.version}; do not use it."
            )
        check_distinct([ENTRY, *(safe(file.path) for file in entry.files)])
        announced = self.announced(row.id)
        for file in entry.files:
            target = announced.get(f"{folder}/{file.path}")
            if target is None or (target.length, target.hashes.get("sha256")) != (file.size, file.sha256):
                raise SynthMedError(
                    f"{self.source}: {folder}/{ENTRY} says of {file.path} what is not signed; do not use it."
                )
        return entry

    def _parsed(self, model: type[Model], path: str, most: int, prefixed: bool = False) -> Model:
        content = self.read(path, most, prefixed)
        try:
            return model.model_validate_json(content)
        except pydantic.ValidationError as error:
            raise SynthMedError(
                f"{self.source}: {path} is not what this program reads ({first_fault(error)}); install a newer "
                "synthmed_tf, or tell the publisher."
            ) from error

    def _refreshed(self) -> Updater:
        with self._cache.alone(), tuf_errors.as_sentences(self.source):
            updater = Updater(
                metadata_dir=str(self._cache.metadata),
                metadata_base_url=f"{self.source.url}metadata/",
                fetcher=self.source,
                config=LIMITS,
                bootstrap=self._root,
            )
            updater.refresh()
        return updater


def _withdrawn(row: Row) -> str:
    assert row.withdrawn
    reason = plain(row.withdrawn.reason, 500).rstrip(". ")
    return f"{row.id} was withdrawn on {row.withdrawn.date:%Y-%m-%d}: {reason}; do not use it any more."


def first_fault(error: pydantic.ValidationError) -> str:
    """The first thing that is wrong with a file's fields."""
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, fault["loc"]))
    return plain(f"{where}: {fault['msg']}" if where else fault["msg"])
