"""DICOM, two files for each pair: see `dicom_objects`. The options of the plan are its `Facts`, as JSON.

images/00000042.dcm         Ophthalmic Photography 8 Bit Image
segmentations/00000042.dcm  Segmentation, which refers to it
"""

from pathlib import Path

from synthmed_tf.generation.formats import dicom_objects
from synthmed_tf.generation.formats.base import FilesWriter, Pair
from synthmed_tf.generation.plan import Plan

FOLDERS = ("images", "segmentations")


class Writer(FilesWriter):
    """Writes DICOM."""

    extra = "dicom"

    def __init__(self, folder: Path, plan: Plan, shard: int):
        super().__init__(folder, plan, shard)
        self._facts = dicom_objects.facts_from_json(plan.options)

    def contents(self, pair: Pair) -> dict[str, bytes]:
        source = dicom_objects.Source(self.plan.model_sha256, self.plan.seed, pair.index)
        contents = dicom_objects.encode(source, pair.mask, pair.image, self._facts)
        names = (f"{folder}/{pair.index:08d}.dcm" for folder in FOLDERS)
        return dict(zip(names, contents, strict=True))
