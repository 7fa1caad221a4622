"""Raw data of nnU-Net v2, if the folder of the set is called `DatasetNNN_Name` and lies in `nnUNet_raw`.

imagesTr/pair_00000042_0000.png    RGB
labelsTr/pair_00000042.png         0 or 1
dataset.json
"""

import json
from collections.abc import Iterable, Iterator

import numpy as np

from synthmed_tf import images
from synthmed_tf.generation.formats.base import FilesWriter, Line, Pair
from synthmed_tf.generation.plan import Plan


class Writer(FilesWriter):
    """Writes raw data of nnU-Net."""

    def contents(self, pair: Pair) -> dict[str, bytes]:
        case = f"pair_{pair.index:08d}"
        label = (pair.mask >= 128).astype(np.uint8)
        return {
            f"imagesTr/{case}_0000.png": images.encode_png(pair.image),
            f"labelsTr/{case}.png": images.encode_png(label),
        }

    @classmethod
    def describe(cls, plan: Plan, lines: Iterable[Line]) -> Iterator[tuple[str, list[bytes]]]:
        facts = {
            "channel_names": {"0": "R", "1": "G", "2": "B"},
            "labels": {"background": 0, "vessel": 1},
            "numTraining": plan.count,
            "file_ending": ".png",
        }
        yield "dataset.json", [(json.dumps(facts, indent=2) + "\n").encode()]
