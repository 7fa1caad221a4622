"""The formats of sets. Each is a module with a class `Writer`, which imports what it needs when it writes."""

import importlib

from synthmed_tf.generation.formats.base import Line, Pair, ShardWriter

__all__ = ["Line", "Pair", "ShardWriter", "writer"]


def writer(name: str) -> type[ShardWriter]:
    """The class that writes a format, by the name of the format."""
    made: type[ShardWriter] = importlib.import_module(f"{__name__}.{name}").Writer
    return made
