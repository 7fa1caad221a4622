"""Pairs of PNG files, which `synthmed evaluate`, `synthmed filter` and `synthmed publish` read.

images/00000042.png  masks/00000042.png
"""

import hashlib
from pathlib import Path

import numpy as np

from synthmed_tf import files, images
from synthmed_tf.generation.formats.base import Line, Pair, ShardWriter
from synthmed_tf.generation.plan import Plan

FOLDERS = ("images", "masks")


def file_name(index: int) -> str:
    """The name of an image and of its mask, each in its folder of `FOLDERS`."""
    return f"{index:08d}.png"


def encode(pair: Pair, seed: int, model_sha256: str) -> tuple[Line, dict[str, bytes]]:
    """The line of a pair in the manifest, and its two files by their paths in the set."""
    contents = {f"{folder}/{file_name(pair.index)}": b"" for folder in FOLDERS}
    line: Line = {"index": pair.index, "seed": seed, "model_sha256": model_sha256}
    for folder, name, pixels in zip(FOLDERS, contents, (pair.image, pair.mask), strict=True):
        content = contents[name] = images.encode_png(pixels)
        line |= {f"{folder}_sha256": hashlib.sha256(content).hexdigest(), f"{folder}_size": len(content)}
    return line | {"vessel_share": round(float(np.mean(pair.mask >= 128)), 5)}, contents


class Writer(ShardWriter):
    """Writes each file whole or not at all, so that a plain set can be written in place.

    A line of its manifest is a pair: `index`, `seed`, `model_sha256`, `vessel_share`, and of both files
    `images_sha256`, `images_size`, `masks_sha256`, `masks_size`.
    """

    def __init__(self, folder: Path, plan: Plan, shard: int):
        super().__init__(folder, plan, shard)
        for name in FOLDERS:
            (folder / name).mkdir(exist_ok=True)

    def encode(self, pair: Pair) -> Line:
        line, contents = encode(pair, self.plan.seed, self.plan.model_sha256)
        for name, content in contents.items():
            files.write_bytes(self.folder / name, content)
        return line

    def add(self, encoded: Line) -> list[Line]:
        return [encoded]
