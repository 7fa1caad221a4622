"""The cache of a reader: the root of a repository that it trusts, and the metadata that it has verified.

<cache>/repositories/<digest of the address>/anchor.json    the root of trust
<cache>/repositories/<digest of the address>/metadata/      the cache of python-tuf's client
"""

import contextlib
import fcntl
import hashlib
import shutil
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tuf.api.metadata import Metadata, Root, Snapshot, Targets
from tuf.ngclient import UpdaterConfig

from synthmed_tf.errors import SynthMedError
from synthmed_tf.files import write_bytes
from synthmed_tf.repository.paths import plain
from synthmed_tf.repository.read import tuf_errors
from synthmed_tf.repository.read.fetching import Source

LIMITS = UpdaterConfig(
    root_max_length=512_000,
    timestamp_max_length=16_384,
    snapshot_max_length=8_000_000,
    targets_max_length=32_000_000,
    prefix_targets_with_hash=False,
)
_ROOT = "metadata/1.root.json"


@dataclass(frozen=True)
class Trust:
    """What the reader requires of a repository's root of trust; None is no requirement.

    Attributes:
        root: the bytes of a `root.json` that was obtained in another way.
        fingerprint: the SHA-256 of the repository's `1.root.json`.
    """

    root: bytes | None = None
    fingerprint: str | None = None

    def accepts(self, root: bytes) -> bool:
        """Whether a root is the one that is required."""
        wanted = (self.fingerprint or "").replace(":", "").replace(" ", "").lower()
        return root == (self.root or root) and wanted in ("", hashlib.sha256(root).hexdigest())


class ClientCache:
    """The folder of one repository.

    Attributes:
        metadata: the folder in it that is python-tuf's.
    """

    def __init__(self, source: Source, cache: Path):
        self._source, self._folder = source, cache / "repositories" / source.digest
        self.metadata = self._folder / "metadata"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Makes other processes wait, which would replace the same files.

        Raises:
            SynthMedError: the disk does not allow it.
        """
        with self.clearly():
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            with open(f"{self._folder}.lock", "a", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    @contextlib.contextmanager
    def clearly(self) -> Iterator[None]:
        """Turns errors of the cache's disk into a sentence.

        Raises:
            SynthMedError: what is wrong with it.
        """
        try:
            yield
        except OSError as error:
            raise SynthMedError(
                f"{error.filename or self._folder} cannot be written ({error.strerror or error}); free space or get "
                "the right to write there, or name another folder for what is kept by XDG_CACHE_HOME."
            ) from error

    def anchor(self, trust: Trust) -> tuple[bytes, bool]:
        """The root of trust, and whether it was not known.

        Raises:
            SynthMedError: it is not the one that is required, or none.
        """
        place = self._folder / "anchor.json"
        known = place.read_bytes() if place.is_file() else None
        if known is not None and trust.accepts(known):
            return known, False
        found = trust.root
        if found is None:
            with tuf_errors.as_sentences(self._source):
                found = self._source.download_bytes(f"{self._source.url}{_ROOT}", LIMITS.root_max_length)
        if not trust.accepts(found):
            raise SynthMedError(
                f"{self._source} has a root with the fingerprint {hashlib.sha256(found).hexdigest()}, not "
                f"{plain(trust.fingerprint or '', 70)}; ask the publisher, and do not use it until you know."
            )
        with tuf_errors.as_sentences(self._source, _ROOT):
            root = Metadata[Root].from_bytes(found)
            root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
        # What was seen under another root says nothing of this one.
        shutil.rmtree(self._folder, ignore_errors=True)
        self.metadata.mkdir(parents=True)
        write_bytes(place, found)
        return found, True

    def role(self, name: str) -> Targets:
        """A role that python-tuf has verified: asking it file by file goes through all versions each time.

        Raises:
            FileNotFoundError: it was not asked for yet, or nobody may sign for it.
        """
        return Metadata[Targets].from_bytes(self._read(name)).signed

    def newest(self) -> dict[str, int]:
        """The version of each metadata file that counts now, by role."""
        snapshot = Metadata[Snapshot].from_bytes(self._read("snapshot")).signed
        versions = {name.removesuffix(".json"): meta.version for name, meta in snapshot.meta.items()}
        versions["root"] = Metadata[Root].from_bytes(self._read("root")).signed.version
        return versions | {"snapshot": snapshot.version}

    def _read(self, role: str) -> bytes:
        return (self.metadata / f"{urllib.parse.quote(role, '')}.json").read_bytes()
