"""The formats of sets: a module each, with a class `Writer`, which imports what it needs when it writes."""

import importlib

from synthmed_tf.formats.base import Line, Pair, ShardWriter

NAMES = ("png", "tfrecord", "webdataset", "imagefolder", "nnunet", "dicom")

__all__ = ["NAMES", "Line", "Pair", "ShardWriter", "writer"]


def writer(name: str) -> type[ShardWriter]:
    """The class that writes a format, by its name."""
    return importlib.import_module(f"{__name__}.{name}").Writer
