"""Image folder, as Hugging Face's `datasets` reads it: `load_dataset("imagefolder", data_dir=<set>)`.

    train/00003/images/00000042.png  train/00003/masks/00000042.png
    train/metadata.jsonl    a row a pair: file_name, mask_file_name, index, seed, model_sha256

A folder of its own for each shard, since the Hub and many file systems dislike folders of very many files. One
metadata file for all of them: of several, `datasets` takes a different one first each time.
"""

import json
from collections.abc import Iterable, Iterator

from synthmed_tf import images
from synthmed_tf.generation.formats.base import Line, Pair, ShardWriter
from synthmed_tf.generation.plan import Plan

_SPLIT = "train"


class Writer(ShardWriter):
    """A line of its manifest is a file."""

    def encode(self, pair: Pair) -> list[Line]:
        photograph, mask = _places(self.shard, pair.index)
        return [
            self.save(f"{_SPLIT}/{photograph}", images.encode_png(pair.photograph)),
            self.save(f"{_SPLIT}/{mask}", images.encode_png(pair.mask)),
        ]

    def add(self, encoded: list[Line]) -> list[Line]:
        return encoded

    @classmethod
    def describe(cls, plan: Plan, lines: Iterable[Line]) -> Iterator[tuple[str, Iterator[bytes]]]:
        yield f"{_SPLIT}/metadata.jsonl", _rows(plan)


def _rows(plan: Plan) -> Iterator[bytes]:
    for shard in range(plan.shards):
        for index in plan.indices(shard):
            names = dict(zip(("file_name", "mask_file_name"), _places(shard, index), strict=True))
            row = names | {"index": index, "seed": plan.seed, "model_sha256": plan.model_sha256}
            yield (json.dumps(row) + "\n").encode()


def _places(shard: int, index: int) -> tuple[str, str]:
    """Of photograph and mask, beside the metadata."""
    return f"{shard:05d}/images/{index:08d}.png", f"{shard:05d}/masks/{index:08d}.png"
