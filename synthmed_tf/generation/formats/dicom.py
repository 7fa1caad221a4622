"""DICOM, a pair of files for each pair: see `dicom_objects`. The plan's options are its `Facts`, as JSON.

images/00000042.dcm         Ophthalmic Photography 8 Bit Image
segmentations/00000042.dcm  Segmentation, which refers to it
"""

from pathlib import Path

from synthmed_tf.generation.formats import dicom_objects
from synthmed_tf.generation.formats.base import Line, Pair, ShardWriter
from synthmed_tf.generation.plan import Plan

FOLDERS = ("images", "segmentations")


class Writer(ShardWriter):
    """A line of its manifest is a file."""

    extra = "dicom"

    def __init__(self, folder: Path, plan: Plan, shard: int):
        super().__init__(folder, plan, shard)
        self._facts = dicom_objects.facts_from_json(plan.options)

    def encode(self, pair: Pair) -> list[Line]:
        source = dicom_objects.Source(self.plan.model_sha256, self.plan.seed, pair.index)
        contents = dicom_objects.encode(source, pair.mask, pair.photograph, self._facts)
        names = (f"{folder}/{pair.index:08d}.dcm" for folder in FOLDERS)
        return [self.save(name, content) for name, content in zip(names, contents, strict=True)]

    def add(self, encoded: list[Line]) -> list[Line]:
        return encoded
