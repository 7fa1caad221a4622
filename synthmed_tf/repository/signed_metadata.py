"""The signed metadata of a repository on the publisher's side: read and verified, changed, signed and written.

It is a chain: the root says whose keys count, the timestamp names the snapshot, the snapshot the targets and the roles
of the versions, and these the files. Clients do not see what `timestamp.json` does not name yet.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import DelegatedRole, Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.entry import INDEX, Index
from synthmed_tf.repository.keys import Signers

METADATA = "metadata"
TARGETS = "targets"
KEPT = 8
"""Superseded versions of a role that stay, for clients that are just reading."""

_DAYS = "x-synthmed-expires-days"
_NUMBERED = re.compile(r"(\d+)\.(.+)\.json")


@dataclass
class Chain:
    """The metadata that `timestamp.json` stands for.

    Attributes:
        repository: its folder.
        root, timestamp, snapshot, targets: verified.
    """

    repository: Path
    root: Metadata[Root]
    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]

    @staticmethod
    def check(repository: Path) -> None:
        """Raises SynthMedError where a folder is no repository."""
        if not (repository / METADATA / "1.root.json").is_file():
            raise SynthMedError(f"{repository} is not a repository; make one with synthmed repository init.")

    @classmethod
    def read(cls, repository: Path) -> "Chain":
        """Reads and verifies, whether or not it has expired.

        Raises:
            SynthMedError: there is no repository, or a file is missing, damaged or signed by other keys.
        """
        cls.check(repository)
        folder = repository / METADATA
        root = _read_root(folder)
        timestamp = _read(folder / "timestamp.json", root.signed, "timestamp")
        meta = timestamp.signed.snapshot_meta
        snapshot = _read(folder / f"{meta.version}.snapshot.json", root.signed, "snapshot", meta)
        meta = snapshot.signed.meta["targets.json"]
        targets = _read(folder / f"{meta.version}.targets.json", root.signed, "targets", meta)
        return cls(repository, root, timestamp, snapshot, targets)

    @property
    def names(self) -> set[str]:
        """The roles of the versions, such as `retina-chase@1.0.0`."""
        delegations = self.targets.signed.delegations
        return set(delegations.roles or ()) if delegations else set()

    def role(self, name: str) -> Metadata[Targets]:
        """What is announced of a version.

        Raises:
            SynthMedError: it is missing, damaged or signed by other keys.
        """
        meta = self.snapshot.signed.meta[f"{name}.json"]
        return _read(self._file(f"{meta.version}.{name}"), self.targets.signed, name, meta)

    def announced(self, name: str) -> dict[str, TargetFile]:
        """The files of a version by their path below `targets/`; none where there is no such version."""
        return self.role(name).signed.targets if name in self.names else {}

    def target(self, name: str, path: str) -> bytes:
        """A small file of a version.

        Args:
            name: the version's role.
            path: below `targets/`.

        Raises:
            SynthMedError: it is missing, damaged or not announced.
        """
        announced = self.announced(name).get(path)
        if announced is None:
            raise SynthMedError(f"{path} is not announced by {name}; look into it with synthmed repository check.")
        return self._verified(announced, path)

    def index(self) -> Index:
        """The search index.

        Raises:
            SynthMedError: it is missing, damaged or another one.
        """
        return Index.model_validate_json(self._index_bytes())

    def announce_index(self, index: Index) -> None:
        """Writes a new index where nobody looks for one yet, and has the targets name it."""
        content = _encode(index)
        announced = TargetFile.from_data(INDEX, content, ["sha256"])
        files.write_bytes(self.repository / TARGETS / announced.get_prefixed_paths()[0], content, durable=True)
        self.targets.signed.targets[INDEX] = announced

    def copy_index(self) -> None:
        """Lets `repository.json` be the index that is announced."""
        content, copy = self._index_bytes(), self.repository / TARGETS / INDEX
        if not copy.is_file() or copy.read_bytes() != content:
            files.write_bytes(copy, content)

    def _index_bytes(self) -> bytes:
        announced = self.targets.signed.targets[INDEX]
        return self._verified(announced, announced.get_prefixed_paths()[0])

    def _verified(self, announced: TargetFile, path: str) -> bytes:
        try:
            content = (self.repository / TARGETS / path).read_bytes()
            announced.verify_length_and_hashes(content)
        except (OSError, RepositoryError) as error:
            raise _damaged(self.repository / TARGETS / path, error) from error
        return content

    def delegate(self, name: str, announced: Mapping[str, TargetFile], signers: Signers) -> Metadata[Targets]:
        """The new metadata of a version's role, to be committed; the targets delegate to it.

        Args:
            name: such as `retina-chase@1.0.0`.
            announced: its files, by their path below `targets/`.
            signers: by role.
        """
        role = self.role(name) if name in self.names else unsigned(Targets())
        role.signed.targets = dict(announced)
        # A pattern's * does not cross a slash, so there is one for each depth; a tombstone lies at the first.
        folder = "/".join(name.split("@"))
        depths = {1} | {path.count("/") - 1 for path in announced}
        paths = [folder + "/*" * depth for depth in range(1, max(depths) + 1)]
        key = signers["targets"].public_key
        _roles(self.targets.signed)[name] = DelegatedRole(name, [key.keyid], 1, True, paths)
        return role

    def hand_over(self, signer: CryptoSigner) -> None:
        """Delegates all versions to a new key; their roles are still to be signed with it."""
        key, delegations = signer.public_key, self.targets.signed.delegations
        assert delegations is not None
        delegations.keys = {key.keyid: key}
        for role in _roles(self.targets.signed).values():
            role.keyids = [key.keyid]

    def commit(self, signers: Signers, changed: Mapping[str, Metadata[Targets]]) -> None:
        """Signs and writes what has changed, and the timestamp last: with it all of it is there.

        Args:
            signers: of timestamp and, where anything has changed, snapshot and targets.
            changed: `targets` and roles of versions.

        Raises:
            OSError: a file cannot be written.
        """
        for name, metadata in changed.items():
            content = self._sign(metadata, signers["targets"], "targets")
            version = metadata.signed.version
            files.write_bytes(self._file(f"{version}.{name}"), content, durable=True)
            self.snapshot.signed.meta[f"{name}.json"] = MetaFile.from_data(version, content, ["sha256"])
        if changed:
            self.renew_snapshot(signers)
        files.write_bytes(
            self._file("timestamp"), self._sign(self.timestamp, signers["timestamp"], "timestamp"), durable=True
        )

    def renew_snapshot(self, signers: Signers) -> None:
        """Signs and writes a new snapshot; the timestamp that names it is still to be committed."""
        content = self._sign(self.snapshot, signers["snapshot"], "snapshot")
        version = self.snapshot.signed.version
        files.write_bytes(self._file(f"{version}.snapshot"), content, durable=True)
        self.timestamp.signed.snapshot_meta = MetaFile.from_data(version, content, ["sha256"])

    def renew_root(self, signers: Iterable[CryptoSigner]) -> None:
        """Signs and writes the next root, which counts from this moment."""
        root = self.root.signed
        root.version += 1
        root.expires = _in_days(days(root, "root"))
        self.root.signatures.clear()
        for signer in signers:
            self.root.sign(signer, append=True)
        files.write_bytes(self._file(f"{root.version}.root"), self.root.to_bytes(), durable=True)

    def prune(self) -> None:
        """Removes metadata and indexes that were superseded long ago, or were never announced. Roots all stay."""
        current = {name.removesuffix(".json"): meta.version for name, meta in self.snapshot.signed.meta.items()}
        current["snapshot"] = self.timestamp.signed.snapshot_meta.version
        indexes = set()
        for path in (self.repository / METADATA).iterdir():
            found = _NUMBERED.fullmatch(path.name)
            if not found or found[2] == "root":
                continue
            if not 0 <= current.get(found[2], -1) - int(found[1]) <= KEPT:
                path.unlink()
            elif found[2] == "targets":
                indexes.add(_load(path).signed.targets[INDEX].get_prefixed_paths()[0])
        for path in (self.repository / TARGETS).glob(f"*.{INDEX}"):
            if path.name not in indexes:
                path.unlink()

    def _sign(self, metadata: Metadata[Any], signer: CryptoSigner, role: str) -> bytes:
        metadata.signed.version += 1
        metadata.signed.expires = _in_days(days(self.root.signed, role))
        metadata.sign(signer)
        return metadata.to_bytes()

    def _file(self, name: str) -> Path:
        return self.repository / METADATA / f"{name}.json"


def _roles(targets: Targets) -> dict[str, DelegatedRole]:
    """The roles that sign for versions; they are always listed by name."""
    assert targets.delegations is not None and targets.delegations.roles is not None
    return targets.delegations.roles


def unsigned(signed: Signed) -> Metadata[Any]:
    """Metadata that is not written yet: the first signature makes it version 1."""
    signed.version = 0
    return Metadata(signed)


def set_days(root: Root, role: str, count: int) -> None:
    """States in the root for how many days a signature of a role is good."""
    root.roles[role].unrecognized_fields[_DAYS] = count


def days(root: Root, role: str) -> int:
    """For how many days a signature of a role is good."""
    return int(root.roles[role].unrecognized_fields[_DAYS])


def _encode(index: Index) -> bytes:
    """A line a version, for people and for tools that compare."""
    head = index.model_copy(update={"entries": ()}).model_dump_json().removesuffix("]}")
    rows = ",\n".join(row.model_dump_json() for row in index.entries)
    return f"{head}\n{rows}\n]}}\n".encode()


def _in_days(count: int) -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=count)


def _read_root(folder: Path) -> Metadata[Root]:
    """The newest root, reached from the first through the signatures of each on the next."""
    root = _load(folder / "1.root.json")
    trusted = root.signed
    for version in itertools.count(1):
        path = folder / f"{version}.root.json"
        if not path.is_file():
            break
        root = _read(path, trusted, "root", MetaFile(version))
        _verify(path, root, root.signed, "root")
        trusted = root.signed
    return root


def _read(path: Path, delegator: Root | Targets, role: str, meta: MetaFile | None = None) -> Metadata[Any]:
    metadata = _load(path, meta)
    _verify(path, metadata, delegator, role)
    if meta is not None and metadata.signed.version != meta.version:
        raise SynthMedError(f"{path} is of version {metadata.signed.version}; restore it from the host or a backup.")
    return metadata


def _load(path: Path, meta: MetaFile | None = None) -> Metadata[Any]:
    try:
        content = path.read_bytes()
        if meta is not None:
            meta.verify_length_and_hashes(content)
        return Metadata.from_bytes(content)
    except (OSError, RepositoryError) as error:
        raise _damaged(path, error) from error


def _verify(path: Path, metadata: Metadata[Any], delegator: Root | Targets, role: str) -> None:
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> SynthMedError:
    if isinstance(error, OSError):
        return SynthMedError(f"{path} cannot be read ({error.strerror}); restore it from the host or a backup.")
    return SynthMedError(f"{path} is not as it was signed ({error}); restore it from the host or a backup.")
