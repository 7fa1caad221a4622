"""The interface of every format: a `ShardWriter` writes one shard."""

import abc
import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from synthmed_tf import files, images
from synthmed_tf.extras import require_extra
from synthmed_tf.generation.plan import Plan

Opened = TypeVar("Opened", bound="ShardWriter")

Line = dict[str, Any]
"""A line of a manifest, as JSON. `{"file", "size", "sha256"}` is a file: its path in the set, its bytes, its digest."""


class Pair(NamedTuple):
    """A generated pair.

    Attributes:
        index: in the endless sequence of the seed.
        mask: `(size, size, 1)`, uint8 in {0, 255}.
        image: `(size, size, 3)`, uint8, RGB.
    """

    index: int  # type: ignore[assignment]  # hides the method of tuples
    mask: np.ndarray
    image: np.ndarray


class PngPair(NamedTuple):
    """A pair as two PNG files.

    Attributes:
        index: in the endless sequence of the seed.
        mask, image: the bytes of each file.
    """

    index: int  # type: ignore[assignment]  # hides the method of tuples
    mask: bytes
    image: bytes


class ShardWriter(abc.ABC):
    """Writes one shard, or all pairs of a plain set, into a folder, at the paths that its files have in the set.

    What it writes depends on the plan and the pairs only: no time, no host, no user. The files of two shards have
    different names.

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
        """Encodes a pair, and writes the files that belong to it only. Called from several threads, in any order."""

    @abc.abstractmethod
    def add(self, encoded: Any) -> Iterable[Line]:
        """Takes what `encode` returned, in the order of the indices, from one thread. Returns lines of the manifest."""

    def close(self) -> Iterable[Line]:
        """Finishes the shard, after the last pair. Returns lines of the manifest."""
        return ()

    def abandon(self) -> None:  # noqa: B027
        """Closes open files after an error, when `close` is not called."""

    def save(self, name: str, content: bytes) -> Line:
        """Writes a file at its path in the set. Returns its line."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"file": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def line_of(self, name: str) -> Line:
        """The line of a file that was written already."""
        path = self.folder / name
        return {"file": name, "size": path.stat().st_size, "sha256": files.sha256(path)}

    @classmethod
    def require(cls) -> None:
        """Raises SynthMedError if a package that the format needs is not installed."""
        if cls.extra is not None:
            require_extra(cls.extra)

    @classmethod
    def describe(cls, plan: Plan, lines: Iterable[Line]) -> Iterator[tuple[str, Iterable[bytes]]]:
        """The files that belong to no shard. Needs no package, and depends on its arguments only.

        Args:
            plan: of the set.
            lines: of all shards, in their order; a shard begins with its `{"shard", "first_index", "count", ...}`.

        Yields:
            Files: the path in the set, and the content in pieces.
        """
        yield from ()


class FilesWriter(ShardWriter):
    """Base of the formats that have files of their own for each pair. A line of the manifest is a file."""

    @abc.abstractmethod
    def contents(self, pair: Pair) -> Mapping[str, bytes]:
        """The files of a pair: the path in the set, and the content."""

    def encode(self, pair: Pair) -> list[Line]:
        return [self.save(name, content) for name, content in self.contents(pair).items()]

    def add(self, encoded: list[Line]) -> list[Line]:
        return encoded


class PngWriter(ShardWriter):
    """Base of the formats that hold the two PNG files of a pair as they are."""

    def encode(self, pair: Pair) -> Any:
        return self.encode_png(PngPair(pair.index, *map(images.encode_png, (pair.mask, pair.image))))

    @abc.abstractmethod
    def encode_png(self, pair: PngPair) -> Any:
        """As `encode`, of a pair that is PNG already."""


@contextlib.contextmanager
def opened_shard(writer: type[Opened], folder: Path, plan: Plan, shard: int) -> Iterator[Opened]:
    """Opens a writer, and abandons it after an error."""
    opened = writer(folder, plan, shard)
    try:
        yield opened
    except BaseException:
        opened.abandon()
        raise
