"""What every format is written through."""

import abc
import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from synthmed_tf import files, images
from synthmed_tf.extras import require_extra
from synthmed_tf.generation.plan import Plan

Line = dict[str, Any]
"""Of a manifest: JSON. `{"file", "size", "sha256"}` is a file, with its path in the set, its bytes and its digest."""


class Pair(NamedTuple):
    """One generated pair.

    Attributes:
        index: in the endless set.
        mask: `(size, size, 1)`, uint8 in {0, 255}.
        photograph: `(size, size, 3)`, uint8, RGB.
    """

    index: int
    mask: np.ndarray
    photograph: np.ndarray


class PngPair(NamedTuple):
    """A pair as its two PNG files.

    Attributes:
        index: in the endless set.
        mask, photograph: the bytes of each file.
    """

    index: int
    mask: bytes
    photograph: bytes


class ShardWriter(abc.ABC):
    """Writes one shard into an empty folder, at the places that its files will have in the set.

    What it writes depends on plan and pairs alone: no time, no host, no user. The files of two shards have different
    names. The folder takes its place in the set once the shard is whole; whatever is raised here removes it.

    Attributes:
        extra: the extra of setup.cfg that the format needs, if any.
        folder: to write into.
        plan: of the set.
        shard: its number.
    """

    extra: str | None = None

    def __init__(self, folder: Path, plan: Plan, shard: int):
        self.folder = folder
        self.plan = plan
        self.shard = shard

    @abc.abstractmethod
    def encode(self, pair: Pair) -> Any:
        """Encodes a pair, and writes what files it has of its own. Called from several threads, in any order."""

    @abc.abstractmethod
    def add(self, encoded: Any) -> Iterable[Line]:
        """Takes what `encode` gave, in the order of the indices, from one thread. Returns lines for the manifest."""

    def close(self) -> Iterable[Line]:
        """Ends the shard, after the last pair. Returns lines for the manifest."""
        return ()

    def abandon(self) -> None:  # noqa: B027
        """Lets go of open files where `close` will not be called. Most formats have none."""

    def save(self, name: str, content: bytes) -> Line:
        """Writes a file at its place in the set. Returns its line."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"file": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def line_of(self, name: str) -> Line:
        """The line of a file that is written already."""
        path = self.folder / name
        return {"file": name, "size": path.stat().st_size, "sha256": files.sha256(path)}

    @classmethod
    def require(cls) -> None:
        """Raises SynthMedError if a package that the format needs is not installed."""
        if cls.extra is not None:
            require_extra(cls.extra)

    @classmethod
    def describe(cls, plan: Plan, lines: Iterable[Line]) -> Iterator[tuple[str, Iterable[bytes]]]:
        """What stands beside the shards. Needs no package, and depends on its arguments alone.

        Args:
            plan: of the set.
            lines: of all shards, in their order; a shard begins with its `{"shard", "first_index", "count", ...}`.

        Yields:
            Files: the place in the set, and the content in parts.
        """
        yield from ()


class PngWriter(ShardWriter):
    """Of a format that holds a pair's two PNG files as they are."""

    def encode(self, pair: Pair) -> Any:
        return self.encode_png(PngPair(pair.index, *map(images.encode_png, (pair.mask, pair.photograph))))

    @abc.abstractmethod
    def encode_png(self, pair: PngPair) -> Any:
        """As `encode`, of a pair that is PNG already."""


@contextlib.contextmanager
def opened_shard(writer: type[ShardWriter], folder: Path, plan: Plan, shard: int) -> Iterator[ShardWriter]:
    """A writer that is let go of after an error."""
    opened = writer(folder, plan, shard)
    try:
        yield opened
    except BaseException:
        opened.abandon()
        raise
