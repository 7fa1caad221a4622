"""Image folder, as Hugging Face's `datasets` reads it: `load_dataset("imagefolder", data_dir=<set>)`.

    train/00003/images/00000042.png  train/00003/masks/00000042.png
    train/metadata.jsonl    a row a pair: file_name, mask_file_name, index, seed, model_sha256

Each shard has its own folder, since the Hub and many file systems handle folders of very many files badly. There is one
metadata file for all shards: with several, `datasets` would list the shards in another order.
"""

import json
from collections.abc import Iterable, Iterator

from synthmed_tf import images
from synthmed_tf.generation.formats.base import FilesWriter, Line, Pair
from synthmed_tf.generation.plan import Plan

_SPLIT = "train"


class Writer(FilesWriter):
    """Writes an image folder."""

    def contents(self, pair: Pair) -> dict[str, bytes]:
        names = (f"{_SPLIT}/{place}" for place in _places(self.shard, pair.index))
        return dict(zip(names, map(images.encode_png, (pair.image, pair.mask)), strict=True))

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
    """The paths of the image and the mask, relative to the metadata."""
    return f"{shard:05d}/images/{index:08d}.png", f"{shard:05d}/masks/{index:08d}.png"
