"""Generative adversarial networks that generate retinal images with their vessel masks, exported as one graph.

    import synthmed_tf as sm

    model = sm.load("MODEL")                               # SavedModel, ONNX or OpenVINO
    pairs = model.generate(seed=1, index=range(8))         # pairs.mask, pairs.image: uint8 arrays
    model.generate_from(mask=masks, seed=1)                # images of your own masks
    model.dataset(seed=1, batch_size=8)                    # an endless tf.data.Dataset of (image, mask)
    sm.generate_set("MODEL", "SET", count=1000)            # a labelled set on the disk
    sm.train("DIR", "RUN", preset="recommended", size=512)
    sm.export("RUN", "MODEL")
    sm.evaluate("SET", real="DIR", out="REPORT")
    sm.load_dataset("name", "https://...")                 # a set of a repository

The `synthmed` command calls the same functions. Importing the package imports neither TensorFlow nor NumPy; each name
is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from synthmed_tf.errors import SynthMedError

if TYPE_CHECKING:
    from synthmed_tf.api import evaluate, train
    from synthmed_tf.exporting.exporter import export
    from synthmed_tf.generation.model import Model, Pairs, load
    from synthmed_tf.generation.synthesis import generate_set
    from synthmed_tf.repository.read.loading import load as load_dataset

__version__ = "0.1.0"

__all__ = [
    "Model",
    "Pairs",
    "SynthMedError",
    "evaluate",
    "export",
    "generate_set",
    "load",
    "load_dataset",
    "train",
]

_PLACES = {
    "Model": "generation.model.Model",
    "Pairs": "generation.model.Pairs",
    "evaluate": "api.evaluate",
    "export": "exporting.exporter.export",
    "generate_set": "generation.synthesis.generate_set",
    "load": "generation.model.load",
    "load_dataset": "repository.read.loading.load",
    "train": "api.train",
}
"""Where each lazy name is defined."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, defined = _PLACES[name].rpartition(".")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), defined)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
