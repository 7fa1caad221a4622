"""A repository as its readers see it: nothing is believed that The Update Framework's signatures do not cover.

The first contact takes the repository's root of trust as it is, or demands the one that was named; what was seen is kept
(`~/.cache/synthmed/repositories/`), so that no later contact can be shown an older state.
"""

import hashlib
import os
import shutil
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pydantic
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets
from tuf.ngclient import Updater, UpdaterConfig

from synthmed_tf.errors import SynthMedError
from synthmed_tf.files import write_bytes
from synthmed_tf.repository import faults
from synthmed_tf.repository.entry import ENTRY, INDEX, Entry, Index, Row, number, split
from synthmed_tf.repository.fetching import Source
from synthmed_tf.repository.paths import check_distinct, plain, safe

LIMITS = UpdaterConfig(
    root_max_length=512_000,
    timestamp_max_length=16_384,
    snapshot_max_length=8_000_000,
    targets_max_length=32_000_000,
    prefix_targets_with_hash=False,
)
MOST_INDEX_BYTES = 64_000_000
MOST_ENTRY_BYTES = 64_000_000
_ANCHOR = "anchor.json"
_METADATA = "metadata"
_ROOT = "metadata/1.root.json"

Model = TypeVar("Model", bound=pydantic.BaseModel)


@dataclass(frozen=True)
class Trust:
    """What the reader demands of a repository's root of trust; None is nothing.

    Attributes:
        root: the bytes of a `root.json` that was had in another way.
        fingerprint: the SHA-256 of the repository's `1.root.json`.
    """

    root: bytes | None = None
    fingerprint: str | None = None


def cache_folder() -> Path:
    """Where readers keep what they have seen: `$XDG_CACHE_HOME/synthmed`, or `~/.cache/synthmed`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synthmed"


class Repository:
    """One source, as its newest signed state has it.

    Attributes:
        source: its address.
        fingerprint: of its root of trust.
        is_new: whether nothing of it had been seen before.
        index: the search index.
    """

    def __init__(self, source: Source, trust: Trust = Trust(), cache: Path | None = None):
        """Reads the newest state.

        Args:
            source: its address.
            trust: what is demanded of its root.
            cache: for what is seen; `cache_folder()` if left.

        Raises:
            SynthMedError: it is no repository, cannot be reached, or its metadata is not to be trusted, and why.
        """
        self.source = source
        self._kept = (cache or cache_folder()) / "repositories" / source.digest
        anchor, self.is_new = self._anchor(trust)
        self.fingerprint = hashlib.sha256(anchor).hexdigest()
        self._root = anchor
        self._updater = self._refreshed()
        self.index = self._read_index()

    def refresh(self) -> None:
        """Reads the newest state again.

        Raises:
            SynthMedError: as when it was read first.
        """
        self._updater = self._refreshed()
        self.index = self._read_index()

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
        except (faults.Untrusted, faults.Unreachable):
            self.refresh()  # a publisher may have written in between
            return self._entry(self.row(name, version))

    def versions(self) -> tuple[str, ...]:
        """All that files are signed for, such as `retina-chase@1.0.0`, in circulation or not."""
        return tuple(self._role("targets").delegations.roles or ())

    def newest(self) -> dict[str, int]:
        """The version of each metadata file that counts now, by role."""
        snapshot, root = (self._kept / _METADATA / f"{role}.json" for role in ("snapshot", "root"))
        signed = Metadata[Snapshot].from_bytes(snapshot.read_bytes()).signed
        versions = {name.removesuffix(".json"): meta.version for name, meta in signed.meta.items()}
        versions["root"] = Metadata[Root].from_bytes(root.read_bytes()).signed.version
        return versions | {"snapshot": signed.version}

    def announced(self, name_and_version: str) -> dict[str, TargetFile]:
        """The files that are signed for a version, by their path below `targets/`.

        Raises:
            SynthMedError: the metadata is not to be trusted.
        """
        with faults.as_sentences(self.source):
            self._updater.get_targetinfo(f"{name_and_version.replace('@', '/')}/{ENTRY}")  # reads the version's role
        try:
            return self._role(name_and_version).targets
        except FileNotFoundError as error:
            raise SynthMedError(
                f"{self.source}: nobody may sign for {name_and_version}; restore the metadata from the publisher's copy."
            ) from error

    def target(self, path: str) -> TargetFile:
        """Length and hashes of a file below `targets/`, as signed.

        Raises:
            SynthMedError: it is not announced, or the metadata is not to be trusted.
        """
        with faults.as_sentences(self.source):
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
        with faults.as_sentences(self.source):
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

    def _role(self, name: str) -> Targets:
        """As the updater has verified and kept it: asking it file by file goes through all versions each time."""
        kept = self._kept / _METADATA / f"{urllib.parse.quote(name, '')}.json"
        return Metadata[Targets].from_bytes(kept.read_bytes()).signed

    def _read_index(self) -> Index:
        # Under its hash, so that a publisher who writes a new one meanwhile does not change this one.
        return self._parsed(Index, INDEX, MOST_INDEX_BYTES, prefixed=True)

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
        updater = Updater(
            metadata_dir=str(self._kept / _METADATA),
            metadata_base_url=f"{self.source.url}metadata/",
            fetcher=self.source,
            config=LIMITS,
            bootstrap=self._root,
        )
        with faults.as_sentences(self.source):
            updater.refresh()
        return updater

    def _anchor(self, trust: Trust) -> tuple[bytes, bool]:
        """The root of trust, and whether it was not known."""
        place = self._kept / _ANCHOR
        known = place.read_bytes() if place.is_file() else None
        if known is not None and _agrees(known, trust):
            return known, False
        found = trust.root
        if found is None:
            with faults.as_sentences(self.source):
                found = self.source.download_bytes(f"{self.source.url}{_ROOT}", LIMITS.root_max_length)
        if not _agrees(found, trust):
            raise SynthMedError(
                f"{self.source} has a root with the fingerprint {hashlib.sha256(found).hexdigest()}, not "
                f"{plain(trust.fingerprint, 70)}; ask the publisher, and do not use it until you know."
            )
        with faults.as_sentences(self.source, _ROOT):
            root = Metadata[Root].from_bytes(found)
            root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
        # What was seen under another root says nothing of this one.
        shutil.rmtree(self._kept, ignore_errors=True)
        (self._kept / _METADATA).mkdir(parents=True)
        write_bytes(place, found)
        return found, True


def _agrees(root: bytes, trust: Trust) -> bool:
    wanted = (trust.fingerprint or "").replace(":", "").replace(" ", "").lower()
    return root == (trust.root or root) and wanted in ("", hashlib.sha256(root).hexdigest())


def _withdrawn(row: Row) -> str:
    reason = plain(row.withdrawn.reason, 500).rstrip(". ")
    return f"{row.id} was withdrawn on {row.withdrawn.date:%Y-%m-%d}: {reason}; do not use it any more."


def first_fault(error: pydantic.ValidationError) -> str:
    """The first thing that is wrong with a file's fields."""
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, fault["loc"]))
    return plain(f"{where}: {fault['msg']}" if where else fault["msg"])
