"""nnU-Net v2's raw data, where the set's folder is called `DatasetNNN_Name` and lies in `nnUNet_raw`.

imagesTr/pair_00000042_0000.png    RGB
labelsTr/pair_00000042.png         0 or 1
dataset.json
"""

import json
from collections.abc import Iterable, Iterator

import numpy as np

from synthmed_tf import images
from synthmed_tf.generation.formats.base import Line, Pair, ShardWriter
from synthmed_tf.generation.plan import Plan


class Writer(ShardWriter):
    """A line of its manifest is a file."""

    def encode(self, pair: Pair) -> list[Line]:
        case = f"pair_{pair.index:08d}"
        label = (pair.mask >= 128).astype(np.uint8)
        return [
            self.save(f"imagesTr/{case}_0000.png", images.encode_png(pair.photograph)),
            self.save(f"labelsTr/{case}.png", images.encode_png(label)),
        ]

    def add(self, encoded: list[Line]) -> list[Line]:
        return encoded

    @classmethod
    def describe(cls, plan: Plan, lines: Iterable[Line]) -> Iterator[tuple[str, list[bytes]]]:
        facts = {
            "channel_names": {"0": "R", "1": "G", "2": "B"},
            "labels": {"background": 0, "vessel": 1},
            "numTraining": plan.count,
            "file_ending": ".png",
        }
        yield "dataset.json", [(json.dumps(facts, indent=2) + "\n").encode()]
