"""Packs the pairs of a set into the formats of an entry, without generating or encoding any of them again.

    imagefolder/train-00003-of-00008.zip    images/00000042.png  masks/00000042.png  metadata.jsonl
    tfrecord/...  webdataset/...            as `synthmed generate` writes them

What is written depends on the pairs alone: no time, no host, no user.
"""

import contextlib
import json
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from synthmed_tf.errors import SynthMedError
from synthmed_tf.generation import formats
from synthmed_tf.generation.formats.base import Line, PngPair, PngWriter, opened_shard
from synthmed_tf.generation.formats.png import FOLDERS, file_name
from synthmed_tf.generation.plan import Plan, default_shards
from synthmed_tf.repository.publish.plain_set import GeneratedSet

IMAGEFOLDER = "imagefolder"
FORMATS = (IMAGEFOLDER, "tfrecord", "webdataset")
DEFAULT_FORMATS = FORMATS[:2]

_BEGIN = (1980, 1, 1, 0, 0, 0)
_UNIX, _MODE = 3, 0o100644


@dataclass(frozen=True)
class Listed(Plan):
    """The plan of pairs that are no range: a filter leaves gaps.

    Attributes:
        listed: their indices, ascending, `count` of them.
    """

    listed: Sequence[int] = ()

    def indices(self, shard: int) -> Sequence[int]:
        places = self.places(shard)
        return self.listed[places.start : places.stop]


class ZipWriter(PngWriter):
    """An image folder in a zip file, as Hugging Face's `datasets` reads it; nothing is compressed again.

    A row of `metadata.jsonl` is a pair: file_name, mask_file_name, index, seed, model_sha256.
    """

    def __init__(self, folder: Path, plan: Plan, shard: int):
        super().__init__(folder, plan, shard)
        self._name = f"train-{shard:05d}-of-{plan.shards:05d}.zip"
        self._zip = zipfile.ZipFile(folder / self._name, "w")
        self._rows: list[bytes] = []

    def encode_png(self, pair: PngPair) -> PngPair:
        return pair

    def add(self, encoded: PngPair) -> list[Line]:
        images, masks = (f"{folder}/{file_name(encoded.index)}" for folder in FOLDERS)
        self._write(images, encoded.image)
        self._write(masks, encoded.mask)
        identity = {"index": encoded.index, "seed": self.plan.seed, "model_sha256": self.plan.model_sha256}
        row = {"file_name": images, "mask_file_name": masks, **identity}
        self._rows.append((json.dumps(row) + "\n").encode())
        return []

    def close(self) -> list[Line]:
        self._write("metadata.jsonl", b"".join(self._rows))
        self._zip.close()
        return [self.line_of(self._name)]

    def abandon(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._zip.close()

    def _write(self, name: str, content: bytes) -> None:
        member = zipfile.ZipInfo(name, _BEGIN)
        member.create_system, member.external_attr = _UNIX, _MODE << 16
        self._zip.writestr(member, content)


def check_formats(names: Sequence[str]) -> None:
    """Raises SynthMedError where a format is not of `FORMATS`, or the image folder is left out."""
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise SynthMedError(f"Field formats has {unknown[0]!r}; choose from {', '.join(FORMATS)}.")
    if IMAGEFOLDER not in names:
        raise SynthMedError(f"Field formats is without {IMAGEFOLDER}, which croissant.json describes; add it.")


def pack(
    generated: GeneratedSet,
    names: Sequence[str],
    folder: Path,
    kept: Collection[int] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, PngPair]:
    """Reads and checks every pair once, and writes each format into a folder of its name.

    Args:
        generated: the set.
        names: of `FORMATS`.
        folder: to make these folders in.
        kept: indices of the pairs to give back.
        progress: called with (done, total), in pairs.

    Returns:
        The pairs that were asked for, by their indices.

    Raises:
        SynthMedError: a file of the set is missing or has changed, or a package is missing.
        OSError: the folder cannot be written.
    """
    plans = {name: _plan(generated, name) for name in names}
    lines: dict[str, list[Line]] = {name: [] for name in names}
    back: dict[int, PngPair] = {}
    for name in names:
        _writer(name).require()
        (folder / name).mkdir()

    def noted(pairs: Iterable[PngPair]) -> Iterator[PngPair]:
        for done, pair in enumerate(pairs, start=1):
            if pair.index in kept:
                back[pair.index] = pair
            progress(done, len(generated.indices))
            yield pair

    with contextlib.closing(generated.pairs()) as read:
        pairs = noted(read)
        for shard in range(default_shards(len(generated.indices))):
            _write_shard(shard, plans, pairs, folder, lines)
    _describe(plans, lines, folder)
    return back


def _describe(plans: Mapping[str, Plan], lines: dict[str, list[Line]], folder: Path) -> None:
    """Writes the other files of each format."""
    for name, plan in plans.items():
        for place, parts in _writer(name).describe(plan, lines[name]):
            (folder / name / place).write_bytes(b"".join(parts))


def _write_shard(
    shard: int, plans: Mapping[str, Plan], pairs: Iterator[PngPair], folder: Path, lines: dict[str, list[Line]]
) -> None:
    with contextlib.ExitStack() as stack:
        opened = {
            name: stack.enter_context(opened_shard(_writer(name), folder / name, plan, shard))
            for name, plan in plans.items()
        }
        for _ in next(iter(plans.values())).places(shard):
            pair = next(pairs)
            for writer in opened.values():
                writer.add(writer.encode_png(pair))
        for name, writer in opened.items():
            lines[name] += writer.close()


def _plan(generated: GeneratedSet, name: str) -> Listed:
    card, count = generated.card, len(generated.indices)
    shards = default_shards(count)
    where = (generated.indices[0], count, shards)
    return Listed(card["model_sha256"], card["seed"], *where, name, card["size"], runtime="", listed=generated.indices)


def _writer(name: str) -> type[PngWriter]:
    return ZipWriter if name == IMAGEFOLDER else cast(type[PngWriter], formats.writer(name))
