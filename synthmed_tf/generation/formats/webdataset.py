"""WebDataset: one tar for each shard, in which the members of a pair stand together.

train-00003.tar    00000042.image.png, 00000042.mask.png, 00000042.json, ...
"""

import io
import json
import tarfile
from pathlib import Path

from synthmed_tf.generation.formats.base import Line, PngPair, PngWriter
from synthmed_tf.generation.plan import Plan

Members = list[tuple[str, bytes]]


class Writer(PngWriter):
    """Writes tars, which say nothing about when, where and by whom they were written."""

    def __init__(self, folder: Path, plan: Plan, shard: int):
        super().__init__(folder, plan, shard)
        self._name = f"train-{shard:05d}.tar"
        self._tar = tarfile.open(folder / self._name, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def encode_png(self, pair: PngPair) -> Members:
        facts = {"index": pair.index, "seed": self.plan.seed, "model_sha256": self.plan.model_sha256}
        contents = {
            "image.png": pair.image,
            "mask.png": pair.mask,
            "json": json.dumps(facts).encode(),
        }
        return [(f"{pair.index:08d}.{kind}", content) for kind, content in contents.items()]

    def add(self, encoded: Members) -> list[Line]:
        for name, content in encoded:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            self._tar.addfile(member, io.BytesIO(content))
        return []

    def close(self) -> list[Line]:
        self._tar.close()
        return [self.line_of(self._name)]

    def abandon(self) -> None:
        self._tar.fileobj.close()
